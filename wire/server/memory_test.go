package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// memory is a connection in memory.
type memory struct {
	*netloop.Stepper
	t       testing.TB
	session *session
}

// newMemory returns a connection whose session has not received anything. It
// is closed with the test.
func newMemory(t testing.TB, f *frontend) *memory {
	s := newSession(f, netloop.Peer{})
	m := &memory{Stepper: netloop.NewStepper(s), t: t, session: s}
	t.Cleanup(m.Close)
	return m
}

// next returns the next frame that leaves, waiting for it.
func (m *memory) next() wire.Frame {
	m.t.Helper()
	expired := time.After(10 * time.Second)
	for {
		if f, rest, err := wire.Split(m.Sent, wire.MaxFrameCap); err == nil {
			m.Sent = rest
			return f
		} else if err != wire.ErrIncomplete {
			m.t.Fatalf("what left is no frame: %v", err)
		}
		if !m.Wait(expired) {
			answers, streams := m.Pending()
			m.t.Fatalf("no frame for 10 s; %d answers wait, %d streams, %d bytes of input", answers, streams, len(m.Input))
		}
	}
}

// quiet checks that nothing more has left.
func (m *memory) quiet() {
	m.t.Helper()
	if len(m.Sent) > 0 {
		f, _, err := wire.Split(m.Sent, wire.MaxFrameCap)
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
