package generator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Run makes the workload's topics at the target, produces and consumes, and deletes
// the topics again, also when ctx ends before; then it measures up to that moment.
//
// The Result is nil if nothing was measured. Errors: an *UnreachableError; what is
// wrong with workload or target; the cause of ctx; what broke the run; with a Result
// that is whole, a *VerificationError.
func Run(ctx context.Context, w Workload, t Target, o Options) (*Result, error) {
	if err := w.Validate(); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	d, err := newDriver(ctx, w, t, o)
	if err != nil {
		return nil, err
	}
	defer d.close()
	c := newMachineClock()
	defer c.close()
	return newRunner(w, t, o, d, c).do(ctx)
}

// runner is one run.
type runner struct {
	workload Workload
	target   Target
	options  Options
	driver   driver
	meter    *meter
	clock    clock
	began    int64

	topics    []string
	payloads  *payloads
	workers   []*worker
	consumers []*consumer
	verifier  *verifier
	gate      atomic.Pointer[gate]

	reporter *reporter
	result   *Result

	working, consuming sync.WaitGroup
	fail               context.CancelCauseFunc // ends the run early
	giveUp             context.CancelFunc      // ends workers that are behind
}

func newRunner(w Workload, t Target, o Options, d driver, c clock) *runner {
	r := &runner{workload: w, target: t, options: o, driver: d, clock: c, began: c.now(), meter: newMeter(c)}
	r.verifier = &verifier{run: rand.Uint32(), messageSize: w.MessageSize, producers: w.ProducersPerTopic}
	r.reporter = newReporter(r)
	return r
}

// do is Run on a driver.
func (r *runner) do(ctx context.Context) (result *Result, err error) {
	r.reporter.enter(SetUp, -1)
	if r.payloads, err = newPayloads(r.workload); err != nil {
		return nil, err
	}
	defer func() {
		r.reporter.enter(TearDown, -1)
		if e := r.tearDown(ctx); err == nil {
			err = e
		}
	}()
	if err := r.setUp(ctx); err != nil {
		return nil, err
	}
	return r.measure(ctx)
}

// setUp makes topics, consumers and workers.
func (r *runner) setUp(ctx context.Context) error {
	prefix := fmt.Sprintf("%s-%s-%04x", r.options.TopicPrefix, time.Unix(0, r.began).UTC().Format("20060102-150405"), rand.Uint32N(1<<16))
	for i := range r.workload.Topics {
		topic := fmt.Sprintf("%s-%d", prefix, i)
		r.topics = append(r.topics, topic) // to be deleted even if the answer did not come
		if err := r.driver.createTopic(ctx, topic); err != nil {
			return err
		}
	}
	for i, topic := range r.topics {
		for s := range r.workload.subscriptions() {
			if err := r.addConsumers(ctx, i, topic, s); err != nil {
				return err
			}
		}
	}
	for i, topic := range r.topics {
		for p := range r.workload.ProducersPerTopic {
			w := newWorker(i*r.workload.ProducersPerTopic+p, topic, r.verifier.run, r.workload, r.meter, r.payloads)
			var err error
			if w.sender, err = r.driver.newSender(ctx, topic, w.delivered); err != nil {
				return err
			}
			r.workers = append(r.workers, w)
		}
	}
	return nil
}

// addConsumers deals the partitions of a topic out to the consumers of a subscription.
func (r *runner) addConsumers(ctx context.Context, topicIndex int, topic string, subscription int) error {
	for n := range r.workload.ConsumerPerSubscription {
		c := &consumer{meter: r.meter, checks: map[int32]*partitionCheck{}}
		var partitions []int32
		for p := n; p < r.workload.PartitionsPerTopic; p += r.workload.ConsumerPerSubscription {
			partition := int32(p)
			partitions = append(partitions, partition)
			c.checks[partition] = r.verifier.newCheck(topic, topicIndex, partition, subscription)
		}
		if len(partitions) == 0 {
			return nil // more consumers than partitions
		}
		var err error
		if c.receiver, err = r.driver.newReceiver(ctx, topic, partitions); err != nil {
			return err
		}
		r.consumers = append(r.consumers, c)
	}
	return nil
}

// tearDown ends what setUp has made, also if ctx has ended.
func (r *runner) tearDown(ctx context.Context) error {
	for _, w := range r.workers {
		w.sender.close()
	}
	for _, c := range r.consumers {
		c.receiver.close()
	}
	if r.options.Keep {
		return nil
	}
	patience := r.options.Timeout
	if ctx.Err() != nil {
		patience = hurry
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	var errs []error
	for _, topic := range r.topics {
		errs = append(errs, r.driver.deleteTopic(ctx, topic))
	}
	return errors.Join(errs...)
}

// head is how long before the first message is due: all goroutines wait by then.
const head = 50 * time.Millisecond

// measure runs workers and consumers through the phases.
func (r *runner) measure(ctx context.Context) (*Result, error) {
	running, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	r.fail = fail
	working, giveUp := context.WithCancel(running)
	defer giveUp()
	r.giveUp = giveUp
	stopConsuming := r.startConsumers(ctx)
	defer stopConsuming()
	start := r.clock.now() + int64(head)
	r.startWorkers(working, start)

	if r.phases(running, start) != nil {
		r.meter.window.to.Store(min(r.meter.window.to.Load(), r.clock.now()))
	}
	r.endPeriods()
	incomplete := r.settle(ctx, running)
	stopConsuming()
	return r.conclude(running, incomplete)
}

// startConsumers starts all consumers; stop ends them and waits.
func (r *runner) startConsumers(ctx context.Context) (stop func()) {
	r.gate.Store(newGate(true))
	// They go on when ctx ends: what was produced by then is still verified.
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	for _, c := range r.consumers {
		r.consuming.Go(func() {
			if err := c.consume(ctx, r.gate.Load); err != nil {
				r.consumerFailed(err)
			}
		})
	}
	return func() {
		cancel()
		r.consuming.Wait()
	}
}

// consumerFailed ends the run: nothing more comes of a partition.
func (r *runner) consumerFailed(err error) {
	var corrupt *corruptError
	if errors.As(err, &corrupt) {
		r.verifier.corruptBatch(err)
	}
	r.fail(err)
}

// startWorkers starts all workers; the first messages are due at start.
func (r *runner) startWorkers(ctx context.Context, start int64) {
	for i, w := range r.workers {
		if w.open {
			w.schedule = newSchedule(start, r.workload.ProducerRate, i, len(r.workers))
		}
		r.working.Go(func() {
			if err := w.work(ctx); err != nil && ctx.Err() == nil {
				r.fail(err)
			}
		})
	}
}

// phases waits through warm-up, backlog and test. It returns why it could not to the
// end.
func (r *runner) phases(ctx context.Context, start int64) error {
	measured := start + int64(r.workload.WarmupDuration())
	r.meter.window.from.Store(measured)
	end := measured + int64(r.workload.TestDuration())
	if r.workload.backlogBytes() == 0 {
		r.meter.window.to.Store(end)
	}
	before := WarmUp
	if r.workload.WarmupDuration() == 0 {
		before = SetUp
	}
	if err := r.reporter.until(ctx, before, measured); err != nil {
		return err
	}
	r.beginPeriods()
	if r.workload.backlogBytes() > 0 {
		if err := r.buildAndDrain(ctx); err != nil {
			return err
		}
		end = r.clock.now() + int64(r.workload.TestDuration())
		r.meter.window.to.Store(end)
	}
	return r.reporter.until(ctx, Test, end)
}

// buildAndDrain stops consumers until the backlog has its size, and then waits until
// they have caught up.
func (r *runner) buildAndDrain(ctx context.Context) error {
	closed := newGate(false)
	r.gate.Store(closed)
	size := int64(r.workload.MessageSize)
	wanted := max(1, r.workload.backlogBytes()/size)
	began := r.clock.now()
	if err := r.reporter.when(ctx, BuildBacklog, func() bool { return r.backlog() >= wanted }); err != nil {
		close(closed.open)
		return err
	}
	built, received := r.clock.now(), r.meter.received.Load()
	backlog := &Backlog{Messages: r.backlog(), Build: time.Duration(built - began)}
	close(closed.open)
	// Below 1,000 messages it is what is on its way (OpenMessaging Benchmark's bound).
	left := max(1000, int64((1-r.workload.BacklogDrainRatio)*float64(wanted)))
	err := r.reporter.when(ctx, DrainBacklog, func() bool { return r.backlog() <= left })
	backlog.Drain = time.Duration(r.clock.now() - built)
	backlog.Received = r.meter.received.Load() - received
	r.result.Backlog = backlog
	return err
}

// backlog is how many messages were acknowledged and not received.
func (r *runner) backlog() int64 {
	return max(0, r.meter.published.Load()*int64(r.workload.subscriptions())-r.meter.received.Load())
}

// Bounds of what is waited for at the end.
const (
	// catchUp is how long workers that are behind their schedule may go on after the
	// end; what they have not sent by then is counted with the age that it has.
	catchUp = 10 * time.Second
	// hurry bounds each wait of a run that was stopped.
	hurry = 5 * time.Second
)

// settle waits until workers know the fate of what they have sent and consumers have
// it all. running is ctx unless the run was ended early. It returns why it did not
// wait for everything.
func (r *runner) settle(ctx, running context.Context) (incomplete string) {
	r.reporter.enter(Verify, -1)
	late := time.AfterFunc(catchUp, func() { r.giveUp() })
	r.working.Wait()
	late.Stop()
	patience := r.options.Timeout
	if running.Err() != nil {
		patience = min(patience, hurry)
	}
	flushing, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for _, w := range r.workers {
		if err := w.sender.flush(flushing); err != nil {
			return fmt.Sprintf("not all messages had an answer within %v", patience)
		}
	}
	if len(r.consumers) == 0 {
		return ""
	}
	return r.awaitConsumers(ctx, running)
}

// awaitConsumers waits until consumers have all that lies in the logs, or nothing has
// come for a while. Who stops the run has it verified nevertheless, in a hurry; what
// breaks it, not.
func (r *runner) awaitConsumers(ctx, running context.Context) (incomplete string) {
	asking, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.options.Timeout)
	defer cancel()
	ends := map[string][]int64{}
	for _, topic := range r.topics {
		end, err := r.driver.ends(asking, topic)
		if err != nil {
			return err.Error()
		}
		ends[topic] = end
	}
	last, since := r.meter.received.Load(), r.clock.now()
	for !r.verifier.reached(ends) || r.unanswered() {
		if running.Err() != nil && ctx.Err() == nil {
			return context.Cause(running).Error()
		}
		r.clock.sleepUntil(context.WithoutCancel(ctx), r.clock.now()+int64(look)) // does not end early
		now := r.clock.now()
		if n := r.meter.received.Load(); n != last {
			last, since = n, now
		}
		switch quiet := time.Duration(now - since); {
		case ctx.Err() != nil && quiet >= min(hurry, r.options.Quiet):
			return "stopped before all messages were received"
		case quiet >= r.options.Quiet:
			return "" // what has not come by now is lost
		}
	}
	return ""
}

// unanswered tells whether messages may be on their way to the log that no producer
// waits for: those of acks 0.
func (r *runner) unanswered() bool { return r.workload.Acks == "0" && r.backlog() > 0 }

// reached tells whether every partition was received up to its end.
func (v *verifier) reached(ends map[string][]int64) bool {
	for _, c := range v.checks {
		if c.next.Load() < ends[c.topic][c.partition] {
			return false
		}
	}
	return true
}

// conclude makes the result and says what was wrong, the worst first.
func (r *runner) conclude(running context.Context, incomplete string) (*Result, error) {
	if r.result == nil {
		r.beginPeriods() // it was stopped before anything was measured
		r.endPeriods()
	}
	for _, w := range r.workers {
		r.result.Unsent += w.unsent(r.clock.now())
	}
	r.result.Publish, r.result.PublishDelay, r.result.EndToEnd = r.meter.publish.all(), r.meter.delay.all(), r.meter.endToEnd.all()
	r.result.Verification = r.verifier.finish(r.workers, r.workload, incomplete)
	if err := r.result.Verification.Err(); err != nil {
		return r.result, err
	}
	if running.Err() != nil {
		return r.result, context.Cause(running)
	}
	for _, w := range r.workers {
		if err := w.err(); err != nil {
			return r.result, err
		}
	}
	return r.result, nil
}
