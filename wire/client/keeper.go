package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollway/rollway/wire"
)

// Pauses between attempts to connect again: the first attempt comes at once, a
// server that was killed is back within these.
const (
	firstDialPause = 10 * time.Millisecond
	maxDialPause   = time.Second
)

// keeper keeps an idempotent Producer connected and numbered: it makes another
// connection when one has broken, and gets new epochs and ids. Its goroutine is
// the only one that does.
type keeper struct {
	producer *Producer
	topicID  [16]byte
	cancel   context.CancelFunc // ends run
	wake     chan struct{}      // one element: there are renewals

	gone  chan struct{} // closed when it has given up
	fault error         // why; written before

	// assigned is the latest id and epoch. It belongs to run.
	assigned wire.ProducerAssigned

	mu       sync.Mutex
	renewals []*producerPartition // +checklocks:mu
}

// becomeIdempotent gets p an id, before it has sent anything.
func (p *Producer) becomeIdempotent(ctx context.Context, topicID [16]byte) error {
	assigned, err := p.client.InitProducer(ctx, noProducer)
	if err != nil {
		return err
	}
	k := &keeper{producer: p, topicID: topicID, assigned: assigned, wake: make(chan struct{}, 1), gone: make(chan struct{})}
	p.keeper, p.gone = k, k.gone
	for _, t := range p.partitions {
		t.numbers = &numbers{assigned: assigned}
	}
	ctx, k.cancel = context.WithCancel(context.WithoutCancel(ctx))
	p.loop.Add(1)
	go func() {
		defer p.loop.Done()
		k.run(ctx)
	}()
	return nil
}

// noProducer asks for a new id.
var noProducer = wire.InitProducer{ProducerID: wire.NoProducer, Epoch: wire.NoProducer}

// run connects and renews until Close, or until that can never succeed.
func (k *keeper) run(ctx context.Context) {
	for {
		c := k.producer.connection()
		select {
		case <-ctx.Done():
			return
		case <-c.broken:
			if err := k.reconnect(ctx, c); err != nil {
				k.fault = err
				close(k.gone)
				return
			}
		case <-k.wake:
			k.renew(ctx, c)
		}
	}
}

// reconnect replaces the connection c, which is broken. It returns nil once
// another one is in use, or ctx has ended, and an error if there will be none.
func (k *keeper) reconnect(ctx context.Context, c *Client) error {
	p := k.producer
	if errors.Is(c.Err(), ErrClosed) {
		return c.Err() // the user wants no more
	}
	c.loops.Wait() // all that was on its way is told
	for pause := firstDialPause; ; pause = min(2*pause, maxDialPause) {
		now := time.Now()
		for _, t := range p.partitions {
			t.expire(now, c.Err())
		}
		again, err := k.dial(ctx)
		switch {
		case err == nil:
			p.conn.Store(again)
			for _, t := range p.partitions {
				t.resume()
			}
			k.signal()
			return nil
		case ctx.Err() != nil:
			return nil
		case isFinal(err):
			return err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil
		}
	}
}

// errOtherTopic: the topic was deleted, and another one has its name.
var errOtherTopic = errors.New("client: the topic was deleted and created anew")

// isFinal tells whether connecting again is in vain.
func isFinal(err error) bool {
	return errors.Is(err, errOtherTopic) || wire.CodeOf(err) == wire.CodeUnknownTopic
}

// dial connects, and looks whether the topic is still the same. It takes no
// longer than batches may wait, which are looked at between two attempts.
func (k *keeper) dial(ctx context.Context) (*Client, error) {
	p := k.producer
	ctx, cancel := context.WithTimeout(ctx, min(p.client.options.DialTimeout, max(p.options.RetryFor, firstRetryPause)))
	defer cancel()
	c, err := Dial(ctx, p.client.addr, p.client.options)
	if err != nil {
		return nil, err
	}
	d, err := c.DescribeTopic(ctx, p.topic)
	if err == nil && d.TopicID != k.topicID {
		err = fmt.Errorf("produce to %s: %w", p.topic, errOtherTopic)
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// ask has the partition renewed.
func (k *keeper) ask(t *producerPartition) {
	k.mu.Lock()
	k.renewals = append(k.renewals, t)
	k.mu.Unlock()
	k.signal()
}

func (k *keeper) signal() {
	select {
	case k.wake <- struct{}{}:
	default: // it will find this, too
	}
}

// renew gives the partitions that have asked another epoch or id. Those that it
// cannot serve now come again, after a pause or over the next connection.
func (k *keeper) renew(ctx context.Context, c *Client) {
	k.mu.Lock()
	list := k.renewals
	k.renewals = nil
	k.mu.Unlock()
	for i, t := range list {
		err := k.advance(ctx, c, t)
		for err == nil && !t.begin(k.assigned) {
			select {
			case <-time.After(time.Millisecond): // the writer is about to let go
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		if err != nil {
			now := time.Now()
			for _, waiting := range list[i:] {
				waiting.expire(now, err)
			}
			k.mu.Lock()
			k.renewals = append(k.renewals, list[i:]...)
			k.mu.Unlock()
			time.AfterFunc(firstRetryPause, k.signal)
			return
		}
	}
}

// advance makes assigned one that the partition has not used.
func (k *keeper) advance(ctx context.Context, c *Client, t *producerPartition) error {
	t.mu.Lock()
	used, want := t.numbers.assigned, t.numbers.renew
	t.mu.Unlock()
	switch {
	case used.ProducerID != k.assigned.ProducerID:
		return nil // got for another partition
	case want == renewEpoch && used.Epoch < k.assigned.Epoch:
		return nil
	}
	ask := wire.InitProducer{ProducerID: k.assigned.ProducerID, Epoch: k.assigned.Epoch}
	if want == renewID {
		ask = noProducer
	}
	ctx, cancel := context.WithTimeout(ctx, k.producer.client.options.DialTimeout)
	defer cancel()
	assigned, err := c.InitProducer(ctx, ask)
	if code := wire.CodeOf(err); code == wire.CodeInvalidProducerEpoch || code == wire.CodeUnknownProducerID {
		assigned, err = c.InitProducer(ctx, noProducer)
	}
	if err == nil {
		k.assigned = assigned
	}
	return err
}

// close ends what run has started, after it.
func (k *keeper) close() {
	if c := k.producer.connection(); c != k.producer.client {
		c.Close()
	}
}
