package main

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/rollway/rollway/perf/drive"
)

// answerTime is how long a server may take for an answer.
const answerTime = 30 * time.Second

// producer is one connection that publishes to one stream.
type producer struct {
	conn    *nats.Conn
	subject string
	inbox   string // answers come to it and a slot
	batch   []byte
	slots   chan int // that are free
	sentAt  []time.Time

	mu        sync.Mutex
	latencies []time.Duration
	failed    error
}

// produce has connections publish at once, as load.Producers do.
func (c *client) produce(q drive.Produce, a *drive.Answer) error {
	var all []*producer
	defer func() {
		for _, p := range all {
			p.conn.Close()
		}
	}()
	for i := range q.Connections {
		p, err := c.newProducer(q, i)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	began := time.Now()
	for i, p := range all {
		share := int64(-1)
		if q.Batches > 0 {
			share = q.Batches / int64(len(all))
			if int64(i) < q.Batches%int64(len(all)) {
				share++
			}
		}
		wg.Go(func() { errs[i] = p.run(share, q.Time, q.Rate/float64(len(all))) })
	}
	wg.Wait()
	a.Elapsed = time.Since(began)
	for _, p := range all {
		a.Latencies = append(a.Latencies, p.latencies...)
	}
	a.Batches = int64(len(a.Latencies))
	return errors.Join(errs...)
}

func (c *client) newProducer(q drive.Produce, number int) (*producer, error) {
	conn, err := c.connect()
	if err != nil {
		return nil, err
	}
	p := &producer{
		conn: conn, subject: stream(q.Topic.Name, number%q.Topic.Partitions), inbox: conn.NewInbox(),
		batch: q.Batch, slots: make(chan int, q.Window), sentAt: make([]time.Time, q.Window),
	}
	for i := range q.Window {
		p.slots <- i
	}
	if _, err := conn.Subscribe(p.inbox+".*", p.acknowledged); err != nil {
		conn.Close()
		return nil, err
	}
	return p, conn.Flush()
}

// run publishes count batches, unless that is negative, for at most limit, unless
// that is 0, and waits for all answers.
func (p *producer) run(count int64, limit time.Duration, rate float64) error {
	began := time.Now()
	late := time.NewTimer(answerTime)
	for sent := int64(0); count < 0 || sent < count; sent++ {
		if rate > 0 {
			time.Sleep(time.Until(began.Add(time.Duration(float64(sent) / rate * float64(time.Second)))))
		}
		slot, err := p.slot(late)
		if err != nil {
			return err
		}
		now := time.Now()
		if limit > 0 && now.Sub(began) >= limit {
			p.slots <- slot
			break
		}
		p.sentAt[slot] = now
		m := &nats.Msg{Subject: p.subject, Reply: p.inbox + "." + strconv.Itoa(slot), Data: p.batch}
		if err := p.conn.PublishMsg(m); err != nil {
			return err
		}
	}
	for range cap(p.slots) {
		if _, err := p.slot(late); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.failed
}

// slot waits for a free one.
func (p *producer) slot(late *time.Timer) (int, error) {
	late.Reset(answerTime)
	select {
	case slot := <-p.slots:
		return slot, nil
	case <-late.C:
		p.mu.Lock()
		defer p.mu.Unlock()
		return 0, errors.Join(fmt.Errorf("no answer within %v", answerTime), p.failed)
	}
}

// acknowledged takes an answer. One that is an error ends the run when it is over:
// the slot is given back either way.
func (p *producer) acknowledged(m *nats.Msg) {
	now := time.Now()
	slot, err := strconv.Atoi(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:])
	if err == nil && (slot < 0 || slot >= len(p.sentAt)) {
		err = fmt.Errorf("slot %d, want one below %d", slot, len(p.sentAt))
	}
	if err == nil && (len(m.Header) > 0 || bytes.Contains(m.Data, []byte(`"error"`))) {
		err = errors.New("refused")
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		if p.failed == nil {
			p.failed = fmt.Errorf("answer %v %q to %s: %w", m.Header, m.Data, m.Subject, err)
		}
	} else {
		p.latencies = append(p.latencies, now.Sub(p.sentAt[slot]))
	}
	if slot >= 0 && slot < len(p.sentAt) {
		p.slots <- slot // never waits: a slot is out once
	}
}
