package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/rollway/rollway/perf/drive"
)

// besideBatches is what the subjects, reply subjects and headers of an answer may
// have: they count against its bytes, and a message that does not fit is refused.
const besideBatches = 4 << 10

// consume has connections read the stream of partition 0 at once.
func (c *client) consume(q drive.Consume, a *drive.Answer) error {
	errs := make([]error, q.Connections)
	var bytes atomic.Int64
	var ready, done sync.WaitGroup
	begin := make(chan struct{})
	for i := range q.Connections {
		ready.Add(1)
		done.Go(func() {
			conn, err := c.connect()
			ready.Done()
			if err != nil {
				errs[i] = err
				return
			}
			defer conn.Close()
			js, err := jetstream.New(conn)
			if err != nil {
				errs[i] = err
				return
			}
			<-begin
			n, err := read(js, q)
			bytes.Add(n)
			errs[i] = err
		})
	}
	ready.Wait()
	began := time.Now()
	close(begin)
	done.Wait()
	a.Elapsed, a.Bytes = time.Since(began), bytes.Load()
	return errors.Join(errs...)
}

// read reads a connection's share, from the start again whenever it has all.
func read(js jetstream.JetStream, q drive.Consume) (bytes int64, err error) {
	share := q.Bytes / int64(q.Connections)
	over := func() bool { return false }
	if q.Time > 0 {
		end := time.Now().Add(q.Time)
		over = func() bool { return time.Now().After(end) }
	}
	for bytes < share && !over() {
		n, err := readOnce(js, q, share-bytes, over)
		bytes += n
		if err != nil {
			return bytes, fmt.Errorf("consume %s: %w", stream(q.Topic, 0), err)
		}
	}
	return bytes, nil
}

// readOnce reads until it has so many bytes, or all messages that there are, or it is
// over. It asks
// for more whenever half of MaxBytes has come, as the client does by itself.
func readOnce(js jetstream.JetStream, q drive.Consume, most int64, over func() bool) (bytes int64, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	s, err := js.Stream(ctx, stream(q.Topic, 0))
	if err != nil {
		return 0, err
	}
	last := s.CachedInfo().State.LastSeq
	if last == 0 {
		return 0, errors.New("it is empty")
	}
	consumer, err := s.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return 0, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxBytes(q.MaxBytes + besideBatches))
	if err != nil {
		return 0, err
	}
	defer messages.Stop()
	for bytes < most && !over() {
		m, err := messages.Next(jetstream.NextMaxWait(answerTime))
		if err != nil {
			return bytes, err
		}
		bytes += int64(len(m.Data()))
		meta, err := m.Metadata()
		if err != nil {
			return bytes, err
		}
		if meta.Sequence.Stream == last {
			break
		}
	}
	return bytes, nil
}
