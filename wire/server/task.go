package server

import (
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// task is a request that waits for the disk for longer than a session may. It
// runs on a goroutine of its own, one per connection at a time: the session
// takes no other request until it is answered, so that the next one finds done
// what this one asked for.
type task struct {
	session *session
	id      uint32
	bytes   int64 // of the frame

	wake atomic.Pointer[func()]
	done atomic.Bool // what follows was written
	// answer is the frame, unless err says why the request is refused.
	answer []byte
	err    error
}

// run has work done, which appends the answer's frame to its argument.
func (s *session) run(f wire.Frame, out *netloop.Out, work func(dst []byte) ([]byte, error)) {
	t := &task{session: s, id: f.RequestID, bytes: int64(f.Size())}
	s.running = true
	s.inFlight += t.bytes
	s.tasks.Go(func() { t.work(work) })
	out.Defer(t)
}

// work is the goroutine of the task. A panic costs the request only, as one in
// a session costs its connection.
func (t *task) work(work func([]byte) ([]byte, error)) {
	defer func() {
		if v := recover(); v != nil {
			t.session.node.Log().Error("request panicked", "peer", t.session.peer.Remote, "request", t.id, "panic", v, "stack", string(debug.Stack()))
			t.err = panicked(v)
		}
		t.done.Store(true)
		// Poll stores the wake before it looks at done.
		if wake := t.wake.Load(); wake != nil {
			(*wake)()
		}
	}()
	t.answer, t.err = work(nil)
}

// Poll implements netloop.Deferred.
func (t *task) Poll(out *netloop.Out, wake func()) (done bool) {
	t.wake.Store(&wake)
	if !t.done.Load() {
		return false
	}
	if t.err != nil {
		t.session.refuse(t.id, t.err, out)
	} else {
		out.Buf = append(out.Buf, t.answer...)
	}
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
