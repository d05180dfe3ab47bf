package kafka

import (
	"testing"

	"github.com/rollway/rollway/internal/netloop"
)

// outProbe is a netloop.Out outside of a driver.
type outProbe struct{ *netloop.Probe }

func newOutProbe() *outProbe { return &outProbe{netloop.NewProbe(64<<20, 1024)} }

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
	if o.Items() != 1 || len(o.Buf) > 0 {
		t.Fatalf("%d items, %d bytes, want one Deferred", o.Items(), len(o.Buf))
	}
	_, d := o.Item(0)
	return d
}
