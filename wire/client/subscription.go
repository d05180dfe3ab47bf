package client

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// SubscribeOptions configure a Subscription. The zero value works.
type SubscribeOptions struct {
	// CreditBytes bounds what the server sends ahead of the consumer, and so
	// what is buffered: at most these bytes, or one batch if it is longer, and
	// besides two blocks of up to 1 MiB that are partly used. At least 1 KiB;
	// what the server does not allow is cut. Default 8 MiB: at 1 GB/s it covers
	// a round trip of 8 ms.
	CreditBytes int64

	// MaxBytes bounds one piece in which the server sends. Default 1 MiB, which
	// is free of the costs of a frame; less lets subscriptions of one
	// connection take turns sooner. Never more than CreditBytes.
	MaxBytes int

	// MaxRecords bounds what one compressed batch may have uncompressed, in
	// bytes. Default DefaultMaxRecords.
	MaxRecords int
}

// minCreditBytes is the least CreditBytes: room for the header of a batch,
// whose length says how much more credit it needs.
const minCreditBytes = 1 << 10

// Subscription receives the batches of a partition from an offset on, those to
// come included. Next belongs to one goroutine at a time; all else may be
// called concurrently.
type Subscription struct {
	client     *Client
	id         uint32
	window     int64 // bytes that may be buffered or on their way
	maxBytes   int64
	maxRecords int

	wake   chan struct{} // one element: Next has something to look at
	opened chan struct{} // closed when the server has answered

	// refusal is why there is no subscription: set before opened is closed.
	refusal error

	// granted is credit that is queued to be sent. +checklocks:client.mu
	granted int64

	// Of Next: the place in the log.
	sequence sequence
	from     record.Offset

	mu sync.Mutex
	// blocks hold what was received and not yet released, oldest first.
	blocks []*block // +checklocks:mu
	// stream is the reader's alone while receiving is true, which is set and
	// reset under mu.
	stream    stream
	receiving bool // +checklocks:mu
	// buffered counts received bytes that the consumer has not released.
	buffered int64 // +checklocks:mu
	// credit is what the server may still send.
	// Invariant: 0 <= credit <= the server's maxCredit.
	credit int64 // +checklocks:mu
	// need is the size of the batch that is on its way, if it is known.
	need int64 // +checklocks:mu
	// held is how many bytes Next has returned last.
	held        int          // +checklocks:mu
	offsets     wire.Offsets // +checklocks:mu
	leaderEpoch int32        // +checklocks:mu
	// err is why nothing more is taken. What was received before is still
	// there for the consumer, unless closed.
	err error // +checklocks:mu
	// closed is true when the consumer gets nothing more.
	closed bool // +checklocks:mu
	// left is true when the server knows, or will, that this is the end.
	left bool // +checklocks:mu
}

// Subscribe asks for all records of a partition from offset on and waits for
// the server's answer. offset may be anything from the log start to the log
// end. If ctx ends before, the subscription is closed; afterwards ctx means
// nothing to it.
//
// Errors: *wire.Error, *ConnectionError, the cause of ctx.
func (c *Client) Subscribe(ctx context.Context, topic string, partition int32, offset int64, options SubscribeOptions) (*Subscription, error) {
	s, err := c.openSubscription(ctx, topic, partition, offset, options)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %s-%d at %d: %w", topic, partition, offset, err)
	}
	return s, nil
}

func (c *Client) openSubscription(ctx context.Context, topic string, partition int32, offset int64, options SubscribeOptions) (*Subscription, error) {
	s, err := c.newSubscription(topic, partition, offset, options)
	if err != nil {
		return nil, err
	}
	if err := c.acquireSlot(ctx); err != nil {
		return nil, err
	}
	m := wire.Subscribe{
		Topic: []byte(topic), Partition: partition, Offset: offset,
		MaxBytes: int32(s.maxBytes), Credit: s.window,
	}
	if err := c.subscribe(s, &m); err != nil {
		c.releaseSlot()
		return nil, err
	}
	select {
	case <-s.opened:
	case <-ctx.Done():
		s.Close()
		return nil, context.Cause(ctx)
	}
	if s.refusal != nil {
		return nil, s.refusal
	}
	return s, nil
}

func (c *Client) newSubscription(topic string, partition int32, offset int64, options SubscribeOptions) (*Subscription, error) {
	setDefault(&options.CreditBytes, 8<<20)
	setDefault(&options.MaxBytes, 1<<20)
	setDefault(&options.MaxRecords, DefaultMaxRecords)
	switch {
	case options.CreditBytes < minCreditBytes:
		return nil, fmt.Errorf("CreditBytes: %d, want at least %d", options.CreditBytes, minCreditBytes)
	case options.MaxBytes < 1 || options.MaxBytes > math.MaxInt32:
		return nil, fmt.Errorf("MaxBytes: %d, want 1..%d", options.MaxBytes, math.MaxInt32)
	}
	window := min(options.CreditBytes, c.welcome.MaxCredit)
	return &Subscription{
		client:     c,
		window:     window,
		maxBytes:   min(int64(options.MaxBytes), window, int64(c.maxRecv-wire.FrameOverhead)),
		maxRecords: options.MaxRecords,
		wake:       make(chan struct{}, 1),
		opened:     make(chan struct{}),
		sequence:   sequence{topic: topic, partition: partition, next: record.Offset(offset)},
		from:       record.Offset(offset),
		stream:     stream{maxBatch: int64(c.maxRecv), next: record.Offset(offset)},
		credit:     window,
	}, nil
}

// Offsets returns the borders of the partition as the server has sent them
// last. They move with the data: at the end of the log, when there is nothing
// to send, they may be out of date.
func (s *Subscription) Offsets() wire.Offsets {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.offsets
}

// Close ends the subscription without waiting for the server: what is still on
// its way is dropped when it comes. A Next that waits returns ErrUnsubscribed.
// Batches that were returned stay as they are. It returns nil, and may be
// called more than once.
func (s *Subscription) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stop(ErrUnsubscribed)
	return nil
}

// stop ends the subscription from this side, for the reason given. The blocks
// are left to the garbage collector, for the consumer may still read in them.
// +checklocks:s.mu
func (s *Subscription) stop(err error) {
	if s.closed {
		return
	}
	s.closed = true
	s.err = err
	s.blocks = nil
	s.signal()
	s.leave()
}

// leave tells the server that nothing more is wanted.
// +checklocks:s.mu
func (s *Subscription) leave() {
	if !s.left {
		s.left = true
		s.client.unsubscribe(s)
	}
}

// Next waits for batches and returns all whole ones that lie together. They
// are valid until the next call, which also gives their bytes back to the
// server as credit.
//
// When the connection or the subscription has ended, what was received before
// is still returned, then the reason. Batches that are bad end it, too; those
// before them are returned first.
//
// Errors: *wire.Error or ErrEnded if the server has ended the subscription,
// ErrUnsubscribed after Close, *ConnectionError, *CorruptError, all of them
// for good; the cause of ctx, after which Next may be called again.
func (s *Subscription) Next(ctx context.Context) (Batches, error) {
	for {
		b, err := s.poll()
		if err != nil || len(b.bytes) > 0 {
			return b, err
		}
		select {
		case <-s.wake:
		case <-ctx.Done():
			return Batches{}, context.Cause(ctx)
		}
	}
}

// poll is Next that does not wait: it returns no batches if there are none.
func (s *Subscription) poll() (Batches, error) {
	b, p, err := s.front()
	if err != nil || len(p) == 0 {
		return Batches{}, s.failed(err)
	}
	n, skipped, err := s.sequence.take(p)
	if n == 0 {
		if err == nil { // the stream has cut no batch, so this is a bug here
			err = &CorruptError{Topic: s.sequence.topic, Partition: s.sequence.partition, Offset: int64(s.sequence.next), Err: record.ErrShort}
		}
		s.mu.Lock()
		s.stop(err)
		s.mu.Unlock()
		return Batches{}, s.failed(err)
	}
	if !s.hold(n) {
		return Batches{}, s.failed(ErrUnsubscribed)
	}
	b.bytes, b.next, b.Skipped = p[:n:n], s.sequence.next, skipped
	return b, nil
}

// failed says what err is about.
func (s *Subscription) failed(err error) error {
	var corrupt *CorruptError
	if err == nil || errors.As(err, &corrupt) {
		return err // it says so itself
	}
	return fmt.Errorf("subscription of %s-%d at %d: %w", s.sequence.topic, s.sequence.partition, s.sequence.next, err)
}

// front releases what Next has returned last and returns the whole batches
// that follow, not yet verified, of the oldest block that has some.
func (s *Subscription) front() (b Batches, p []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return Batches{}, nil, s.err
	}
	s.release()
	b = Batches{
		Offsets: s.offsets, LeaderEpoch: s.leaderEpoch,
		topic: s.sequence.topic, partition: s.sequence.partition, from: s.from, maxRecords: s.maxRecords,
	}
	if len(s.blocks) == 0 || s.blocks[0].taken == s.blocks[0].ready {
		return b, nil, s.err
	}
	first := s.blocks[0]
	return b, first.buffer.b[first.taken:first.ready], nil
}

// release gives back what Next has returned last: as credit to the server, and
// blocks that have nothing more to give to the pool.
// +checklocks:s.mu
func (s *Subscription) release() {
	s.buffered -= int64(s.held)
	s.held = 0
	for len(s.blocks) > 0 {
		first := s.blocks[0]
		if first.taken < first.ready {
			break
		}
		if len(s.blocks) == 1 && (s.receiving || !s.stream.drop()) {
			break // the reader goes on in it
		}
		first.buffer.free()
		copy(s.blocks, s.blocks[1:])
		s.blocks[len(s.blocks)-1] = nil
		s.blocks = s.blocks[:len(s.blocks)-1]
	}
	s.topUp()
}

// hold notes that Next returns the first n ready bytes. It reports false if
// the subscription was closed meanwhile.
func (s *Subscription) hold(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.blocks[0].taken += n
	s.held = n
	return true
}

// topUp grants the server the credit that is due: so much that what is
// buffered and what may come fill the window, which a batch that is longer
// extends while it arrives. To spare frames it waits until it is a quarter of
// the window, or the server has none left.
// +checklocks:s.mu
func (s *Subscription) topUp() {
	if s.err != nil {
		return
	}
	due := min(max(s.window, s.need)-s.buffered, s.client.welcome.MaxCredit) - s.credit
	if due <= 0 || due < s.window/4 && s.credit > 0 {
		return
	}
	s.credit += due
	s.client.grant(s, due)
}

// receive takes the payload of a Data frame. It is called by the reader, which
// it never keeps waiting for the consumer: the credit bounds what it parks.
// ended is true if no frame of this subscription follows. An error breaks the
// connection.
func (s *Subscription) receive(r *receiver, h wire.Head) (ended bool, err error) {
	d, bodyLen, err := r.data(h)
	if err != nil {
		return false, err
	}
	drop, err := s.begin(&d, int64(bodyLen))
	if err != nil {
		return false, err
	}
	for bodyLen > 0 && !drop {
		room, next := s.stream.room(bodyLen)
		if next != nil {
			s.append(next)
		}
		n, err := r.read(h, room[:min(len(room), bodyLen)])
		if err != nil {
			return false, err
		}
		bodyLen -= n
		drop = s.arrived(n)
	}
	if err := r.discard(h, bodyLen); err != nil {
		return false, err
	}
	s.finish(d.End)
	return d.End, nil
}

// begin takes the fields of a Data with bodyLen bytes of batches. drop is true
// if nobody wants these.
func (s *Subscription) begin(d *wire.Data, bodyLen int64) (drop bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case d.Partition != s.sequence.partition:
		return false, malformedf("Data: partition %d, want %d", d.Partition, s.sequence.partition)
	case bodyLen > s.maxBytes:
		return false, malformedf("Data: %d bytes of batches, want at most the %d asked for", bodyLen, s.maxBytes)
	case bodyLen > s.credit:
		return false, malformedf("Data: %d bytes of batches, want at most the %d of credit left", bodyLen, s.credit)
	}
	s.credit -= bodyLen
	s.offsets, s.leaderEpoch = d.Offsets, d.LeaderEpoch
	s.receiving = true
	s.answered(nil)
	return s.err != nil, nil
}

// append puts a block behind the others.
func (s *Subscription) append(b *block) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.blocks = append(s.blocks, b)
	}
}

// arrived takes note of n bytes in the room of the stream and lets the
// consumer have the batches that they complete. drop is true if nothing more
// is wanted, also because of them.
func (s *Subscription) arrived(n int) (drop bool) {
	err := s.stream.arrived(n)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return true
	}
	s.buffered += int64(n)
	s.need = s.stream.size
	if tail := s.stream.tail; tail.ready < s.stream.whole {
		tail.ready = s.stream.whole
		s.signal()
	}
	if err != nil {
		s.err = &CorruptError{
			Topic: s.sequence.topic, Partition: s.sequence.partition, Offset: int64(s.stream.next), Err: err,
		}
		s.signal()
		s.leave()
	}
	return err != nil
}

// finish ends the reception of a frame, end being its flag.
func (s *Subscription) finish(end bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.receiving = false
	if end {
		s.end(ErrEnded)
	}
	s.topUp()
}

// refused takes the Error that ends the subscription.
func (s *Subscription) refused(e *wire.Error) { s.lost(e) }

// lost takes the error after which nothing can come.
func (s *Subscription) lost(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.end(err)
}

// end notes that no frame follows, and why, unless there is a reason already.
// +checklocks:s.mu
func (s *Subscription) end(err error) {
	s.left = true
	if s.err == nil {
		s.err = err
	}
	s.answered(err)
	s.signal()
}

// answered lets Subscribe return, err being why there is no subscription.
// +checklocks:s.mu
func (s *Subscription) answered(err error) {
	select {
	case <-s.opened:
	default:
		s.refusal = err
		close(s.opened)
	}
}

// signal lets a waiting Next look again.
// +checklocks:s.mu
func (s *Subscription) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}
