package server

import (
	"fmt"
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// fetchRequest is a Fetch that was parsed.
type fetchRequest struct {
	id        uint32
	partition *engine.Partition
	offset    engine.Offset
	minBytes  int64 // Invariant: minBytes <= maxBytes
	maxBytes  int64
}

// fetch answers a Fetch, or lets it wait.
func (s *session) fetch(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseFetch(f)
	if err != nil {
		return err
	}
	p, err := s.engine.Partition(m.Topic, m.Partition)
	if err != nil {
		return err
	}
	r := fetchRequest{id: f.RequestID, partition: p, offset: engine.Offset(m.Offset)}
	r.maxBytes = min(int64(m.MaxBytes), s.maxBody())
	r.minBytes = min(int64(m.MinBytes), r.maxBytes)
	patient := m.MaxWaitMs > 0
	_, answered, err := s.tryFetch(&r, patient, out)
	if answered || err != nil {
		return err
	}
	w := longPolls.Get().(*longPoll)
	w.session, w.request, w.bytes, w.started = s, r, int64(f.Size()), s.started
	s.counted = true
	w.deadline = time.Now().Add(time.Duration(m.MaxWaitMs) * time.Millisecond)
	w.wait.Reset(p)
	s.inFlight += w.bytes
	out.Defer(w)
	return nil
}

// maxBody is the most bytes of batches that one Data can carry.
func (s *session) maxBody() int64 {
	return int64(s.maxFrame - (wire.DataHeaderSize - wire.HeadSize))
}

// tryFetch answers r with what is visible, unless it is patient and that is
// less than r wants; then highWatermark is the one that it has seen.
func (s *session) tryFetch(r *fetchRequest, patient bool, out *netloop.Out) (highWatermark engine.Offset, answered bool, err error) {
	cursor := s.cursors.Of(r.partition)
	before := *cursor
	slice, err := r.partition.Fetch(engine.FetchRequest{Offset: r.offset, MaxBytes: r.maxBytes, Cursor: cursor})
	if err != nil {
		return 0, false, err
	}
	if patient && slice.Len < r.minBytes && slice.AtEnd {
		*cursor = before // it is asked for again
		slice.Close()
		return slice.Offsets.HighWatermark, false, nil
	}
	if slice.Len > s.maxBody() {
		slice.Close()
		return 0, false, fmt.Errorf("%w: the batch at offset %d of %s has %d bytes, a frame carries at most %d",
			errTooLarge, r.offset, r.partition, slice.Len, s.maxBody())
	}
	putData(r.id, r.partition, slice, false, out)
	return 0, true, nil
}

// putData appends a Data with the bytes of slice, which out owns from now on.
func putData(id uint32, p *engine.Partition, slice engine.Slice, end bool, out *netloop.Out) {
	m := wire.Data{
		End:       end,
		Partition: p.Index(),
		Offsets: wire.Offsets{
			LogStart:      int64(slice.Offsets.LogStart),
			LastStable:    int64(slice.Offsets.LastStable),
			HighWatermark: int64(slice.Offsets.HighWatermark),
		},
		LeaderEpoch: p.LeaderEpoch(),
	}
	out.Buf = wire.AppendDataHead(out.Buf, id, &m, int(slice.Len))
	out.Range(slice.Range)
	p.CountFetched(slice.Len)
}

// longPoll is a Fetch that waits for records.
type longPoll struct {
	session  *session
	request  fetchRequest
	bytes    int64 // of the frame
	started  time.Time
	deadline time.Time
	enrolled bool
	wait     node.HighWatermarkWait
}

var longPolls = sync.Pool{New: func() any { return new(longPoll) }}

// Poll implements netloop.Deferred.
func (w *longPoll) Poll(out *netloop.Out, wake func()) (done bool) {
	s := w.session
	if !w.enrolled {
		w.enrolled = s.Closing.Enroll(&w.wait, wake)
	}
	waits, err := w.try(out, wake)
	if waits {
		return false
	}
	code := wire.Code(0)
	if err != nil {
		code = s.refuse(w.request.id, err, out)
	}
	s.count(wire.KindFetch, code, w.started)
	w.release()
	return true
}

// try answers unless it waits, or returns why the request is refused.
func (w *longPoll) try(out *netloop.Out, wake func()) (waits bool, err error) {
	s := w.session
	if s.Closing.HasBegun() {
		return false, fmt.Errorf("%w: the server stops", engine.ErrClosed)
	}
	highWatermark, answered, err := s.tryFetch(&w.request, time.Now().Before(w.deadline), out)
	if answered || err != nil {
		return false, err
	}
	if w.wait.Await(highWatermark+1, wake) {
		return true, nil
	}
	if err := stopped(s.engine); err != nil {
		return false, err // nothing will come any more
	}
	wake() // something came meanwhile
	return true, nil
}

// Deadline implements netloop.Deferred.
func (w *longPoll) Deadline() time.Time { return w.deadline }

// Cancel implements netloop.Deferred.
func (w *longPoll) Cancel() { w.release() }

// release ends w and gives its memory back.
func (w *longPoll) release() {
	w.session.inFlight -= w.bytes
	w.session.Closing.Leave(&w.wait)
	w.wait.Forget()
	w.session, w.request, w.enrolled = nil, fetchRequest{}, false
	longPolls.Put(w)
}
