package kafka

import (
	"reflect"
	"testing"
	"unsafe"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/zerocopy"
)

// outProbe is a netloop.Out outside of a driver. What a driver keeps to itself
// is reached by reflection, here only.
type outProbe struct {
	netloop.Out
	items, bytes, marked, held reflect.Value
}

func newOutProbe() *outProbe {
	o := new(outProbe)
	v := reflect.ValueOf(&o.Out).Elem()
	field := func(name string) reflect.Value {
		f := v.FieldByName(name)
		return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
	}
	o.items, o.bytes, o.marked, o.held = field("items"), field("bytes"), field("marked"), field("held")
	field("maxBytes").SetInt(64 << 20)
	field("maxItems").SetInt(1024)
	return o
}

// item returns what stands at a place between the bytes: how many bytes are
// before it, and a Range or a Deferred.
func (o *outProbe) item(i int) (before int, body *zerocopy.Range, deferred netloop.Deferred) {
	v := o.items.Index(i)
	before = int(v.FieldByName("before").Int())
	d := v.FieldByName("deferred")
	d = reflect.NewAt(d.Type(), unsafe.Pointer(d.UnsafeAddr())).Elem()
	if !d.IsNil() {
		return before, nil, d.Interface().(netloop.Deferred)
	}
	return before, (*zerocopy.Range)(unsafe.Pointer(v.FieldByName("body").UnsafeAddr())), nil
}

// reset empties o, without closing anything.
func (o *outProbe) reset() {
	o.Buf = o.Buf[:0]
	o.items.SetLen(0)
	o.bytes.SetInt(0)
	o.marked.SetInt(0)
	o.held.SetBool(false)
}

// receive has s take all of p.
func (o *outProbe) receive(t testing.TB, s *session, p []byte) {
	t.Helper()
	if n, _, err := s.Receive(p, &o.Out); n != len(p) || err != nil {
		t.Fatalf("consumed %d of %d: %v", n, len(p), err)
	}
}

// deferred returns the only thing in o, a Deferred.
func (o *outProbe) deferred(t testing.TB) netloop.Deferred {
	t.Helper()
	if o.items.Len() != 1 || len(o.Buf) > 0 {
		t.Fatalf("%d items, %d bytes, want one Deferred", o.items.Len(), len(o.Buf))
	}
	_, _, d := o.item(0)
	return d
}
