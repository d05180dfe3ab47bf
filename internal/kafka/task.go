package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// task is a request that waits for the disk for longer than a session may. It
// runs on a goroutine of its own, one per connection at a time: the session
// takes no other request until it is answered, so that the next one finds done
// what this one asked for.
type task struct {
	session *session
	header  header
	node.Task
	response kmsg.Response // written by the Task
}

// run answers the request with what work returns. work must not refer to the
// request or to its body, which are gone when it runs.
func (s *session) run(r *request, out *netloop.Out, work func() kmsg.Response) {
	t := &task{session: s, header: r.header}
	s.waits = true
	s.inFlight += t.header.bytes
	log := s.node.Log().With("peer", s.peer.Remote, "api", r.api.name)
	t.Start(&s.Tasks, log, func() { t.response = work() })
	out.Defer(t)
	out.Hold()
}

// Poll implements netloop.Deferred.
func (t *task) Poll(out *netloop.Out, wake func()) (done bool) {
	done, panicked := t.Done(wake)
	if !done {
		return false
	}
	if panicked != nil {
		// No API has an answer for that, and one that is missing would shift
		// all that follow.
		panic(panicked)
	}
	t.session.answer(&t.header, t.response, out)
	t.release()
	return true
}

// Deadline implements netloop.Deferred.
func (t *task) Deadline() time.Time { return time.Time{} }

// Cancel implements netloop.Deferred. What was asked for is done all the same.
func (t *task) Cancel() { t.release() }

func (t *task) release() {
	t.session.inFlight -= t.header.bytes
	t.session.waits = false
}
