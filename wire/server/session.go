package server

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// session is the state of one connection.
type session struct {
	*frontend
	peer netloop.Peer

	greeted  bool  // the Hello was answered by a Welcome
	running  bool  // a task or groupChange runs: no further request until it is answered
	inFlight int64 // bytes of the requests that are not answered yet

	started time.Time // when Receive was called
	counted bool      // the request that is handled was counted, or will be when it is answered

	group         *produceGroup // Produces not yet appended; nil between two calls of Receive
	cursors       node.CursorCache
	subscriptions map[uint32]*subscription // by request id, until their last frame

	logged bool // an internal error of this connection was logged
}

func newSession(f *frontend, peer netloop.Peer) *session { return &session{frontend: f, peer: peer} }

// Receive implements netloop.Session.
func (s *session) Receive(p []byte, out *netloop.Out) (n, need int, err error) {
	s.started = time.Now()
	rest := p
	for out.Room() > 0 {
		if s.blocked() {
			s.flush(out) // may answer at once what was gathered
			if s.blocked() {
				out.Hold()
				break
			}
		}
		f, after, err := wire.Split(rest, s.frameLimit())
		if err == wire.ErrIncomplete {
			if len(rest) > 0 {
				need = f.Size()
			}
			break
		}
		if err != nil {
			s.flush(out)
			return len(p) - len(rest), 0, s.reject(requestID(rest, err), err, out)
		}
		rest = after
		if err := s.handle(f, out); err != nil {
			return len(p) - len(rest), 0, err
		}
	}
	s.flush(out)
	return len(p) - len(rest), need, nil
}

// Close implements netloop.Session. All there was to release belonged to
// Deferreds.
func (s *session) Close() {}

// blocked tells whether the next request has to wait for an answer.
func (s *session) blocked() bool {
	return s.running || s.inFlight >= s.node.Limits().InFlightBytes
}

// frameLimit is the most payload bytes that the next frame may have.
func (s *session) frameLimit() int {
	if !s.greeted {
		return wire.MaxHelloFrame
	}
	return s.maxFrame
}

// requestID is the request id of the frame at the start of p that Split has
// refused with err: 0 when its head is not to be trusted.
func requestID(p []byte, err error) uint32 {
	if wire.CodeOf(err) == wire.CodeBadHeadCheck || len(p) < wire.HeadSize {
		return 0
	}
	return binary.BigEndian.Uint32(p[8:])
}

// handle carries out one request. Its error ends the connection.
func (s *session) handle(f wire.Frame, out *netloop.Out) error {
	if f.Kind != wire.KindProduce {
		s.flush(out)
	}
	s.counted = false
	err := s.dispatch(f, out)
	if err == nil {
		if !s.counted {
			s.count(f.Kind, 0, s.started)
		}
		return nil
	}
	if malformed, ok := err.(*wire.Error); ok {
		s.flush(out)
		s.count(f.Kind, malformed.Code, s.started)
		return s.reject(f.RequestID, err, out)
	}
	s.count(f.Kind, s.refuse(f.RequestID, err, out), s.started)
	return nil
}

// dispatch calls the method for the kind of f. The error is a *wire.Error if
// the frame is malformed, any other if the request is refused.
func (s *session) dispatch(f wire.Frame, out *netloop.Out) error {
	switch {
	case !s.greeted:
		return s.hello(f, out)
	case f.Kind == wire.KindCredit:
		return s.credit(f)
	case f.Kind == wire.KindUnsubscribe:
		return s.unsubscribe(f)
	case s.subscriptions[f.RequestID] != nil:
		return wire.Errorf(wire.CodeInvalidRequest, "%s: request id %d, which a subscription has", f.Kind, f.RequestID)
	}
	switch f.Kind {
	case wire.KindProduce:
		return s.produce(f, out)
	case wire.KindFetch:
		return s.fetch(f, out)
	case wire.KindSubscribe:
		return s.subscribe(f, out)
	case wire.KindListOffsets:
		return s.listOffsets(f, out)
	case wire.KindDeleteRecords:
		return s.deleteRecords(f, out)
	case wire.KindInitProducer:
		return s.initProducer(f, out)
	case wire.KindSkipDamage:
		return s.skipDamage(f, out)
	case wire.KindCommitOffset:
		return s.commitOffset(f, out)
	case wire.KindFetchOffset:
		return s.fetchOffset(f, out)
	case wire.KindListGroups:
		return s.listGroups(f, out)
	case wire.KindDescribeGroup:
		return s.describeGroup(f, out)
	case wire.KindDeleteGroup:
		return s.deleteGroup(f, out)
	case wire.KindCreateTopic:
		return s.createTopic(f, out)
	case wire.KindDescribeTopic:
		return s.describeTopic(f, out)
	case wire.KindListTopics:
		return s.listTopics(f, out)
	case wire.KindAlterTopic:
		return s.alterTopic(f, out)
	case wire.KindDeleteTopic:
		return s.deleteTopic(f, out)
	case wire.KindHello:
		return wire.Errorf(wire.CodeInvalidRequest, "a second Hello, want one per connection")
	}
	return wire.UnknownKind(f.Kind)
}

// hello answers the first frame.
func (s *session) hello(f wire.Frame, out *netloop.Out) error {
	if f.Kind != wire.KindHello {
		return wire.Errorf(wire.CodeInvalidRequest, "first frame is %s, want Hello", f.Kind)
	}
	m, err := wire.ParseHello(f)
	if err != nil {
		return err
	}
	if m.Mechanism != "" {
		return wire.Errorf(wire.CodeInvalidRequest, "Hello: mechanism %q, want none: this server knows no authentication", m.Mechanism)
	}
	s.greeted = true
	w := wire.Welcome{
		Version:         wire.Version,
		Software:        "rollway",
		SoftwareVersion: s.node.Version(),
		NodeID:          s.engine.NodeID(),
		ClusterID:       s.engine.ClusterID(),
		MaxFrame:        uint32(s.maxFrame),
		MaxInFlight:     s.node.Limits().InFlightBytes,
		MaxCredit:       s.options.MaxCredit,
		IdleTimeoutMs:   uint32(s.options.IdleTimeout.Milliseconds()),
	}
	out.Buf = w.AppendTo(out.Buf, f.RequestID)
	return nil
}

// reject answers a malformed frame and returns why the connection ends. err is
// what the codec said of it, a *wire.Error.
func (s *session) reject(requestID uint32, err error, out *netloop.Out) error {
	malformed := err.(*wire.Error)
	out.Buf = malformed.AppendTo(out.Buf, requestID)
	return fmt.Errorf("malformed frame, request id %d: %w", requestID, malformed)
}

// refuse answers a request that was refused, and returns with which code.
func (s *session) refuse(requestID uint32, err error, out *netloop.Out) wire.Code {
	return s.put(requestID, refusal(err), out)
}

// put answers with an Error, and returns its code.
func (s *session) put(requestID uint32, e *wire.Error, out *netloop.Out) wire.Code {
	if e.Code == wire.CodeInternal && !s.logged {
		s.logged = true
		s.node.Log().Error("request failed", "peer", s.peer.Remote, "request", requestID, "error", e.Text)
	}
	out.Buf = e.AppendTo(out.Buf, requestID)
	return e.Code
}
