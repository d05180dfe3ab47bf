package netloop

import (
	"fmt"
	"io"
	"testing"
)

// waitingReaders returns how many readers wait for room for answers.
func (l *lab) waitingReaders() int {
	l.server.mu.Lock()
	conns := make([]*conn, 0, len(l.server.conns))
	for c := range l.server.conns {
		conns = append(conns, c)
	}
	l.server.mu.Unlock()
	n := 0
	for _, c := range conns {
		c.mu.Lock()
		if c.waiting {
			n++
		}
		c.mu.Unlock()
	}
	return n
}

// flood sends frames until all are written, without reading.
func (p *peer) flood(count int, frame string) {
	go func() {
		for range count {
			if _, err := io.WriteString(p.tcp, frame); err != nil {
				return // the test is over
			}
		}
	}()
}

// A peer that does not read stops being read from at InFlightBytes, whether
// the answers are Ranges or memory, and is served to the end when it reads.
func TestBackpressureBytes(t *testing.T) {
	const count, size, inFlight = 2000, 100_000, 1 << 20
	f := func(frame string, head int) {
		t.Helper()
		l := newLab(t, Options{InFlightBytes: inFlight, SendBuffer: 64 << 10})
		p := l.dial()
		p.tcp.SetReadBuffer(64 << 10)
		p.flood(count, frame)
		// The reader sends too, so the socket may stop it before the bound does.
		eventually(t, "the server has answers to send", func() bool { return l.frames.Load() > 0 })
		for i := range count {
			p.wantBytes(l.answer(head, size))
			// Sent and unread: what both sockets hold, up to 8 MiB by autotuning.
			if ahead := l.frames.Load() - int64(i); ahead*size > inFlight+8<<20+2*size {
				t.Fatalf("%q: %d answers ahead of the peer", frame, ahead)
			}
		}
	}
	f(fmt.Sprintf("range 0 %d\n", size), len(fmt.Sprintf("range %d\n", size)))
	f(fmt.Sprintf("bytes %d\n", size), 0)
}

// answer returns what a frame of TestBackpressureBytes is answered by.
func (l *lab) answer(head, size int) []byte {
	if head == 0 {
		return l.data[:size]
	}
	return append(fmt.Appendf(nil, "range %d\n", size), l.data[:size]...)
}

// While an answer in front is not ready, the reader stops at exactly the bound
// and one answer, holds at most one buffer, and goes on afterwards.
func TestBackpressureBehindDeferred(t *testing.T) {
	f := func(o Options, frame string, most int64, read func(p *peer, l *lab)) {
		t.Helper()
		const count = 10_000
		l := newLab(t, o)
		p := l.dial()
		p.send("defer a")
		p.flood(count, frame)
		eventually(t, "the reader waits", func() bool { return l.waitingReaders() == 1 })
		if got := l.frames.Load(); got > most {
			t.Errorf("%q: %d frames consumed behind a deferred answer, want at most %d", frame, got, most)
		}
		if got := l.budget.InUse(); got > receiveBytes {
			t.Errorf("%q: %d bytes of the budget in use, want at most %d", frame, got, receiveBytes)
		}
		l.ready("a", "a\n", true)
		p.want("a")
		for range count {
			read(p, l)
		}
		p.tcp.Close()
		l.quiet()
	}
	f(Options{InFlightBytes: 10_000}, "range 0 1000\n", 1+10, func(p *peer, l *lab) { p.wantBytes(l.answer(1, 1000)) })
	f(Options{InFlightBytes: 10_000}, "bytes 1000\n", 1+10, func(p *peer, l *lab) { p.wantBytes(l.data[:1000]) })
	f(Options{MaxQueuedAnswers: 16}, "range 0 1\n", 16, func(p *peer, l *lab) { p.wantBytes(l.answer(1, 1)) })
	f(Options{MaxQueuedAnswers: 16}, "defer b 1\n", 16, func(p *peer, l *lab) { p.want("late b") })
}
