package server

import (
	"fmt"
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// maxGroup bounds the Produces of one group: 1 MiB of batches of 4 KiB, and
// well below the 1,024 pieces that one pwritev(2) takes (IOV_MAX).
const maxGroup = 256

// produceGroup are Produces for one partition that came one behind the other:
// they are appended by one call and, if they have to wait for the high
// watermark, by one Deferred. Each gets an answer of its own.
type produceGroup struct {
	session   *session
	partition *engine.Partition
	ids       []uint32                // request ids, in order
	appends   []*engine.AppendRequest // as many; more behind its length, to be used again
	bytes     int64                   // of the frames
	started   time.Time               // when they were taken, all at once
	next      engine.Offset           // when the high watermark reaches it all can be answered
	wait      node.HighWatermarkWait
}

var produceGroups = sync.Pool{New: func() any { return new(produceGroup) }}

// produce gathers a Produce; flush appends it.
func (s *session) produce(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseProduce(f)
	if err != nil {
		return err
	}
	p, err := s.engine.Partition(m.Topic, m.Partition)
	if err == nil && p.Internal() {
		err = fmt.Errorf("%w: %s is written by the node alone", engine.ErrInternalTopic, p)
	}
	if err == nil {
		err = s.checkBatchSizes(m.Batches)
	}
	if err != nil {
		s.flush(out)
		if m.Acks == wire.AcksNone {
			s.count(f.Kind, refusal(err).Code, s.started)
			s.counted = true
			return nil
		}
		return err
	}
	if g := s.group; g != nil && (g.partition != p || len(g.ids) == maxGroup) {
		s.flush(out)
	}
	if s.group == nil {
		s.group = produceGroups.Get().(*produceGroup)
		s.group.session, s.group.partition, s.group.started = s, p, s.started
	}
	s.counted = true
	s.group.add(f.RequestID, m)
	s.group.bytes += int64(f.Size())
	s.inFlight += int64(f.Size())
	return nil
}

// checkBatchSizes refuses a batch that would not fit the Data that carries it.
// What is wrong otherwise is for the engine to find.
func (s *session) checkBatchSizes(batches []byte) error {
	limit := s.maxFrame - wire.FrameOverhead
	for rest := batches; len(rest) > limit; {
		b, after, err := record.Next(rest)
		if err != nil {
			return nil
		}
		if b.Size() > int64(limit) {
			return fmt.Errorf("%w: batch of %d bytes, want at most %d, so that a Data can carry it", errTooLarge, b.Size(), limit)
		}
		rest = after
	}
	return nil
}

// add appends a request. Its batches are read until flush.
func (g *produceGroup) add(id uint32, m wire.Produce) {
	g.ids = append(g.ids, id)
	n := len(g.appends)
	if n == cap(g.appends) {
		g.appends = append(g.appends, nil)
	}
	g.appends = g.appends[:n+1]
	if g.appends[n] == nil {
		g.appends[n] = new(engine.AppendRequest)
	}
	*g.appends[n] = engine.AppendRequest{Batches: m.Batches, Acks: engine.Acks(m.Acks)}
}

// flush appends what was gathered, and answers it or leaves that to a Deferred.
func (s *session) flush(out *netloop.Out) {
	g := s.group
	if g == nil {
		return
	}
	s.group = nil
	g.partition.Append(g.appends...)
	g.next = 0
	for _, r := range g.appends {
		r.Batches = nil // the driver's again
		if r.Err == nil && r.Acks != engine.AcksNone {
			g.next = max(g.next, r.NextOffset) // a duplicate may lie below the one before it
		}
	}
	g.wait.Reset(g.partition)
	if g.ready() {
		g.answer(out)
		g.release()
		return
	}
	out.Defer(g)
}

// ready tells whether each request can be answered.
func (g *produceGroup) ready() bool {
	ok, err := g.partition.Acknowledged(g.next)
	return ok || err != nil
}

// Poll implements netloop.Deferred.
func (g *produceGroup) Poll(out *netloop.Out, wake func()) (done bool) {
	for !g.ready() {
		if g.wait.Await(g.next, wake) {
			return false
		}
	}
	g.answer(out)
	g.release()
	return true
}

// Deadline implements netloop.Deferred. A commit ends, or fails, by itself.
func (g *produceGroup) Deadline() time.Time { return time.Time{} }

// Cancel implements netloop.Deferred.
func (g *produceGroup) Cancel() { g.release() }

// answer answers each request that wants it.
func (g *produceGroup) answer(out *netloop.Out) {
	s := g.session
	logStart := int64(g.partition.Offsets().LogStart)
	good := int64(0)
	for i, r := range g.appends {
		if r.Acks == engine.AcksNone {
			if r.Err != nil {
				s.count(wire.KindProduce, refusal(r.Err).Code, g.started)
			} else {
				good++
			}
			continue
		}
		if r.Err != nil {
			s.count(wire.KindProduce, s.refuse(g.ids[i], r.Err, out), g.started)
			continue
		}
		if ok, err := g.partition.Acknowledged(r.NextOffset); !ok {
			s.count(wire.KindProduce, s.put(g.ids[i], unacknowledged(err), out), g.started)
			continue
		}
		good++
		m := wire.Produced{
			BaseOffset:      int64(r.BaseOffset),
			NextOffset:      int64(r.NextOffset),
			LogAppendTimeMs: r.LogAppendTime,
			LogStart:        logStart,
		}
		out.Buf = m.AppendTo(out.Buf, g.ids[i])
	}
	if good > 0 {
		s.requests.Requests(int(wire.KindProduce), 0, good, time.Since(g.started))
	}
}

// release ends g and gives its memory back.
func (g *produceGroup) release() {
	g.session.inFlight -= g.bytes
	g.wait.Forget()
	for _, r := range g.appends {
		r.Err = nil
	}
	g.session, g.partition, g.bytes = nil, nil, 0
	g.ids, g.appends = g.ids[:0], g.appends[:0]
	produceGroups.Put(g)
}
