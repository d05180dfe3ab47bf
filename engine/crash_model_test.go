package engine

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/engine/record"
)

// crashModel is what was asked of an engine and what it answered: a slice of
// batches per partition. What an engine shows that is opened on the image of a
// crash must agree with it.
type crashModel struct {
	topics []*crashTopic
}

// topicState is what is known of a topic.
type topicState int

const (
	topicInDoubt topicState = iota // its creation was not answered, or with an error
	topicThere
	topicLeaving // its deletion was not answered, or with an error
	topicGone
)

type crashTopic struct {
	name       string
	id         TopicID // once its creation was answered
	state      topicState
	partitions []*crashPartition
}

type crashPartition struct {
	// batches were asked to be appended, in this order. Several may have the same
	// base offset: the last is the one that counts, the others failed, and may be
	// what is there only if nobody was told of the last one.
	batches []crashBatch
	end     Offset // where the next append goes
	// need is the end of what was acknowledged or visible and promised to stay.
	need Offset
	// start is where DeleteRecords has answered that the log begins, and mostStart
	// the furthest that it was asked for, or that retention may have gone.
	start, mostStart Offset
	// producer and sequence are those of the next batch.
	producer int64
	sequence int32
	// live is the running engine's partition; nil while there is none.
	live *Partition
}

// crashProducers numbers the producers of tests: each partition of each topic
// has its own, so that nothing of another one's can stand in for it.
var crashProducers atomic.Int64

type crashBatch struct {
	base  Offset
	bytes []byte // masked
}

func newCrashPartition() *crashPartition { return &crashPartition{producer: crashProducers.Add(1)} }

// masked copies a batch without what the log decides beside the base offset.
func masked(b record.Batch) []byte {
	bytes := slices.Clone(b)
	record.Batch(bytes).SetBaseOffset(0)
	record.Batch(bytes).SetLeaderEpoch(0)
	return bytes
}

// snapshot copies the model. What a running engine shows as durable counts as
// promised, whoever has seen it.
func (m *crashModel) snapshot() *crashModel {
	copied := &crashModel{}
	for _, t := range m.topics {
		twin := *t
		twin.partitions = nil
		for _, p := range t.partitions {
			if p.live != nil && PartitionState(p.live.state.Load()) == Ready {
				p.need = max(p.need, p.live.promised())
			}
			q := *p
			q.batches = slices.Clip(p.batches)
			twin.partitions = append(twin.partitions, &q)
		}
		copied.topics = append(copied.topics, &twin)
	}
	return copied
}

// promised is what must be there after a power cut: what is visible, and for a
// topic that opted out of that what was flushed.
func (p *Partition) promised() Offset {
	o := p.Offsets()
	if p.log.config().Durable() {
		return o.HighWatermark
	}
	return o.Flushed
}

// check compares an engine that was opened on a crash image with the model, and
// returns what is wrong.
func (m *crashModel) check(e *Engine) error {
	for _, t := range m.topics {
		found := e.Topics()[t.name]
		if found != nil && t.state != topicInDoubt && found.ID() != t.id {
			found = nil
		}
		switch {
		case found == nil && t.state == topicThere:
			return fmt.Errorf("topic %s was created and is not there", t.name)
		case found != nil && t.state == topicGone:
			return fmt.Errorf("topic %s was deleted and is there", t.name)
		case found == nil:
			continue
		}
		if known := m.byID(found.ID()); known != nil && known != t {
			continue // in doubt, and another topic of that name is there
		}
		for i, p := range found.Partitions() {
			if i >= len(t.partitions) {
				break // more than was asked for
			}
			if err := t.partitions[i].check(p); err != nil {
				return err
			}
		}
	}
	for name, t := range e.Topics() {
		if m.byID(t.ID()) == nil && m.inDoubt(name) == nil {
			return fmt.Errorf("topic %s has id %v, which was never created", name, t.ID())
		}
	}
	return nil
}

func (m *crashModel) byID(id TopicID) *crashTopic {
	for _, t := range m.topics {
		if t.state != topicInDoubt && t.id == id {
			return t
		}
	}
	return nil
}

func (m *crashModel) inDoubt(name string) *crashTopic {
	for _, t := range m.topics {
		if t.state == topicInDoubt && t.name == name {
			return t
		}
	}
	return nil
}

// check compares a partition after a crash with what was asked of it.
func (m *crashPartition) check(p *Partition) error {
	if state, err := p.State(); state != Ready {
		return fmt.Errorf("%s is %v: %w", p, state, err)
	}
	o := p.Offsets()
	if o.HighWatermark != o.LogEnd || o.Flushed != o.LogEnd {
		return fmt.Errorf("%s has offsets %+v after a start: not all is durable", p, o)
	}
	if o.LogEnd < m.need {
		return fmt.Errorf("%s ends at offset %d, but was acknowledged or visible up to %d", p, o.LogEnd, m.need)
	}
	if o.LogStart < m.start || o.LogStart > m.mostStart {
		return fmt.Errorf("%s begins at offset %d, but records were deleted up to %d, and at most to %d", p, o.LogStart, m.start, m.mostStart)
	}
	found, err := readBatches(p, o.LogStart)
	if err != nil {
		return err
	}
	next := o.LogStart
	for i, b := range found {
		if i == 0 && b.BaseOffset() < next && next < b.NextOffset() {
			next = b.BaseOffset() // the log begins inside of this batch
		}
		if b.BaseOffset() != next {
			return fmt.Errorf("%s has a batch at offset %d behind one that ends at %d", p, b.BaseOffset(), next)
		}
		if !m.asked(b) {
			return fmt.Errorf("%s has a batch at offset %d that was not appended there", p, next)
		}
		next = b.NextOffset()
	}
	if next != o.LogEnd {
		return fmt.Errorf("%s ends at offset %d, its batches at %d", p, o.LogEnd, next)
	}
	if err := m.checkLookups(p, found, o.LogStart); err != nil {
		return err
	}
	return checkProducers(p, found, o.LogStart)
}

// asked tells whether b was to be appended where it is: below what was promised
// as the last of its base offset, above as any.
func (m *crashPartition) asked(b record.Batch) bool {
	bytes := masked(b)
	for i := len(m.batches) - 1; i >= 0; i-- {
		if c := &m.batches[i]; c.base == b.BaseOffset() {
			if slices.Equal(c.bytes, bytes) {
				return true
			}
			if c.base < m.need {
				return false
			}
		}
	}
	return false
}

// checkLookups finds each batch by its offsets and by its time.
func (m *crashPartition) checkLookups(p *Partition, found []record.Batch, start Offset) error {
	for _, b := range found {
		for _, off := range []Offset{max(b.BaseOffset(), start), b.NextOffset() - 1} {
			s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1})
			if err != nil {
				return fmt.Errorf("fetch from %s at %d: %w", p, off, err)
			}
			got, err := s.ReadAll(nil)
			s.Close()
			if err != nil || !bytes.Equal(got, b) {
				return fmt.Errorf("fetch from %s at %d: %d bytes that are not the batch at %d: %w", p, off, len(got), b.BaseOffset(), err)
			}
		}
		at, err := p.OffsetByTime(b.MaxTimestamp())
		if err != nil || at.Offset != b.NextOffset()-1 {
			return fmt.Errorf("%s: the record of %d ms is found at offset %d, want %d: %w", p, b.MaxTimestamp(), at.Offset, b.NextOffset()-1, err)
		}
	}
	return nil
}

// checkProducers holds what is known of idempotent producers against the log,
// which may hold nothing of a producer any more if its start has moved.
func checkProducers(p *Partition, found []record.Batch, start Offset) error {
	want := map[int64]record.Batch{}
	for _, b := range found {
		if b.ProducerID() >= 0 {
			want[b.ProducerID()] = b
		}
	}
	for _, known := range p.Producers() {
		last, ok := want[known.ID]
		if !ok && known.LastOffset < start {
			continue
		}
		if !ok {
			return fmt.Errorf("%s remembers %+v, who has no batch in the log", p, known)
		}
		sequence := last.BaseSequence() + last.LastOffsetDelta()
		if known.LastOffset != last.LastOffset() || known.LastSequence != sequence {
			return fmt.Errorf("%s remembers %+v, the last batch is at offset %d with sequence %d", p, known, last.LastOffset(), sequence)
		}
		delete(want, known.ID)
	}
	for id, b := range want {
		return fmt.Errorf("%s does not remember producer %d, whose last batch is at offset %d", p, id, b.BaseOffset())
	}
	return nil
}

// readBatches reads a partition from off to its end.
func readBatches(p *Partition, off Offset) ([]record.Batch, error) {
	var all []record.Batch
	var cursor Cursor
	for {
		s, err := p.Fetch(FetchRequest{Offset: off, MaxBytes: 1 << 20, Cursor: &cursor})
		if err != nil {
			return nil, fmt.Errorf("fetch from %s at %d: %w", p, off, err)
		}
		got, err := s.ReadAll(nil)
		length := s.Len
		s.Close()
		if err != nil {
			return nil, fmt.Errorf("fetch from %s at %d: %w", p, off, err)
		}
		if length == 0 {
			return all, nil
		}
		if len(got) == 0 {
			return nil, fmt.Errorf("fetch from %s at %d: no whole batch in %d bytes", p, off, length)
		}
		for len(got) > 0 {
			var b record.Batch
			if b, got, err = record.Next(got); err == nil {
				err = b.Verify()
			}
			if err != nil {
				return nil, fmt.Errorf("fetch from %s at %d: %w", p, off, err)
			}
			all = append(all, b)
			off = b.NextOffset()
		}
	}
}

// settle takes over what an engine shows that was opened after a crash and has
// passed the check: what is in doubt is not any more.
func (m *crashModel) settle(e *Engine) {
	for _, t := range m.topics {
		found := e.Topics()[t.name]
		if t.state == topicInDoubt && found != nil && m.byID(found.ID()) == nil {
			t.id, t.state = found.ID(), topicThere
		}
		if found == nil || found.ID() != t.id {
			found = nil
			t.state = topicGone
		} else {
			t.state = topicThere
		}
		for i, p := range t.partitions {
			p.live = nil
			if found != nil && i < len(found.Partitions()) {
				p.settle(found.Partitions()[i])
			}
		}
	}
}

func (m *crashPartition) settle(p *Partition) {
	m.live = p
	m.end = p.Offsets().LogEnd
	m.need = m.end
	m.mostStart = p.Offsets().LogStart
	found, err := readBatches(p, p.Offsets().LogStart)
	if err != nil {
		panic(err) // it was read by check a moment ago
	}
	// An append that failed was cut off again, but that is not durable before the
	// next sync of the file: until then a power cut may bring it back.
	var inDoubt []crashBatch
	for _, b := range m.batches {
		if b.base >= m.end {
			inDoubt = append(inDoubt, b)
		}
	}
	m.batches = nil
	m.producer, m.sequence = crashProducers.Add(1), 0
	for _, b := range found {
		if b.ProducerID() >= 0 {
			m.producer, m.sequence = b.ProducerID(), b.BaseSequence()+int32(b.Count())
		}
		m.batches = append(m.batches, crashBatch{b.BaseOffset(), masked(b)})
	}
	m.batches = append(m.batches, inDoubt...)
}

// repeatLast sends the last batch of the log again, if its producer is
// idempotent: it is recognized.
func (m *crashPartition) repeatLast(p *Partition) error {
	found, err := readBatches(p, p.Offsets().LogStart)
	if err != nil || len(found) == 0 || found[len(found)-1].ProducerID() < 0 {
		return err
	}
	last := found[len(found)-1]
	request := &AppendRequest{Batches: slices.Clone(last), Acks: AcksAll}
	record.Batch(request.Batches).SetBaseOffset(0)
	if err := p.Produce(context.Background(), request); err != nil {
		return fmt.Errorf("repeat the last batch of %s: %w", p, err)
	}
	if !request.Duplicate || request.BaseOffset != last.BaseOffset() || request.NextOffset != last.NextOffset() {
		return fmt.Errorf("the last batch of %s, at offset %d, was sent again and appended at %d", p, last.BaseOffset(), request.BaseOffset)
	}
	return nil
}

// openCrashed opens an engine on what a crash has left and waits until it is
// ready.
func openCrashed(options Options) (*Engine, error) {
	e, err := Open("", options)
	if err != nil {
		return nil, fmt.Errorf("open: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // it hangs
	defer cancel()
	if err := e.WaitReady(ctx); err != nil {
		abandon(e)
		return nil, fmt.Errorf("wait until ready: %w", err)
	}
	if err := e.Failure(); err != nil {
		abandon(e)
		return nil, fmt.Errorf("directory stopped while it was opened: %w", err)
	}
	return e, nil
}
