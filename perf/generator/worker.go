package generator

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// meter is what workers and consumers count into.
type meter struct {
	clock  clock
	window *window

	// Of all messages, whether they are measured or not.
	published, publishErrors, received atomic.Int64

	publish, delay, endToEnd *latencies
}

func newMeter(c clock) *meter {
	return &meter{clock: c, window: newWindow(), publish: newLatencies(), delay: newLatencies(), endToEnd: newLatencies()}
}

// worker is one producer: it makes the messages of one topic, when they are due, and
// learns what became of them.
type worker struct {
	number      int // over all topics
	topic       string
	run         uint32
	open        bool // by schedule
	schedule    schedule
	meter       *meter
	payloads    *payloads
	distributor *distributor
	room        *room
	sender      sender

	made int64   // messages, which all partitions together have
	sent []int64 // by partition: messages that the sender took
	// message and buffer are what is being made.
	message message
	buffer  []byte

	mu     sync.Mutex
	failed []spans // by partition: not acknowledged. +checklocks:mu
	fault  error   // the first that went wrong with a message. +checklocks:mu
}

// newWorker returns a worker without a sender; a schedule is set before it works.
func newWorker(number int, topic string, run uint32, w Workload, m *meter, p *payloads) *worker {
	return &worker{
		number: number, topic: topic, run: run, open: w.ProducerRate > 0, meter: m, payloads: p,
		distributor: newDistributor(w, number), room: newRoom(w.inFlight()),
		sent: make([]int64, w.PartitionsPerTopic), buffer: make([]byte, w.MessageSize),
		failed: make([]spans, w.PartitionsPerTopic),
	}
}

// errOver ends the work when the window has ended.
var errOver = errors.New("the test is over")

// work sends messages until the window or ctx ends, or the sender takes no more. What
// was sent by then may have no answer yet.
func (w *worker) work(ctx context.Context) error {
	for i := int64(0); ; i++ {
		due, err := w.await(ctx, i)
		if err == errOver {
			return nil
		}
		if err != nil {
			return err
		}
		if err := w.send(ctx, i, due); err != nil {
			return err
		}
	}
}

// await waits until message i is to be sent, and returns when it was due.
func (w *worker) await(ctx context.Context, i int64) (due int64, err error) {
	if w.open {
		due = w.schedule.due(i)
		if due >= w.meter.window.to.Load() {
			return 0, errOver
		}
		if due > w.meter.clock.now() {
			if err := w.meter.clock.sleepUntil(ctx, due); err != nil {
				return 0, err
			}
		}
		// It is late from here on, however long there is no room.
		return due, w.room.take(ctx)
	}
	if err := w.room.take(ctx); err != nil {
		return 0, err
	}
	if due = w.meter.clock.now(); due >= w.meter.window.to.Load() {
		return 0, errOver
	}
	return due, nil
}

// send makes message i and gives it to the sender.
func (w *worker) send(ctx context.Context, i, due int64) error {
	if w.open && w.meter.window.holds(due) {
		w.meter.delay.record(time.Duration(w.meter.clock.now() - due))
	}
	key, partition := w.distributor.next(due)
	copy(w.buffer[messageHeaderBytes:], w.payloads.body(i)[messageHeaderBytes:])
	w.message = message{run: w.run, producer: uint32(w.number), partition: partition, sequence: w.sent[partition], due: due}
	w.message.put(w.buffer)
	if err := w.sender.send(ctx, &w.message, key, w.buffer); err != nil {
		return err
	}
	w.sent[partition]++
	w.made++
	return nil
}

// unsent returns how many messages of the window were due and never sent, once it has
// ended; now they are recorded with the latency that they have at least. An open loop
// that left them out would call a server fast that could not keep up.
func (w *worker) unsent(now int64) (count int64) {
	if !w.open {
		return 0
	}
	for i := w.made; ; i++ {
		due := w.schedule.due(i)
		if due >= min(w.meter.window.to.Load(), now) {
			return count
		}
		if w.meter.window.holds(due) {
			w.meter.publish.record(time.Duration(now - due))
			w.meter.delay.record(time.Duration(now - due))
			count++
		}
	}
}

// delivered takes the fate of messages; see driver.newSender.
func (w *worker) delivered(partition int32, sequence int64, dues []int64, err error) {
	now := w.meter.clock.now()
	if err != nil {
		w.meter.publishErrors.Add(int64(len(dues)))
		w.mu.Lock()
		w.failed[partition].add(span{from: sequence, to: sequence + int64(len(dues)), before: -1, after: -1})
		if w.fault == nil {
			w.fault = &notAcknowledged{topic: w.topic, partition: partition, err: err}
		}
		w.mu.Unlock()
	} else {
		w.meter.published.Add(int64(len(dues)))
		w.meter.publish.since(now, w.meter.window, dues)
	}
	w.room.give(len(dues))
}

// outcome returns how many messages the sender took and how many of them were not
// acknowledged, once it has ended.
func (w *worker) outcome() (sent, failed int64) {
	for p := range w.sent {
		s, f := w.partitionOutcome(int32(p))
		sent += s
		failed += f.count
	}
	return sent, failed
}

// partitionOutcome is outcome of one partition.
func (w *worker) partitionOutcome(partition int32) (sent int64, failed spans) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent[partition], w.failed[partition]
}

// err returns the first that went wrong with a message.
func (w *worker) err() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.fault
}
