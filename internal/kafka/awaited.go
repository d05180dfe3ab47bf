package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// awaited is a request that the coordinator of groups answers later: when other
// members have come, or when what it has written is durable. The session takes no
// other request meanwhile, as Kafka has it. It has no goroutine.
type awaited[T any] struct {
	session *session
	header  header

	pending []*coord.Pending[T]
	answers []T // of the first of pending
	// closed is the answer when the frontend stops; nil: that does not take long,
	// and is waited for.
	closed  *T
	respond func(answers []T) kmsg.Response

	enrolled bool
}

// await answers the request with what respond makes of the answers, at once if
// they are there. respond must not refer to the request or to its body.
func await[T any](s *session, r *request, out *netloop.Out, closed *T, respond func(answers []T) kmsg.Response, pending ...*coord.Pending[T]) {
	a := &awaited[T]{session: s, header: r.header, pending: pending, closed: closed, respond: respond}
	if a.collect(nil) {
		a.answer(out)
		return
	}
	s.waits = true
	s.inFlight += a.header.bytes
	// Without a Hold before there is something to hold: so that the end of the
	// connection is noticed, which a member that waits for long must not outlive.
	out.Defer(a)
}

// collect takes the answers that are there, and tells whether that is all of
// them; wake is called when it is worth another try.
func (a *awaited[T]) collect(wake func()) (all bool) {
	for len(a.answers) < len(a.pending) {
		answer, done := a.pending[len(a.answers)].Poll(wake)
		if !done {
			return false
		}
		a.answers = append(a.answers, answer)
	}
	return true
}

// Poll implements netloop.Deferred.
func (a *awaited[T]) Poll(out *netloop.Out, wake func()) (done bool) {
	if !a.collect(wake) {
		if a.closed == nil {
			return false
		}
		closing := &a.session.Closing
		if !a.enrolled {
			a.enrolled = closing.Enroll(a, wake)
		}
		if !closing.HasBegun() {
			return false
		}
		a.abandon()
	}
	a.answer(out)
	a.release()
	return true
}

// abandon gives up what is not there, for closed.
func (a *awaited[T]) abandon() {
	for _, p := range a.pending[len(a.answers):] {
		p.Cancel(time.Now())
		a.answers = append(a.answers, *a.closed)
	}
}

func (a *awaited[T]) answer(out *netloop.Out) {
	a.session.answer(&a.header, a.respond(a.answers), out)
}

// Deadline implements netloop.Deferred: the coordinator has timers of its own.
func (a *awaited[T]) Deadline() time.Time { return time.Time{} }

// Cancel implements netloop.Deferred. What was asked for is done all the same.
func (a *awaited[T]) Cancel() {
	for _, p := range a.pending[len(a.answers):] {
		p.Cancel(time.Now())
	}
	a.release()
}

func (a *awaited[T]) release() {
	if a.enrolled {
		a.session.Closing.Leave(a)
	}
	a.session.inFlight -= a.header.bytes
	a.session.waits = false
}

// groups keeps the groups of the node.
func (f *frontend) groups() *coord.Coordinator { return f.node.Groups() }
