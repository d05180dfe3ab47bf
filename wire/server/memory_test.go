package server

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"
	"unsafe"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// outProbe is a netloop.Out outside of a driver. What a driver keeps to itself
// is reached by reflection, here only.
type outProbe struct {
	netloop.Out
	maxBytes, maxItems, inPoll, items, streams, bytes, marked reflect.Value
}

func newOutProbe(maxBytes int64, maxItems int) *outProbe {
	o := new(outProbe)
	v := reflect.ValueOf(&o.Out).Elem()
	field := func(name string) reflect.Value {
		f := v.FieldByName(name)
		return reflect.NewAt(f.Type(), unsafe.Pointer(f.UnsafeAddr())).Elem()
	}
	o.maxBytes, o.maxItems, o.inPoll = field("maxBytes"), field("maxItems"), field("inPoll")
	o.items, o.streams, o.bytes, o.marked = field("items"), field("streams"), field("bytes"), field("marked")
	o.maxBytes.SetInt(maxBytes)
	o.maxItems.SetInt(int64(maxItems))
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
	o.streams.SetLen(0)
	o.bytes.SetInt(0)
	o.marked.SetInt(0)
}

// memory is a connection in memory: a session and a driver for it that keeps
// every promise of netloop's, one step at a time.
type memory struct {
	t       testing.TB
	session *session
	input   []byte // received and not consumed
	err     error  // of Receive
	queue   []any  // []byte or netloop.Deferred, in order
	streams []netloop.Deferred
	sent    []byte // bytes that have left and were not looked at
	largest int    // bytes of the largest output of one Poll
	woken   chan struct{}
	wake    func()
	closed  bool

	maxBytes int64
	maxItems int
}

// newMemory returns a connection whose session has not received anything. It
// is closed with the test.
func newMemory(t testing.TB, f *frontend) *memory {
	m := &memory{t: t, session: newSession(f, netloop.Peer{}), woken: make(chan struct{}, 1), maxBytes: 4 << 20, maxItems: 64}
	m.wake = func() {
		select {
		case m.woken <- struct{}{}:
		default:
		}
	}
	t.Cleanup(m.close)
	return m
}

// close ends the connection as a driver does.
func (m *memory) close() {
	if m.closed {
		return
	}
	m.closed = true
	for _, q := range m.queue {
		if d, ok := q.(netloop.Deferred); ok {
			d.Cancel()
		}
	}
	for _, d := range m.streams {
		d.Cancel()
	}
	m.session.Close()
}

// receive gives p to the session.
func (m *memory) receive(p []byte) {
	m.input = append(m.input, p...)
	m.turn()
}

// turn calls the session and sends, until nothing changes.
func (m *memory) turn() {
	m.send()
	for m.err == nil && len(m.queue) < m.maxItems {
		o := newOutProbe(m.maxBytes, m.maxItems-len(m.queue))
		p := slices.Clone(m.input) // the session may change it, and must not keep it
		n, need, err := m.session.Receive(p, &o.Out)
		if n < 0 || n > len(p) || need < 0 || (need > 0 && need <= len(p)-n) {
			m.t.Fatalf("Receive consumed %d of %d bytes and needs %d", n, len(p), need)
		}
		for i := range p {
			p[i] = 0xdd
		}
		m.input = m.input[n:]
		m.err = err
		m.queue = append(m.queue, m.take(o)...)
		m.send()
		if n == 0 {
			return
		}
	}
}

// take returns what the session put into o.
func (m *memory) take(o *outProbe) (queue []any) {
	rest := o.Buf
	for i := range o.items.Len() {
		before, body, deferred := o.item(i)
		queue = append(queue, slices.Clone(rest[:before]))
		rest = rest[before:]
		if deferred != nil {
			queue = append(queue, deferred)
			continue
		}
		queue = append(queue, m.read(body))
	}
	for i := range o.streams.Len() {
		m.streams = append(m.streams, o.streams.Index(i).Interface().(netloop.Deferred))
	}
	return append(queue, slices.Clone(rest))
}

// read returns the bytes of a Range and closes it.
func (m *memory) read(r *zerocopy.Range) []byte {
	p := make([]byte, r.Len)
	if _, err := r.File.ReadAt(p, r.Position); err != nil {
		m.t.Fatalf("read %d bytes at %d of %s: %v", r.Len, r.Position, r.File.Name(), err)
	}
	r.Close()
	return p
}

// send lets leave what is ready.
func (m *memory) send() {
	for progress := true; progress; {
		progress = false
		for len(m.queue) > 0 {
			if p, ok := m.queue[0].([]byte); ok {
				m.sent = append(m.sent, p...)
			} else if !m.poll(m.queue[0].(netloop.Deferred)) {
				break
			}
			m.queue = m.queue[1:]
		}
		for i := 0; i < len(m.streams); i++ {
			before := len(m.sent)
			if m.poll(m.streams[i]) {
				m.streams = slices.Delete(m.streams, i, i+1)
				i--
			}
			progress = progress || len(m.sent) > before
		}
	}
}

// poll polls d.
func (m *memory) poll(d netloop.Deferred) (done bool) {
	o := newOutProbe(1<<20, m.maxItems)
	o.inPoll.SetBool(true)
	done = d.Poll(&o.Out, m.wake)
	before := len(m.sent)
	for _, p := range m.take(o) {
		m.sent = append(m.sent, p.([]byte)...)
	}
	m.largest = max(m.largest, len(m.sent)-before)
	if at := d.Deadline(); !done && !at.IsZero() && time.Now().After(at) {
		m.t.Fatalf("%T: deadline %v ago after a Poll that was not done", d, time.Since(at))
	}
	return done
}

// next returns the next frame that leaves, waiting for it.
func (m *memory) next() wire.Frame {
	m.t.Helper()
	expired := time.After(10 * time.Second)
	for {
		if f, rest, err := wire.Split(m.sent, wire.MaxFrameCap); err == nil {
			m.sent = rest
			return f
		} else if err != wire.ErrIncomplete {
			m.t.Fatalf("what left is no frame: %v", err)
		}
		var deadline <-chan time.Time
		if len(m.queue) > 0 {
			if d, ok := m.queue[0].(netloop.Deferred); ok && !d.Deadline().IsZero() {
				deadline = time.After(time.Until(d.Deadline()))
			}
		}
		select {
		case <-m.woken:
		case <-deadline:
		case <-expired:
			m.t.Fatalf("no frame for 10 s; %d answers wait, %d streams, %d bytes of input", len(m.queue), len(m.streams), len(m.input))
		}
		m.turn()
	}
}

// quiet checks that nothing more has left.
func (m *memory) quiet() {
	m.t.Helper()
	if len(m.sent) > 0 {
		f, _, err := wire.Split(m.sent, wire.MaxFrameCap)
		m.t.Fatalf("%s left (%v), want nothing", describe(f), err)
	}
}

// describe is a frame for messages.
func describe(f wire.Frame) string {
	text := fmt.Sprintf("%s of request %d, %d bytes", f.Kind, f.RequestID, len(f.Payload))
	if f.Kind == wire.KindError {
		if e, err := wire.ParseError(f); err == nil {
			text += ": " + e.Error()
		}
	}
	return text
}
