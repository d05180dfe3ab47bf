package server

import (
	"fmt"
	"slices"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// groupChange is a request that the coordinator of groups answers when what it
// changes is durable. The session takes no other request meanwhile, so that the
// next one finds done what this one asked for.
type groupChange struct {
	session *session
	kind    wire.Kind
	id      uint32
	bytes   int64 // of the frame
	started time.Time
	pending *coord.Pending[coord.Code]
	// refused tells why the request is refused that was answered with the code, nil
	// if it was not.
	refused func(coord.Code) error
}

// await answers with Done, or with what refused returns, once the coordinator has
// answered.
func (s *session) await(f wire.Frame, out *netloop.Out, pending *coord.Pending[coord.Code], refused func(coord.Code) error) {
	g := &groupChange{session: s, kind: f.Kind, id: f.RequestID, bytes: int64(f.Size()), started: s.started, pending: pending, refused: refused}
	s.running, s.counted = true, true
	s.inFlight += g.bytes
	out.Defer(g)
}

// Poll implements netloop.Deferred.
func (g *groupChange) Poll(out *netloop.Out, wake func()) (done bool) {
	answer, done := g.pending.Poll(wake)
	if !done {
		return false
	}
	code := wire.Code(0)
	if err := g.refused(answer); err != nil {
		code = g.session.refuse(g.id, err, out)
	} else {
		m := wire.Done{}
		out.Buf = m.AppendTo(out.Buf, g.id)
	}
	g.session.count(g.kind, code, g.started)
	g.release()
	return true
}

// Deadline implements netloop.Deferred. A write ends, or fails, by itself.
func (g *groupChange) Deadline() time.Time { return time.Time{} }

// Cancel implements netloop.Deferred. What was asked for is done all the same.
func (g *groupChange) Cancel() {
	g.pending.Cancel(time.Now())
	g.release()
}

func (g *groupChange) release() {
	g.session.inFlight -= g.bytes
	g.session.running = false
}

// errStillLoading refuses what needs groups that are being loaded.
var errStillLoading = fmt.Errorf("%w: they are read from the log after a start, try again", errGroupsLoading)

// groupRefusal tells why a request about a group is refused that the coordinator
// has answered with the code; nil if it was not refused.
func (f *frontend) groupRefusal(group string, code coord.Code) error {
	switch code {
	case coord.None:
		return nil
	case coord.CoordinatorLoadInProgress:
		if p, missing := f.missing(group); missing {
			return fmt.Errorf("%w: %q is in %s-%d, which cannot be read: its log says why; mend it and start the server again", errGroupUnavailable, group, node.OffsetsTopic, p)
		}
		return errStillLoading
	case coord.NotCoordinator:
		return fmt.Errorf("%w: the server stops", engine.ErrClosed)
	case coord.CoordinatorNotAvailable:
		if err := stopped(f.engine); err != nil {
			return err
		}
		return fmt.Errorf("%w: %q takes no change now, try again", errGroupUnavailable, group)
	case coord.GroupIDNotFound:
		return fmt.Errorf("%w: %q", errUnknownGroup, group)
	case coord.NonEmptyGroup:
		return fmt.Errorf("%w: %q has members, stop them first", errGroupNotEmpty, group)
	case coord.UnknownMemberID:
		return fmt.Errorf("%w: %q has members, who alone may commit its offsets; stop them first", errGroupNotEmpty, group)
	case coord.InvalidGroupID:
		return fmt.Errorf("%w: group id %q", errInvalidRequest, group)
	}
	return fmt.Errorf("group %q: the coordinator answered %v", group, code)
}

// missing returns the partition of the offsets log that a group is in if that
// cannot be read.
func (f *frontend) missing(group string) (partition int32, missing bool) {
	partition = f.node.Groups().PartitionOf(group)
	return partition, slices.Contains(f.node.Groups().Missing(), partition)
}
