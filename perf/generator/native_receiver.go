package generator

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// nativeReceiver has a subscription for each of its partitions, on one connection,
// and a goroutine for each, which waits until what it has was taken. When the connection
// breaks it makes another one, as Kafka's clients do.
type nativeReceiver struct {
	driver  *nativeDriver
	topic   string
	arrived chan nativeArrival
	cancel  context.CancelFunc
	reading sync.WaitGroup

	mu     sync.Mutex     // held while it connects
	client *client.Client // in use. +checklocks:mu
}

// nativeArrival is what came of a partition, or why nothing does any more.
type nativeArrival struct {
	partition int32
	batches   *client.Batches
	err       error
	taken     chan struct{} // gets an element when batches are no longer needed
}

func (d *nativeDriver) newReceiver(ctx context.Context, topic string, partitions []int32) (receiver, error) {
	c, err := client.Dial(ctx, d.addr, d.options)
	if err != nil {
		return nil, err
	}
	reading, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &nativeReceiver{driver: d, topic: topic, arrived: make(chan nativeArrival), cancel: cancel, client: c}
	for _, partition := range partitions {
		s, err := c.Subscribe(ctx, topic, partition, 0, d.subscribeOptions())
		if err != nil {
			r.close()
			return nil, err
		}
		r.reading.Go(func() { r.read(reading, c, s, partition) })
	}
	return r, nil
}

func (d *nativeDriver) subscribeOptions() client.SubscribeOptions {
	return client.SubscribeOptions{MaxBytes: d.workload.FetchMaxBytes, CreditBytes: max(int64(d.workload.FetchMaxBytes), 8<<20)}
}

// read hands on what comes of one partition, from s on connection c and then from
// others that follow it, until ctx ends or something else than a connection breaks.
func (r *nativeReceiver) read(ctx context.Context, c *client.Client, s *client.Subscription, partition int32) {
	taken := make(chan struct{}, 1)
	next := int64(0)
	for {
		batches, err := s.Next(ctx)
		if broken(err) {
			if c, s, err = r.again(ctx, c, partition, next); err == nil {
				continue
			}
		}
		select {
		case r.arrived <- nativeArrival{partition, &batches, err, taken}:
		case <-ctx.Done():
			err = context.Cause(ctx)
		}
		if err != nil {
			break
		}
		next = int64(batches.Next())
		select {
		case <-taken:
		case <-ctx.Done():
		}
	}
	if s != nil {
		s.Close()
	}
}

// broken tells whether a connection has ended, or a server that closes has ended what
// was on it.
func broken(err error) bool {
	var connection *client.ConnectionError
	return errors.As(err, &connection) || wire.CodeOf(err) == wire.CodeServerClosing
}

// again subscribes on another connection than the one that broke, for as long as a
// server may take to come back. A partition that is being recovered is asked again.
func (r *nativeReceiver) again(ctx context.Context, gone *client.Client, partition int32, offset int64) (*client.Client, *client.Subscription, error) {
	ctx, cancel := context.WithTimeout(ctx, r.driver.timeout)
	defer cancel()
	const pause = 50 * time.Millisecond
	for {
		c, err := r.connect(ctx, gone)
		if err == nil {
			var s *client.Subscription
			if s, err = c.Subscribe(ctx, r.topic, partition, offset, r.driver.subscribeOptions()); err == nil {
				return c, s, nil
			}
			if broken(err) {
				gone = c
			}
		}
		var refused *wire.Error
		if !broken(err) && !(errors.As(err, &refused) && refused.Retryable()) {
			return nil, nil, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

// connect returns a connection that is not the one that is gone: one that another
// partition has made meanwhile, or a new one.
func (r *nativeReceiver) connect(ctx context.Context, gone *client.Client) (*client.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != gone {
		return r.client, nil
	}
	c, err := client.Dial(ctx, r.driver.addr, r.driver.options)
	if err != nil {
		return nil, err
	}
	gone.Close()
	r.client = c
	return c, nil
}

func (r *nativeReceiver) receive(ctx context.Context, take func(int32, int64, []byte)) error {
	select {
	case a := <-r.arrived:
		return a.take(take)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// take takes all messages.
func (a nativeArrival) take(take func(int32, int64, []byte)) error {
	if a.err != nil {
		return nativeError(a.err)
	}
	defer func() { a.taken <- struct{}{} }()
	for m, err := range a.batches.Records() {
		if err != nil {
			return nativeError(err)
		}
		take(a.partition, int64(m.Offset), m.Value)
	}
	return nil
}

// nativeError marks what is not a log's.
func nativeError(err error) error {
	var corrupt *client.CorruptError
	if errors.As(err, &corrupt) || wire.CodeOf(err) == wire.CodeCorruptBatch {
		return &corruptError{err}
	}
	return fmt.Errorf("consume: %w", err)
}

func (r *nativeReceiver) close() {
	r.cancel()
	r.reading.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.client.Close()
}
