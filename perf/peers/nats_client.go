package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/drive"
)

// requestTime is how long a request that is not measured may take.
const requestTime = time.Minute

// client answers the questions of a driver. It is for one goroutine.
type client struct {
	url   string
	admin *nats.Conn
	js    jetstream.JetStream
}

// driveNATS serves questions until the standard input ends.
func driveNATS(addr string) error {
	at, err := netip.ParseAddrPort(addr)
	if err != nil {
		return err
	}
	c := &client{url: "nats://" + addr}
	if c.admin, err = c.connect(); err != nil {
		return err
	}
	defer c.admin.Close()
	if c.js, err = jetstream.New(c.admin); err != nil {
		return err
	}
	return child.Serve(at, func(line json.RawMessage) (any, error) {
		var q drive.Question
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, err
		}
		var a drive.Answer
		if err := c.answer(q, &a); err != nil {
			a = drive.Answer{Error: err.Error()}
		}
		return a, nil
	})
}

// connect opens a connection that does not come back when it breaks.
func (c *client) connect() (*nats.Conn, error) {
	return nats.Connect(c.url, nats.NoReconnect(), nats.Timeout(requestTime))
}

func (c *client) answer(q drive.Question, a *drive.Answer) error {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	defer cancel()
	switch {
	case q.Create != nil:
		return c.create(ctx, *q.Create)
	case q.Delete != nil:
		return c.delete(ctx, *q.Delete)
	case q.Look != nil:
		return c.look(ctx, *q.Look, a)
	case q.Produce != nil:
		return c.produce(*q.Produce, a)
	case q.Consume != nil:
		return c.consume(*q.Consume, a)
	}
	return errors.New("empty question")
}

// stream is the name of what stands for a partition, and its subject.
func stream(topic string, partition int) string { return fmt.Sprintf("%s-%d", topic, partition) }

// create makes a stream for each partition: of one, NATS stores one message after
// the other, as a log does.
func (c *client) create(ctx context.Context, t drive.Topic) error {
	for i := range t.Partitions {
		name := stream(t.Name, i)
		if _, err := c.js.CreateStream(ctx, jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
			return fmt.Errorf("create stream %s: %w", name, err)
		}
	}
	return nil
}

// delete deletes the streams that create has made.
func (c *client) delete(ctx context.Context, t drive.Topic) error {
	for i := 0; ; i++ {
		err := c.js.DeleteStream(ctx, stream(t.Name, i))
		if i > 0 && errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("delete stream %s: %w", stream(t.Name, i), err)
		}
	}
}

// look counts what the streams of a topic hold, and reads the first and the last
// message of each.
func (c *client) look(ctx context.Context, t drive.Topic, a *drive.Answer) error {
	for i := range t.Partitions {
		s, err := c.js.Stream(ctx, stream(t.Name, i))
		if err != nil {
			return fmt.Errorf("stream %s: %w", stream(t.Name, i), err)
		}
		state := s.CachedInfo().State
		a.Batches += int64(state.Msgs)
		if state.Msgs == 0 {
			continue
		}
		for _, seq := range []uint64{state.FirstSeq, state.LastSeq} {
			m, err := s.GetMsg(ctx, seq)
			if err != nil {
				return fmt.Errorf("stream %s, message %d: %w", stream(t.Name, i), seq, err)
			}
			a.Ends = append(a.Ends, m.Data)
		}
	}
	return nil
}
