package server

import (
	"fmt"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// subscription pushes the records of one partition. It is a stream of netloop.
type subscription struct {
	session   *session
	id        uint32
	partition *engine.Partition
	cursor    engine.Cursor // what is sent next
	maxBytes  int64         // of batches in one Data
	credit    int64         // bytes of batches that may be sent. Invariant: 0 <= credit <= MaxCredit

	greeted bool  // the first Data was sent
	ended   bool  // by an Unsubscribe
	fault   error // why it ends, by the client's fault

	wake     func() // nil before the first Poll
	enrolled bool
	wait     node.HighWatermarkWait
}

// subscribe starts a subscription.
func (s *session) subscribe(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseSubscribe(f)
	if err != nil {
		return err
	}
	if n := len(s.subscriptions); n >= s.options.MaxSubscriptions {
		return fmt.Errorf("%w: the connection has %d subscriptions, the most that it may have", errLimitReached, n)
	}
	if m.Credit > s.options.MaxCredit {
		return fmt.Errorf("%w: Subscribe: credit %d, want at most %d", errInvalidRequest, m.Credit, s.options.MaxCredit)
	}
	p, err := s.engine.Partition(m.Topic, m.Partition)
	if err != nil {
		return err
	}
	cursor, err := p.Seek(engine.Offset(m.Offset))
	if err != nil {
		return err
	}
	sub := &subscription{
		session:   s,
		id:        f.RequestID,
		partition: p,
		cursor:    cursor,
		maxBytes:  min(int64(m.MaxBytes), s.maxBody()),
		credit:    m.Credit,
	}
	sub.wait.Reset(p)
	if s.subscriptions == nil {
		s.subscriptions = map[uint32]*subscription{}
	}
	s.subscriptions[f.RequestID] = sub
	out.Stream(sub)
	return nil
}

// credit allows a subscription more bytes. One that is not there has ended
// while the Credit was on its way.
func (s *session) credit(f wire.Frame) error {
	m, err := wire.ParseCredit(f)
	if err != nil {
		return err
	}
	sub := s.subscriptions[f.RequestID]
	if sub == nil {
		return nil
	}
	if limit := s.options.MaxCredit; m.Bytes > limit-sub.credit {
		sub.fault = fmt.Errorf("%w: Credit: %d more than %d, want at most %d together", errInvalidRequest, m.Bytes, sub.credit, limit)
	} else {
		sub.credit += m.Bytes
	}
	sub.wakeUp()
	return nil
}

// unsubscribe ends a subscription, unless it has ended already.
func (s *session) unsubscribe(f wire.Frame) error {
	if _, err := wire.ParseUnsubscribe(f); err != nil {
		return err
	}
	if sub := s.subscriptions[f.RequestID]; sub != nil {
		sub.ended = true
		sub.wakeUp()
	}
	return nil
}

// wakeUp has the subscription polled, which its first Poll needs no wake for.
func (sub *subscription) wakeUp() {
	if sub.wake != nil {
		sub.wake()
	}
}

// Poll implements netloop.Deferred.
func (sub *subscription) Poll(out *netloop.Out, wake func()) (done bool) {
	sub.wake = wake
	if !sub.enrolled {
		sub.enrolled = sub.session.Closing.Enroll(&sub.wait, wake)
	}
	done, err := sub.push(out)
	if err != nil {
		sub.session.refuse(sub.id, err, out)
		done = true
	}
	if done {
		sub.release()
	}
	return done
}

// push sends what is visible for as long as there is credit, and sees that it
// is called again. An error, or done, ends the subscription.
func (sub *subscription) push(out *netloop.Out) (done bool, err error) {
	switch {
	case sub.ended:
		putData(sub.id, sub.partition, engine.Slice{Offsets: sub.partition.Offsets()}, true, out)
		return true, nil
	case sub.fault != nil:
		return false, sub.fault
	case sub.session.Closing.HasBegun():
		return false, fmt.Errorf("%w: the server stops", engine.ErrClosed)
	}
	for sub.credit > 0 {
		if out.Room() == 0 {
			sub.wake()
			return false, nil
		}
		slice, err := sub.partition.FetchNext(&sub.cursor, min(sub.maxBytes, sub.credit))
		if err != nil {
			return false, err
		}
		if slice.Len == 0 {
			sub.greet(slice, out)
			return false, sub.await(slice.Offsets.HighWatermark + 1)
		}
		sub.greeted = true
		sub.credit -= slice.Len
		putData(sub.id, sub.partition, slice, false, out)
	}
	sub.greet(engine.Slice{Offsets: sub.partition.Offsets()}, out)
	return false, nil
}

// greet sends the first Data, without batches, if none was sent yet.
func (sub *subscription) greet(empty engine.Slice, out *netloop.Out) {
	if !sub.greeted {
		sub.greeted = true
		putData(sub.id, sub.partition, empty, false, out)
	}
}

// await has the subscription polled when the high watermark has reached at, or
// returns why it never will.
func (sub *subscription) await(at engine.Offset) error {
	if sub.wait.Await(at, sub.wake) {
		return nil
	}
	if err := stopped(sub.session.engine); err != nil {
		return err
	}
	sub.wake() // something came meanwhile
	return nil
}

// Deadline implements netloop.Deferred.
func (sub *subscription) Deadline() time.Time { return time.Time{} }

// Cancel implements netloop.Deferred.
func (sub *subscription) Cancel() { sub.release() }

// release ends the subscription; its id is free again.
func (sub *subscription) release() {
	sub.session.Closing.Leave(&sub.wait)
	sub.wait.Forget()
	delete(sub.session.subscriptions, sub.id)
}
