package server

import (
	"time"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// task is a request that waits for the disk for longer than a session may. It
// runs on a goroutine of its own, one per connection at a time: the session
// takes no other request until it is answered, so that the next one finds done
// what this one asked for.
type task struct {
	session *session
	kind    wire.Kind
	id      uint32
	bytes   int64 // of the frame
	started time.Time

	node.Task
	// answer is the frame, unless err says why the request is refused. Both are
	// written by the Task.
	answer []byte
	err    error
}

// run has work done, which appends the answer's frame to its argument.
func (s *session) run(f wire.Frame, out *netloop.Out, work func(dst []byte) ([]byte, error)) {
	t := &task{session: s, kind: f.Kind, id: f.RequestID, bytes: int64(f.Size()), started: s.started}
	s.running, s.counted = true, true
	s.inFlight += t.bytes
	log := s.node.Log().With("peer", s.peer.Remote, "request", t.id)
	t.Start(&s.Tasks, log, func() { t.answer, t.err = work(nil) })
	out.Defer(t)
}

// Poll implements netloop.Deferred.
func (t *task) Poll(out *netloop.Out, wake func()) (done bool) {
	done, panicked := t.Done(wake)
	if !done {
		return false
	}
	if panicked != nil {
		t.err = panicked
	}
	code := wire.Code(0)
	if t.err != nil {
		code = t.session.refuse(t.id, t.err, out)
	} else {
		out.Buf = append(out.Buf, t.answer...)
	}
	t.session.count(t.kind, code, t.started)
	t.release()
	return true
}

// Deadline implements netloop.Deferred.
func (t *task) Deadline() time.Time { return time.Time{} }

// Cancel implements netloop.Deferred. What was asked for is done all the same.
func (t *task) Cancel() { t.release() }

func (t *task) release() {
	t.session.inFlight -= t.bytes
	t.session.running = false
}
