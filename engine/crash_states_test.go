package engine

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// crashStates is how many crash images TestCrashStates looks at: a smoke, or what
// ROLLWAY_CRASH_STATES says (make faults).
const crashStates = 1500

// allStates is from how many states on all short workloads are run, even if that
// makes a few more.
const allStates = 100_000

// Whatever an engine was doing, and wherever a power cut or the death of the
// process stopped it: what was acknowledged or visible is there afterwards, at
// its offset, byte for byte, without gaps, nothing is there that was not
// appended, and no offset is given twice. Before each call that changes a file or
// a name images are made of what may be left, and an engine is opened on each.
//
// Workloads of up to three operations are tried exhaustively if there are states
// enough, longer ones are random.
func TestCrashStates(t *testing.T) {
	want := int64(envNumber(t, "ROLLWAY_CRASH_STATES", crashStates))
	seed := envNumber(t, "ROLLWAY_CRASH_SEED", uint64(time.Now().UnixNano()))
	hunt := &crashHunt{t: t, seed: seed}
	if os.Getenv("ROLLWAY_CRASH_RANDOM") != "" {
		hunt.randomOnly = true
	}
	if name := os.Getenv("ROLLWAY_CRASH_WORKLOAD"); name != "" {
		hunt.run(name)
	} else {
		hunt.runUntil(want)
	}
	t.Logf("%d crash states of %d workloads, %d of %d of those with up to 3 operations, seed %d: %d violations",
		hunt.states.Load(), hunt.workloads.Load(), hunt.exhaustive.Load(), len(shortWorkloads()), seed, len(hunt.violations))
	for _, v := range hunt.violations {
		t.Error(v)
	}
}

// envNumber is a number from the environment, or fallback.
func envNumber(t testing.TB, name string, fallback uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return fallback
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// crashHunt runs workloads until there were enough crash states.
type crashHunt struct {
	t          testing.TB
	seed       uint64
	randomOnly bool
	states     atomic.Int64
	workloads  atomic.Int64
	exhaustive atomic.Int64 // workloads of shortWorkloads that were run

	mu         sync.Mutex
	violations []error
}

// maxViolations ends a hunt: more would not tell more.
const maxViolations = 3

// runUntil runs short workloads, in an order that depends on the seed, and among
// them random ones, on all processors.
func (h *crashHunt) runUntil(states int64) {
	short := shortWorkloads()
	rand.New(rand.NewPCG(h.seed, 0)).Shuffle(len(short), func(i, j int) { short[i], short[j] = short[j], short[i] })
	var next atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for h.found() < maxViolations {
				n := int(next.Add(1)) - 1
				if h.states.Load() >= states && (states < allStates || n > len(short)*4/3) {
					return
				}
				// One in four is random until the short ones are through.
				if i := n - n/4 - 1; n%4 != 0 && i < len(short) && !h.randomOnly {
					h.run(short[i])
					h.exhaustive.Add(1)
				} else {
					h.run(fmt.Sprintf("random-%d", n))
				}
			}
		})
	}
	wg.Wait()
}

func (h *crashHunt) found() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.violations)
}

// run runs one workload with a crash at each of its points.
func (h *crashHunt) run(name string) {
	h.workloads.Add(1)
	r := newCrashRun(h, name)
	err := r.run()
	if err == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.violations = append(h.violations, fmt.Errorf("%w\nreplay with: ROLLWAY_CRASH_SEED=%d ROLLWAY_CRASH_WORKLOAD=%s go test ./engine -run 'TestCrashStates$' -count=1", err, h.seed, name))
}

// crashOperations are what short workloads are made of.
var crashOperations = []string{"append0", "append1", "roll", "checkpoint", "create", "delete", "retain", "deleterecords", "reopen", "kill"}

// shortWorkloads lists all workloads of up to three operations. A workload whose
// beginning is another one's takes its crash states behind that only, so that
// none is looked at twice: "+" stands before the operations that count.
func shortWorkloads() []string {
	all := []string{"+"}
	grow := []string{""}
	for range 3 {
		var longer []string
		for _, w := range grow {
			for _, op := range crashOperations {
				all = append(all, w+"+"+op)
				longer = append(longer, w+op+",")
			}
		}
		grow = longer
	}
	return all
}

// crashRun is one workload on one directory in memory.
type crashRun struct {
	hunt   *crashHunt
	name   string
	random *rand.Rand
	clock  fakeClock
	sizes  int // bytes of a value, at most
	// journalBytes is that of the options: so small that it turns every few
	// groups, or none.
	journalBytes int64
	openFiles    int // the most that may be open; 0: the default

	mem    *vfs.Mem
	boot   string // of the machine; the death of a process does not end it
	faults *vfs.Failing
	fs     *tracedFS
	engine *Engine
	serial int64 // of the last batch

	mu      sync.Mutex // held while images are made and looked at
	model   crashModel
	taking  bool
	lost    bool // write-back has failed since the directory was mounted
	share   int  // one in that many points of a random workload is taken
	points  uint64
	trail   []string // operations so far
	failure error
}

func newCrashRun(h *crashHunt, name string) *crashRun {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	r := &crashRun{hunt: h, name: name, random: rand.New(rand.NewPCG(h.seed, hash.Sum64())), sizes: 1500, share: 1, journalBytes: 48 << 10}
	r.clock.ms.Store(1_700_000_000_000)
	return r
}

func (r *crashRun) options(fs vfs.FS, boot string) Options {
	return Options{
		FS: fs, Log: quiet, Now: r.clock.now, CheckpointInterval: 24 * time.Hour,
		// What runs beside another call would make crashes hard to replay.
		SyncParallelism: 1, RecoveryParallelism: 1,
		JournalBytes: r.journalBytes, BallastBytes: -1, MinFreeBytes: -1, BootID: boot,
		MaxOpenFiles: r.openFiles,
	}
}

func newBoot() string { return fmt.Sprint("boot ", boots.Add(1)) }

// bootAfter is the boot of the start that follows a crash.
func bootAfter(boot string, keep vfs.Keep) string {
	if keep == vfs.KeepAll {
		return boot
	}
	return newBoot()
}

// run carries the workload out and returns the first violation.
func (r *crashRun) run() error {
	r.mount(vfs.NewMem("/crash"))
	r.boot = newBoot()
	defer func() {
		r.stop()
		r.mem.Close()
	}()
	operations := r.operations()
	r.taking = operations[0] == "+"
	err := r.start()
	if err == nil {
		err = r.begin()
	}
	for _, op := range operations {
		if err != nil || r.violated() != nil {
			break
		}
		if op == "+" {
			r.taking = true
			continue
		}
		r.mu.Lock()
		r.trail = append(r.trail, op)
		r.mu.Unlock()
		err = r.operate(op)
	}
	if err == nil && r.violated() == nil {
		r.point(call{op: "end"})
	}
	if v := r.violated(); v != nil {
		return v
	}
	if err != nil {
		return fmt.Errorf("%s: after %v: %w", r.name, r.trail, err)
	}
	return nil
}

// begin makes the topic that workloads are about and waits for the journal, which
// the first commit has made in the background.
func (r *crashRun) begin() error {
	if _, err := r.topic("t"); err != nil {
		return err
	}
	if r.journalBytes < 0 {
		return nil
	}
	if err := r.append(r.pick("t", 1)); err != nil {
		return err
	}
	for r.engine.Failure() == nil {
		r.engine.committer.mu.Lock()
		made := r.engine.committer.journal != nil
		r.engine.committer.mu.Unlock()
		if made {
			break
		}
		time.Sleep(100 * time.Microsecond)
	}
	return nil
}

// operations are those of the workload's name.
func (r *crashRun) operations() []string {
	if !strings.HasPrefix(r.name, "random-") {
		before, after, _ := strings.Cut(r.name, "+")
		var ops []string
		if before != "" {
			ops = strings.Split(strings.TrimSuffix(before, ","), ",")
		}
		if ops = append(ops, "+"); after != "" {
			ops = append(ops, after)
		}
		return ops
	}
	r.share = 1 + r.random.IntN(12)
	r.sizes = 100 << r.random.IntN(6)
	r.openFiles = []int{0, leastOpenFiles}[r.random.IntN(2)]
	r.journalBytes = []int64{-1, 48 << 10, 96 << 10}[r.random.IntN(3)]
	ops := []string{"+"}
	weights := []string{
		"append0", "append0", "append1", "append1", "both", "both", "batches", "batches", "roll", "roll",
		"checkpoint", "create", "delete", "retain", "deleterecords", "deleterecords", "loose", "loose", "looseroll",
		"reopen", "kill", "cut", "fault", "fault", "full", "writeback",
	}
	for range 4 + r.random.IntN(24) {
		ops = append(ops, weights[r.random.IntN(len(weights))])
	}
	return ops
}

func (r *crashRun) mount(mem *vfs.Mem) {
	r.mem, r.lost = mem, false
	r.faults = vfs.NewFailing(mem)
	r.fs = traceFS(r.faults)
	r.fs.hook(r.watch)
}

// watch is asked before each call.
func (r *crashRun) watch(c call) error {
	switch c.op {
	case "read", "readdir", "open", "close":
	default:
		r.point(c)
	}
	return nil
}

// start opens the engine and checks that it shows what it should.
func (r *crashRun) start() error {
	e, err := openCrashed(r.options(r.fs, r.boot))
	if err != nil {
		return err
	}
	r.engine = e
	r.fs.hook(nil) // what is looked at may be mended, and r.mu is held
	defer r.fs.hook(r.watch)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.model.snapshot().check(e); err != nil {
		return err
	}
	r.model.settle(e)
	return nil
}

// stop has the process die, if there is one.
func (r *crashRun) stop() {
	r.fs.hook(nil)
	if r.engine == nil {
		return
	}
	r.mu.Lock()
	r.model.snapshot() // what was visible until now
	for _, t := range r.model.topics {
		for _, p := range t.partitions {
			p.live = nil
		}
	}
	r.mu.Unlock()
	abandon(r.engine)
	r.engine = nil
}

var errAbandoned = errors.New("killed by the test")

// abandon ends an engine as the death of its process would.
func abandon(e *Engine) {
	e.fail(errAbandoned)
	e.Close()
}

// crash has the process die, or the power be cut, and goes on with what is left.
func (r *crashRun) crash(keep vfs.Keep) error {
	if keep == vfs.KeepAll && r.inDoubt(r.mem) {
		keep = vfs.KeepSynced
	}
	r.fs.hook(nil)
	left := r.mem.CrashClone(r.random.Uint64(), keep)
	r.stop()
	r.mem.Close()
	r.mount(left)
	r.boot = bootAfter(r.boot, keep)
	return r.start()
}

// operate carries out one operation. Its error is a violation.
func (r *crashRun) operate(op string) error {
	switch op {
	case "append0":
		return r.append(r.pick("t", 0))
	case "append1":
		return r.append(r.pick("t", 1))
	case "both":
		return r.append(r.pick("t", 0), r.pick("t", 1), r.pick("t", 0))
	case "batches":
		return r.append(r.pick("t", 0), r.pick("t", 0), r.pick("t", 0), r.pick("u", 1))
	case "loose":
		return r.append(r.pick("loose", 0), r.pick("loose", 1))
	case "looseroll":
		return r.roll(r.pick("loose", 0))
	case "writeback":
		return r.writeback()
	case "roll":
		return r.roll(r.pick("t", 0))
	case "checkpoint":
		return r.settled(r.checkpoint())
	case "create":
		_, err := r.topic("u")
		return r.settled(err)
	case "delete":
		return r.delete()
	case "retain":
		return r.retain()
	case "deleterecords":
		return r.deleteRecords()
	case "reopen":
		return r.reopen()
	case "kill":
		return r.crash(vfs.KeepAll)
	case "cut":
		return r.crash([]vfs.Keep{vfs.KeepRandom, vfs.KeepOrdered, vfs.KeepSynced}[r.random.IntN(3)])
	case "fault":
		return r.fault()
	case "full":
		return r.full()
	}
	panic("unknown operation " + op)
}

// settled deals with the error of a call: one of the disk is no violation, and
// one that has stopped the directory is followed by a crash.
func (r *crashRun) settled(err error) error {
	if r.engine.Failure() != nil {
		return r.crash([]vfs.Keep{vfs.KeepRandom, vfs.KeepOrdered, vfs.KeepSynced, vfs.KeepAll}[r.random.IntN(4)])
	}
	var errno syscall.Errno
	if err != nil && r.faults.Failed() == 0 && !r.lost && !errors.As(err, &errno) {
		return err
	}
	return nil
}

// pick returns the partition of a topic, which is created if need be; nil if
// that is not possible.
func (r *crashRun) pick(name string, index int) *crashPartition {
	t, err := r.topic(name)
	if err != nil || t == nil {
		return nil
	}
	return t.partitions[index]
}

// roll appends a batch that begins a segment.
func (r *crashRun) roll(p *crashPartition) error {
	if p == nil || p.live == nil {
		return r.append(p)
	}
	live, config := p.live, p.live.log.config()
	tune(live, func(c *topicconfig.Config) { c.SegmentMs = -1 })
	defer live.configure(config)
	return r.append(p)
}

// topic returns the topic of that name, creating it if there is none.
func (r *crashRun) topic(name string) (*crashTopic, error) {
	for _, t := range r.model.topics {
		if t.name == name && t.state == topicThere {
			return t, nil
		}
	}
	if r.engine == nil || r.engine.Failure() != nil {
		return nil, nil
	}
	t := &crashTopic{name: name, partitions: []*crashPartition{newCrashPartition(), newCrashPartition()}}
	r.mu.Lock()
	r.model.topics = append(r.model.topics, t)
	r.mu.Unlock()
	spec := TopicSpec{Name: name, Partitions: 2, Configs: map[string]string{"index.interval.bytes": "700"}}
	if name == "loose" {
		spec.Configs["flush.messages"] = "1000"
	}
	made, err := r.engine.CreateTopic(spec)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	t.id, t.state = made.ID(), topicThere
	for i, p := range made.Partitions() {
		t.partitions[i].live = p
	}
	return t, nil
}

// append appends a batch to each of the partitions and waits for them together.
func (r *crashRun) append(partitions ...*crashPartition) error {
	var waits []func() error
	for _, p := range partitions {
		if p == nil || p.live == nil || r.engine.Failure() != nil {
			continue
		}
		request := &AppendRequest{Batches: r.batch(p), Acks: AcksAll}
		r.mu.Lock()
		next := p.end + Offset(record.Batch(request.Batches).Count())
		p.batches = append(p.batches, crashBatch{p.end, masked(request.Batches)})
		r.mu.Unlock()
		p.live.Append(request)
		if request.Err != nil {
			if errors.Is(request.Err, ErrNoSpace) || r.engine.Failure() != nil || r.faults.Failed() > 0 {
				continue
			}
			return fmt.Errorf("append to %s: %w", p.live, request.Err)
		}
		if request.BaseOffset != p.end || request.NextOffset != next {
			return fmt.Errorf("append to %s got offsets %d to %d, want %d to %d", p.live, request.BaseOffset, request.NextOffset, p.end, next)
		}
		r.mu.Lock()
		p.end = next
		if id := record.Batch(request.Batches).ProducerID(); id >= 0 {
			p.sequence += int32(record.Batch(request.Batches).Count())
		}
		r.mu.Unlock()
		waits = append(waits, func() error {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // it hangs
			defer cancel()
			err := p.live.AwaitHighWatermark(ctx, next)
			if err == nil && p.live.log.config().Durable() {
				r.mu.Lock()
				p.need = max(p.need, next)
				r.mu.Unlock()
			}
			return err
		})
	}
	var first error
	for _, wait := range waits {
		if err := wait(); err != nil && r.engine.Failure() == nil {
			first = errors.Join(first, err)
		}
	}
	if first != nil {
		return first
	}
	return r.settled(nil)
}

// batch builds the next batch for a partition, mostly of its idempotent producer.
func (r *crashRun) batch(p *crashPartition) []byte {
	r.serial++
	ms := r.clock.ms.Add(10)
	values := make([]string, 1+r.random.IntN(3))
	for i := range values {
		values[i] = fmt.Sprintf("%d.%d %s", r.serial, i, strings.Repeat("x", r.random.IntN(r.sizes)))
	}
	if r.random.IntN(3) == 0 {
		return batchOf(r.hunt.t, ms, values...)
	}
	return batchBy(r.hunt.t, &record.Producer{ID: p.producer, BaseSequence: p.sequence}, ms, values...)
}

func (r *crashRun) checkpoint() error {
	_, err := r.engine.checkpoint(false)
	return err
}

// delete removes the topic u, or t if there is none.
func (r *crashRun) delete() error {
	var t *crashTopic
	for _, name := range []string{"t", "u"} {
		for _, candidate := range r.model.topics {
			if candidate.name == name && candidate.state == topicThere {
				t = candidate
			}
		}
	}
	if t == nil {
		return nil
	}
	r.mu.Lock()
	t.state = topicLeaving
	r.mu.Unlock()
	err := r.engine.DeleteTopic(t.name)
	r.mu.Lock()
	if err == nil {
		t.state = topicGone
	}
	r.mu.Unlock()
	if err != nil {
		return r.settled(err)
	}
	// What is unlinked in the background is part of this operation.
	for r.engine.Failure() == nil && r.faults.Failed() == 0 {
		image := r.engine.metadata.Image()
		if len(image.Deleted) == 0 {
			break
		}
		hurryRemovals(r.engine)
		select {
		case <-r.engine.metadata.Changed(image.Version):
		case <-time.After(time.Millisecond): // a fault may have ended it
		}
	}
	return r.settled(nil)
}

// existing returns the partitions that the running engine has.
func (r *crashRun) existing() (all []*crashPartition) {
	for _, t := range r.model.topics {
		for _, p := range t.partitions {
			if t.state == topicThere && p.live != nil {
				all = append(all, p)
			}
		}
	}
	return all
}

// retain has retention delete what goes beyond a few bytes, and unlinks it.
func (r *crashRun) retain() error {
	if r.engine == nil || r.engine.Failure() != nil {
		return nil
	}
	all := r.existing()
	keep := int64(r.random.IntN(3000))
	r.mu.Lock()
	for _, p := range all {
		p.mostStart = p.end
	}
	r.mu.Unlock()
	for _, p := range all {
		config := p.live.log.config()
		defer p.live.configure(config)
		tune(p.live, func(c *topicconfig.Config) { c.RetentionBytes, c.RetentionMs = keep, -1 })
	}
	r.engine.retain()
	hurryRemovals(r.engine)
	r.engine.removeDue()
	r.mu.Lock()
	for _, p := range all {
		p.mostStart = p.live.Offsets().LogStart
	}
	r.mu.Unlock()
	return r.settled(nil)
}

// deleteRecords deletes the first records of a partition, to a batch or into one.
func (r *crashRun) deleteRecords() error {
	all := r.existing()
	if len(all) == 0 || r.engine.Failure() != nil {
		return nil
	}
	p := all[r.random.IntN(len(all))]
	o := p.live.Offsets()
	before := o.LogStart + Offset(r.random.Int64N(int64(o.HighWatermark-o.LogStart)+1))
	r.mu.Lock()
	p.mostStart = max(p.mostStart, before)
	r.mu.Unlock()
	_, err := p.live.DeleteRecords(before)
	if err == nil {
		r.mu.Lock()
		p.start = before
		r.mu.Unlock()
	}
	return r.settled(err)
}

// reopen stops the engine cleanly and starts it again.
func (r *crashRun) reopen() error {
	err := r.engine.Close()
	if r.engine.Failure() != nil {
		return r.settled(err)
	}
	if err != nil && r.faults.Failed() == 0 {
		return fmt.Errorf("close: %w", err)
	}
	r.mu.Lock()
	for _, t := range r.model.topics {
		for _, p := range t.partitions {
			if err == nil {
				p.need = p.end // a clean stop commits also what was not promised
			}
			p.live = nil
		}
	}
	r.engine = nil
	r.mu.Unlock()
	r.faults.Disarm()
	return r.start()
}

// fault has one of the calls of an operation fail, by an error that is final or
// not.
func (r *crashRun) fault() error {
	ops := []vfs.Op{vfs.OpWrite, vfs.OpWrite, vfs.OpDatasync, vfs.OpDatasync, vfs.OpSyncDir, vfs.OpCreate, vfs.OpTruncate, vfs.OpRename}
	r.faults.Arm(vfs.Fault{
		Op:     ops[r.random.IntN(len(ops))],
		Suffix: []string{"", ".log"}[r.random.IntN(2)], // mostly a segment
		N:      1 + r.random.Int64N(3),
		// EIO stops the directory; a full disk does so only from a sync.
		Err:   []error{syscall.EIO, syscall.ENOSPC}[r.random.IntN(2)],
		Short: r.random.Int64N(int64(2 * r.sizes)),
	})
	return r.operate([]string{"both", "both", "batches", "roll", "checkpoint", "create", "delete", "reopen"}[r.random.IntN(8)])
}

// full has the next append meet a full disk, in the middle of its write.
func (r *crashRun) full() error {
	r.faults.Arm(vfs.Fault{Op: vfs.OpWrite, Suffix: ".log", N: 1, Err: syscall.ENOSPC, Short: r.random.Int64N(int64(2 * r.sizes))})
	return r.operate([]string{"both", "batches"}[r.random.IntN(2)])
}

// writeback has the kernel lose what was written to the segments and not synced,
// most of it durable in the journal alone: whoever syncs them next is told.
func (r *crashRun) writeback() error {
	for _, t := range r.model.topics {
		for _, p := range t.partitions {
			if p.live == nil || p.live.log.active() == nil {
				continue
			}
			if err := r.mem.FailWriteback(p.live.log.active().name); err != nil {
				return err
			}
			r.mu.Lock()
			r.lost = true
			r.mu.Unlock()
		}
	}
	if err := r.append(r.pick("t", 0), r.pick("t", 1)); err != nil {
		return err
	}
	if r.engine.Failure() == nil {
		return r.settled(r.checkpoint()) // it syncs, and so stops the directory, if anything was lost
	}
	return r.settled(nil)
}

func (r *crashRun) violated() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

// point makes images of what a crash before this call may leave and looks at
// each. The caller's goroutine is the engine's, in the middle of its work.
func (r *crashRun) point(c call) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.points++
	if !r.taking || r.failure != nil || c.op != "end" && r.points%uint64(r.share) != 0 {
		return
	}
	want := r.model.snapshot()
	for i, keep := range r.keeps() {
		seed := r.hunt.seed ^ r.points<<8 ^ uint64(i)
		image := r.mem.CrashClone(seed, keep)
		var err error
		// Only now: a sync of another goroutine may have failed since the last image.
		if keep != vfs.KeepAll || !r.inDoubt(image) {
			err = r.look(image, bootAfter(r.boot, keep), want, seed)
		}
		image.Close()
		if err != nil {
			r.failure = fmt.Errorf("%s: after %v, crash before %v (point %d, image %d, %v): %w", r.name, r.trail, c, r.points, i, keep, err)
			return
		}
	}
}

// keeps are the crashes of a point.
func (r *crashRun) keeps() []vfs.Keep {
	keeps := []vfs.Keep{vfs.KeepSynced, vfs.KeepRandom, vfs.KeepRandom, vfs.KeepAll}
	if r.points%2 == 0 {
		keeps[2] = vfs.KeepOrdered
	}
	return keeps
}

// inDoubt tells whether what a failed sync has lost can still be read when only
// the process dies, as in the image, and nothing there says so yet (decision 0008).
func (r *crashRun) inDoubt(image *vfs.Mem) bool {
	_, err := image.Stat(storageFailedFile)
	return err != nil && (r.faults.Failed() > 0 || r.lost)
}

// look opens an engine on an image and checks what it shows; for some images
// also what it goes on with, and what further crashes leave of that.
func (r *crashRun) look(image *vfs.Mem, boot string, want *crashModel, seed uint64) error {
	r.hunt.states.Add(1)
	random := rand.New(rand.NewPCG(seed, 2))
	fs := traceFS(image)
	again := &crashAgain{run: r, image: image, boot: boot, want: want, random: random, calls: -1}
	if random.IntN(6) == 0 {
		again.calls = random.IntN(25)
		fs.hook(again.before)
	}
	e, err := openCrashed(r.options(fs, boot))
	fs.hook(nil)
	if again.err != nil {
		err = fmt.Errorf("and again in the middle of the start, before %v: %w", again.at, again.err)
	}
	if err != nil {
		if e != nil {
			abandon(e)
		}
		return err
	}
	defer abandon(e)
	if err := want.check(e); err != nil {
		return err
	}
	if random.IntN(4) > 0 {
		return nil
	}
	return r.goOn(e, image, seed)
}

// crashAgain crashes an engine while it starts on the image of a crash.
type crashAgain struct {
	run    *crashRun
	image  *vfs.Mem
	boot   string
	want   *crashModel
	random *rand.Rand
	mu     sync.Mutex
	calls  int // until the crash
	at     call
	err    error
}

func (a *crashAgain) before(c call) error {
	switch c.op {
	case "read", "readdir", "open", "close":
		return nil
	}
	a.mu.Lock() // a start has two goroutines
	defer a.mu.Unlock()
	if a.calls--; a.calls != -1 {
		return nil
	}
	a.at = c
	keep := []vfs.Keep{vfs.KeepSynced, vfs.KeepRandom, vfs.KeepOrdered, vfs.KeepAll}[a.random.IntN(4)]
	image := a.image.CrashClone(a.random.Uint64(), keep)
	defer image.Close()
	a.run.hunt.states.Add(1)
	e, err := openCrashed(a.run.options(image, bootAfter(a.boot, keep)))
	if err == nil {
		err = a.want.check(e)
		abandon(e)
	}
	a.err = err
	return nil
}

// goOn appends to what a crash has left and cuts the power again: nothing that
// was shown after the first crash may be gone, whatever of it was durable before.
func (r *crashRun) goOn(e *Engine, image *vfs.Mem, seed uint64) error {
	var shown crashModel
	for name, t := range e.Topics() {
		twin := &crashTopic{name: name, id: t.ID(), state: topicThere}
		for _, p := range t.Partitions() {
			q := newCrashPartition()
			q.settle(p)
			if err := q.repeatLast(p); err != nil {
				return err
			}
			probe := batchOf(r.hunt.t, r.clock.ms.Load()+5, "behind the crash")
			q.batches = append(q.batches, crashBatch{q.end, masked(probe)})
			request := &AppendRequest{Batches: probe, Acks: AcksAll}
			if err := p.Produce(context.Background(), request); err != nil {
				return fmt.Errorf("produce after the crash: %w", err)
			}
			if request.BaseOffset != q.end {
				return fmt.Errorf("%s ended at offset %d after the crash, the next batch is at %d", p, q.end, request.BaseOffset)
			}
			q.end = request.NextOffset
			q.need = p.promised()
			twin.partitions = append(twin.partitions, q)
		}
		shown.topics = append(shown.topics, twin)
	}
	left := image.CrashClone(seed, vfs.KeepSynced)
	defer left.Close()
	r.hunt.states.Add(1)
	again, err := openCrashed(r.options(left, newBoot()))
	if err != nil {
		return fmt.Errorf("after a second crash: %w", err)
	}
	defer abandon(again)
	if err := shown.check(again); err != nil {
		return fmt.Errorf("after a second crash: %w", err)
	}
	return nil
}
