package client

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// Record is what a Producer takes. Nothing of it is kept after Produce.
type Record struct {
	Key, Value []byte // nil is null, which is not the same as empty
	Headers    []record.Header

	// TimestampMs is in milliseconds since 1970. 0: now;
	// record.NoTimestamp: none.
	TimestampMs int64

	// Partition is for the Partitioner ByRecord.
	Partition int32
}

// batchOverheadBytes is what a batch takes of MaxInFlightBytes beside its
// records: its frame and its place in the queues, about. It bounds how many
// small ones there are.
const batchOverheadBytes = 512

// growth is how many times ProducerOptions.BatchBytes a batch may grow to that
// would only wait: 1 MiB by default, the default of max.message.bytes.
const growth = 16

// Producer gathers records into batches and sends them, those of a partition
// in the order in which Produce took them. Its methods may be called
// concurrently. Close it before its Client.
//
// The partitions that the topic had at NewProducer are all it knows.
//
// # Idempotence
//
// By default a Producer has an id, and numbers its batches, so that the server
// recognizes one that it has: each is stored once, and those of a partition in
// order, whatever happens to connection and server between. When the connection
// breaks, the Producer makes another one to the same address, for itself, and
// sends again what had no answer; the Client it was made with stays broken.
// At most five batches of a partition are on their way, which is as many as the
// server remembers.
//
// A batch fails when it has not been answered for RetryFor, and is in doubt then
// if it was ever sent. One that the server finds to be out of order although all
// before it were acknowledged fails with wire.CodeOutOfOrderSequence: the server
// has lost records that it acknowledged, or what it knew of this producer. After
// a failure the partition goes on under a new epoch.
//
// # Retries without idempotence
//
// A batch that the server could not take for now (wire.Error.Retryable, but
// not because it closes or has too few replicas, which only people change) was
// not appended and is sent again, after 50 ms and then ever longer, up to 1 s.
// Until it is done, no batch of its partition is sent that was not on its way
// already. If one of those was appended, the order can no longer be kept by
// sending again, so the refused one fails with ErrOvertaken; else they go out
// again in order, one by one. A batch in doubt is never sent again.
//
// # Errors
//
// When a batch has failed, Produce returns its error, until Flush or Close has
// returned it: so nobody writes on without having noticed. The other batches
// on their way are not recalled.
type Producer struct {
	client     *Client // as given; of an idempotent producer the first of several
	topic      string
	topicBytes []byte
	options    ProducerOptions
	batchBytes int // options.BatchBytes within the limits of topic and server
	grownBytes int // what a batch that waits may grow to; see producerPartition.full
	maxBatch   int // longest batch that the connection takes
	partitions []*producerPartition
	room       budget
	batches    sync.Pool // of *producedBatch

	// conn is the connection in use.
	conn atomic.Pointer[Client]
	// gone is closed when nothing can be sent any more: fault says why.
	gone <-chan struct{}
	// keeper, if the producer is idempotent, connects again.
	keeper *keeper

	// sticky is the partition of records that may go anywhere.
	sticky atomic.Int32
	// closed and broken are set before all open batches are sealed for the
	// last time: whoever opens one later must look at them.
	closed, broken atomic.Bool
	// failed is the first error of a batch that Flush has not returned.
	failed atomic.Pointer[error]

	calling sync.Mutex // held while OnBatch runs

	stop chan struct{}
	wake chan struct{} // one element: the loop has an earlier deadline
	loop sync.WaitGroup

	mu sync.Mutex
	// lingering are the open batches in the order of their deadlines, and
	// others that were sealed since.
	lingering []lingering // +checklocks:mu
	// retries are the partitions that wait to send again.
	retries []retry // +checklocks:mu
}

// lingering is the deadline of an open batch.
type lingering struct {
	partition *producerPartition
	number    int64
	due       time.Time
}

// retry is when a partition sends again.
type retry struct {
	partition *producerPartition
	due       time.Time
}

// NewProducer returns a Producer for a topic, which must exist.
//
// Errors: those of ProducerOptions.Validate, Client.DescribeTopic and, for an
// idempotent producer, Client.InitProducer.
func NewProducer(ctx context.Context, c *Client, topic string, options ProducerOptions) (*Producer, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	d, err := c.DescribeTopic(ctx, topic)
	if err != nil {
		return nil, err
	}
	if len(d.Partitions) == 0 {
		return nil, fmt.Errorf("produce to %s: the topic has no partitions, want at least one", topic)
	}
	p := newProducer(c, &d, options.withDefaults())
	if p.options.idempotent() {
		if err := p.becomeIdempotent(ctx, d.TopicID); err != nil {
			return nil, fmt.Errorf("produce to %s: %w", topic, err)
		}
	}
	p.loop.Add(1)
	go func() {
		defer p.loop.Done()
		p.run()
	}()
	return p, nil
}

func newProducer(c *Client, d *wire.TopicDescription, options ProducerOptions) *Producer {
	p := &Producer{
		client:     c,
		topic:      d.Topic,
		topicBytes: []byte(d.Topic),
		options:    options,
		maxBatch:   c.maxSend - wire.FrameOverhead,
		partitions: make([]*producerPartition, len(d.Partitions)),
		room:       budget{limit: options.MaxInFlightBytes},
		stop:       make(chan struct{}),
		wake:       make(chan struct{}, 1),
	}
	p.batchBytes = min(options.BatchBytes, p.maxBatch, maxMessageBytes(d))
	p.grownBytes = min(growth*options.BatchBytes, p.maxBatch, maxMessageBytes(d))
	p.conn.Store(c)
	p.gone = c.broken
	p.batches.New = func() any { return new(producedBatch) }
	for i := range p.partitions {
		p.partitions[i] = newProducerPartition(p, int32(i))
	}
	return p
}

// maxMessageBytes returns the config of this name, the longest batch that the
// topic takes; a value that cannot be one bounds nothing.
func maxMessageBytes(d *wire.TopicDescription) int {
	for i := range d.Configs {
		if d.Configs[i].Key != "max.message.bytes" {
			continue
		}
		if n, err := strconv.Atoi(d.Configs[i].Value); err == nil && n > record.HeaderSize {
			return n
		}
	}
	return record.MaxSize
}

// Produce takes a record; it waits while MaxInFlightBytes are used. It returns
// nil when the record is in a batch, not when it is written: Flush, Close and
// ProducerOptions.OnBatch tell about that.
//
// Errors, with the record not taken: ErrRecordTooLarge, ErrProducerClosed, the
// *ConnectionError, the cause of ctx, and that of a batch that has failed.
func (p *Producer) Produce(ctx context.Context, r Record) error {
	if failed := p.failed.Load(); failed != nil {
		return *failed
	}
	if err := p.produce(ctx, &r); err != nil {
		return fmt.Errorf("produce to %s: %w", p.topic, err)
	}
	return nil
}

func (p *Producer) produce(ctx context.Context, r *Record) error {
	size := record.RecordSizeMax(r.Key, r.Value, r.Headers...)
	if record.HeaderSize+size > p.maxBatch {
		return fmt.Errorf("%w: up to %d bytes, want at most %d", ErrRecordTooLarge, size, p.maxBatch-record.HeaderSize)
	}
	index, err := p.choose(r)
	if err != nil {
		return err
	}
	if !p.room.try(int64(size)) {
		p.sealAll() // nobody may wait for what waits for company
		if !p.room.take(ctx, p.gone, int64(size)) {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return p.fault()
		}
	}
	if err := p.partitions[index].append(r, size); err != nil {
		p.room.give(int64(size))
		return err
	}
	return nil
}

// connection returns the connection in use.
func (p *Producer) connection() *Client { return p.conn.Load() }

// fault is why nothing can be sent any more, once gone is closed.
func (p *Producer) fault() error {
	if p.keeper != nil {
		return p.keeper.fault
	}
	return p.client.Err()
}

// choose returns the partition of r.
func (p *Producer) choose(r *Record) (int32, error) {
	count := int32(len(p.partitions))
	index := p.options.Partitioner(*r, count)
	if index == AnyPartition {
		return p.sticky.Load(), nil
	}
	if index < 0 || index >= count {
		return 0, fmt.Errorf("partition %d, want 0..%d", index, count-1)
	}
	return index, nil
}

// sealed moves on the partition of records that may go anywhere, if it is
// index, of which a batch was sealed.
func (p *Producer) sealed(index int32) {
	p.sticky.CompareAndSwap(index, (index+1)%int32(len(p.partitions)))
}

// Flush sends what Produce has taken before, without lingering, and waits
// until all of it is done. It returns the error of the first batch that has
// failed since the last Flush, or the cause of ctx, with nothing recalled.
func (p *Producer) Flush(ctx context.Context) error {
	p.sealAll()
	for _, partition := range p.partitions {
		if err := partition.await(ctx, partition.lastNumber()); err != nil {
			return fmt.Errorf("flush of %s: %w", p.topic, err)
		}
	}
	if failed := p.failed.Swap(nil); failed != nil {
		return *failed
	}
	return nil
}

// Close is Flush, after which the Producer takes nothing more. If ctx ends
// before all is done, what the kernel was given is reported as in doubt, the
// rest fails with ErrProducerClosed, and Close returns the first of these
// errors. The Client stays open. A second Close returns nil.
func (p *Producer) Close(ctx context.Context) error {
	if p.closed.Swap(true) {
		return nil
	}
	err := p.Flush(ctx)
	close(p.stop)
	if p.keeper != nil {
		p.keeper.cancel()
		defer p.keeper.close()
	}
	p.loop.Wait()
	if ctx.Err() != nil {
		for _, partition := range p.partitions {
			partition.giveUp(context.Cause(ctx))
		}
		if failed := p.failed.Swap(nil); failed != nil {
			return *failed
		}
	}
	return err
}

// sealAll sends all open batches.
func (p *Producer) sealAll() {
	for _, partition := range p.partitions {
		partition.seal()
	}
}

// run sends batches that have lingered and those to be sent again, until Close
// or the end of the connection.
func (p *Producer) run() {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		timer.Reset(p.tick(time.Now()))
		select {
		case <-timer.C:
		case <-p.wake:
		case <-p.stop:
			return
		case <-p.gone:
			p.broken.Store(true)
			p.sealAll()
			for _, partition := range p.partitions {
				partition.connectionBroken(p.fault())
			}
			return
		}
	}
}

// tick does what is due and returns the time until something is.
func (p *Producer) tick(now time.Time) time.Duration {
	for {
		open, again, wait := p.due(now)
		switch {
		case open.partition != nil:
			open.partition.lingered(open.number)
		case again != nil:
			again.sendAgain()
		default:
			return wait
		}
	}
}

// due takes one open batch or one partition whose time has come; if there is
// none, wait is the time until then.
func (p *Producer) due(now time.Time) (open lingering, again *producerPartition, wait time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	wait = time.Hour // a wake comes before
	for i, r := range p.retries {
		if left := r.due.Sub(now); left <= 0 {
			p.retries = append(p.retries[:i], p.retries[i+1:]...)
			return lingering{}, r.partition, 0
		} else {
			wait = min(wait, left)
		}
	}
	for i, l := range p.lingering {
		if l.number <= l.partition.sealedNumber.Load() {
			continue
		}
		left := l.due.Sub(now)
		if left > 0 {
			p.dropLingering(i)
			return lingering{}, nil, min(wait, left)
		}
		p.dropLingering(i + 1)
		return l, nil, 0
	}
	p.dropLingering(len(p.lingering))
	return lingering{}, nil, wait
}

// dropLingering removes the first n of lingering.
// +checklocks:p.mu
func (p *Producer) dropLingering(n int) {
	left := copy(p.lingering, p.lingering[n:])
	clear(p.lingering[left:])
	p.lingering = p.lingering[:left]
}

// linger gives the open batch of a partition its deadline.
func (p *Producer) linger(partition *producerPartition, number int64, wait time.Duration) {
	l := lingering{partition: partition, number: number, due: time.Now().Add(max(0, wait))}
	p.mu.Lock()
	at := len(p.lingering)
	for at > 0 && l.due.Before(p.lingering[at-1].due) { // only next to batches that are held back
		at--
	}
	p.lingering = slices.Insert(p.lingering, at, l)
	p.mu.Unlock()
	if at == 0 {
		p.wakeLoop()
	}
}

// retryAfter lets partition send again after d.
func (p *Producer) retryAfter(partition *producerPartition, d time.Duration) {
	p.mu.Lock()
	p.retries = append(p.retries, retry{partition: partition, due: time.Now().Add(d)})
	p.mu.Unlock()
	p.wakeLoop()
}

func (p *Producer) wakeLoop() {
	select {
	case p.wake <- struct{}{}:
	default: // it will find this, too
	}
}

// report tells the fate of a batch, and frees its room.
func (p *Producer) report(b *producedBatch, result BatchResult) {
	if result.Err != nil {
		err := result.Err // its own variable, so that good results stay off the heap
		p.failed.CompareAndSwap(nil, &err)
	}
	if p.options.OnBatch != nil {
		p.calling.Lock()
		p.options.OnBatch(result)
		p.calling.Unlock()
	}
	p.room.give(b.cost)
}
