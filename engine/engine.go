package engine

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/engine/vfs"
)

// lockFile is Kafka's: one data directory, one process.
const lockFile = ".lock"

// cleanShutdownFile says that the last process synced everything before it
// ended. It is Kafka's, with Kafka's content (CleanShutdownFileHandler).
const (
	cleanShutdownFile    = ".kafka_cleanshutdown"
	cleanShutdownContent = `{"version":0,"brokerEpoch":-1}`
)

// Engine is one open data directory. All methods may be called concurrently.
type Engine struct {
	options    Options
	fs         vfs.FS
	ownsFS     bool
	lock       vfs.File
	meta       metaProperties
	metadata   MetadataStore
	stats      counters
	space      space
	ballast    ballast
	files      *descriptors
	indexCache *indexCache

	topics  atomic.Pointer[map[string]*Topic]
	admin   sync.Mutex // one change of topics at a time
	metaMu  sync.Mutex // one commit of metadata at a time; inside admin
	started bool       // partitions made from now on are new; under metaMu
	// nodeConfigs are those of the metadata; defaults and producerExpirationMs
	// follow from them and the options. Set under metaMu.
	nodeConfigs          atomic.Pointer[NodeConfigs]
	defaults             atomic.Pointer[topicconfig.Defaults]
	producerExpirationMs atomic.Int64

	producerIDs producerIDs

	committer *committer
	failed    atomic.Pointer[error] // the first write-back error; final
	closed    atomic.Bool
	ready     chan struct{} // closed when no partition is recovering

	stopBackground chan struct{}
	background     sync.WaitGroup
	stopCommitter  chan struct{}
	committing     sync.WaitGroup
	journalFile    vfs.File     // nil while there is no journal; for reading
	journalWanted  atomic.Bool  // a journal is there, or being made, or could not be
	journalHeld    atomic.Bool  // retireJournal is not nil
	journalMissed  atomic.Bool  // one could not be made, and that was logged
	retireJournal  func() error // ends a journal that is not written on; under checkpointMu
	sameBoot       bool         // the last process ran in this boot; set by open
	rewrites       bool         // the page cache may show what the disk has not; set by open
	checkpointMu   sync.Mutex
	points         offsetCheckpoint // what the recovery point file says; immutable; under checkpointMu
	snapshotList   offsetCheckpoint // what producerSnapshotsFile says; immutable; under checkpointMu
	startSnapshots offsetCheckpoint // what it said at Open; nil if it could not be read
	deletionMu     sync.Mutex       // one deletion of records at a time
	logStarts      offsetCheckpoint // what the log start file says; immutable; under deletionMu
	removals       removals
}

// Open opens the data directory dir, making it if it is missing, and returns
// before its partitions are recovered: until then they answer ErrNotReady, and
// WaitReady waits. One process may have a directory open at a time.
//
// Errors: vfs.ErrLocked; ErrDirectoryRefused; *CorruptionError if the metadata
// log is damaged; those of the file system.
func Open(dir string, options Options) (*Engine, error) {
	options, err := options.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{
		options:        options,
		fs:             options.FS,
		ready:          make(chan struct{}),
		stopBackground: make(chan struct{}),
		stopCommitter:  make(chan struct{}),
	}
	e.topics.Store(&map[string]*Topic{})
	e.nodeConfigs.Store(&NodeConfigs{})
	e.defaults.Store(&topicconfig.Defaults{Static: options.TopicDefaults})
	e.removals.init()
	if e.fs == nil {
		if e.fs, err = vfs.OpenOS(dir); err != nil {
			return nil, fmt.Errorf("open data directory: %w", err)
		}
		e.ownsFS = true
	}
	e.fs = &syncGuard{FS: e.fs, engine: e, patience: settleTimeout}
	e.committer = newCommitter(e)
	e.files = newDescriptors(e.fs, options.MaxOpenFiles)
	e.indexCache = &indexCache{mostBytes: options.IndexCacheBytes}
	if err := e.open(); err != nil {
		close(e.stopBackground)
		e.background.Wait()
		e.release()
		return nil, err
	}
	return e, nil
}

func (e *Engine) open() (err error) {
	if e.lock, err = e.fs.Lock(lockFile); err != nil {
		if errors.Is(err, vfs.ErrLocked) {
			return fmt.Errorf("open data directory %s: %w; stop the other server or choose another directory", e.fs.Path(), err)
		}
		return err
	}
	e.ballast.open(e)
	e.space.open(e)
	err = e.withBallast(func() (err error) {
		e.meta, err = openMetaProperties(e.fs, e.options.NodeID)
		return err
	})
	if err != nil {
		return err
	}
	if e.rewrites, err = e.hasFailed(); err != nil {
		return err
	}
	if err := e.withBallast(e.openMetadata); err != nil {
		return err
	}
	points, err := readOffsetCheckpoint(e.fs, recoveryPointFile)
	badPoints := errors.Is(err, ErrBadCheckpoint)
	if err != nil && !badPoints {
		return err
	}
	if e.startSnapshots, err = e.readSnapshotList(); err != nil {
		return err
	}
	e.snapshotList = e.startSnapshots
	if err := e.readLogStarts(); err != nil {
		return err
	}
	clean, err := e.takeCleanShutdown()
	if err != nil {
		return err
	}
	if badPoints {
		e.options.Log.Warn("recovery points are lost; all logs are checked", "file", recoveryPointFile)
		points, clean = nil, false
	}
	e.points = points
	if err := e.withBallast(e.sweep); err != nil {
		return err
	}
	e.metaMu.Lock()
	err = e.reconcile(e.metadata.Image())
	e.started = true
	e.metaMu.Unlock()
	if err != nil {
		return err
	}
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			// Also if it cannot be recovered, or not before Close, it keeps its
			// point in the next checkpoint.
			p.recoveryPoint = points[partitionKey{p.topic, p.index}]
			p.checkpointed.Store(int64(p.recoveryPoint))
		}
	}
	if e.sameBoot, err = e.readBoot(); err != nil {
		return err
	}
	if err := e.findJournal(clean); err != nil {
		return err
	}
	e.journalHeld.Store(e.retireJournal != nil)
	e.journalWanted.Store(e.committer.journal != nil)
	if j := e.committer.journal; j != nil {
		e.committing.Go(func() { e.flushHalf(&j.halves[1-j.current]) })
	}
	e.committing.Go(e.committer.runWriteback)
	e.committing.Go(func() { e.committer.run(e.stopCommitter) })
	e.background.Go(func() { e.recoverAll(points, clean) })
	e.background.Go(e.runCheckpoints)
	if e.space.floor > 0 || e.ballast.want > 0 {
		e.background.Go(func() { e.space.run(e.stopBackground) })
	}
	e.background.Go(e.runRetention)
	e.background.Go(e.runRelief)
	return nil
}

// openMetadata opens the metadata log. A log that is missing where there are
// partitions is not made anew: that would forget all topics.
func (e *Engine) openMetadata() error {
	if _, err := e.fs.Stat(metadataLogFile); errors.Is(err, fs.ErrNotExist) {
		entries, err := e.fs.ReadDir(".")
		if err != nil {
			return err
		}
		for _, entry := range entries {
			if _, _, ok := parsePartitionDirName(entry.Name()); ok && entry.IsDir() {
				return fmt.Errorf("%w: %s is missing from %s although there are partitions such as %s; put it back",
					ErrDirectoryRefused, metadataLogFile, e.fs.Path(), entry.Name())
			}
		}
	}
	log, err := openMetadataLog(e.fs)
	if err != nil {
		return err
	}
	if log.torn > 0 {
		e.options.Log.Warn("torn tail of the metadata log was cut off", "path", metadataLogFile, "bytes", log.torn)
	}
	if e.rewrites {
		if err := log.rewrite(); err != nil {
			log.Close()
			return err
		}
	}
	e.metadata = log
	return nil
}

// takeCleanShutdown tells whether the last process stopped cleanly, and removes
// the marker durably: from here on the directory is in use.
func (e *Engine) takeCleanShutdown() (bool, error) {
	switch err := e.fs.Remove(cleanShutdownFile); {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case err != nil:
		return false, err
	}
	if err := e.fs.SyncDir("."); err != nil {
		return false, syncFault(err)
	}
	return true, nil
}

// recoverAll makes the partitions that were there at Open ready.
func (e *Engine) recoverAll(points offsetCheckpoint, clean bool) {
	start, parallelism := e.options.Now(), e.recoveryParallelism()
	var partitions []*Partition
	for _, t := range e.Topics() {
		partitions = append(partitions, t.partitions...)
	}
	var damaged atomic.Int64
	recover := func(partitions []*Partition) (waiting []*Partition) {
		var mu sync.Mutex
		forEach(partitions, parallelism, func(p *Partition) error {
			point, ok := points[partitionKey{p.topic, p.index}]
			switch err := e.recoverOne(p, found{clean: clean, recoveryPoint: point, hasPoint: ok}); {
			case isNoSpace(err) && !isFinal(err):
				mu.Lock()
				waiting = append(waiting, p)
				mu.Unlock()
			case err != nil:
				damaged.Add(1)
			}
			return nil
		})
		return waiting
	}
	waiting := recover(partitions)
	if len(partitions) > 0 && e.closing() == nil {
		e.tryCheckpoint() // what was checked need not be checked again
	}
	if e.closing() == nil {
		e.markBoot()
	}
	close(e.ready)
	e.space.signal() // there may be ballast to make
	if len(partitions) > 0 && e.closing() == nil {
		e.options.Log.Info("partitions recovered", "count", len(partitions), "damaged", damaged.Load(),
			"clean", clean, "took", e.options.Now().Sub(start).Round(time.Millisecond))
	}
	for len(waiting) > 0 {
		select {
		case <-time.After(refusedInterval):
			waiting = recover(waiting)
		case <-e.stopBackground:
			return
		}
	}
}

// recoverOne makes one partition ready, unless it was deleted meanwhile or the
// engine closes. One that finds no space for what it must write, without
// ballast, stays Recovering and may be tried again; after any other error it has
// failed.
func (e *Engine) recoverOne(p *Partition, f found) error {
	if PartitionState(p.state.Load()) != Recovering || e.closing() != nil {
		return nil
	}
	err := p.recoverWithin(f)
	switch {
	case err == nil:
		p.start()
		return nil
	case e.closing() != nil:
		p.log.close()
		return nil
	case isNoSpace(err) && !isFinal(err):
		p.log.close()
		if !p.waitsForSpace {
			e.options.Log.Warn("partition waits for space: what the journal holds of it must be written to its segments", "partition", p.String(), "error", err)
		}
		p.waitsForSpace = true
		return err
	}
	e.options.Log.Error("partition is offline", "partition", p.String(), "error", err)
	if isFinal(err) {
		e.fail(err)
	}
	p.log.close()
	p.stop(Failed, err)
	return err
}

// WaitReady returns nil when no partition is recovering any more and the recovery
// points have moved, or ctx's error. Single partitions may have failed, or be
// recovering still because they wait for space; see Partition.State.
func (e *Engine) WaitReady(ctx context.Context) error {
	select {
	case <-e.ready:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// IsReady tells whether WaitReady would return at once.
func (e *Engine) IsReady() bool {
	select {
	case <-e.ready:
		return true
	default:
		return false
	}
}

// Path is the data directory.
func (e *Engine) Path() string { return e.fs.Path() }

// ClusterID identifies the cluster; it is made with the directory.
func (e *Engine) ClusterID() string { return e.meta.clusterID }

// NodeID is Options.NodeID.
func (e *Engine) NodeID() int32 { return e.options.NodeID }

// Failure returns the write-back error that stopped the directory, nil while it
// works. Readers keep what is visible; nothing is appended or acknowledged until
// the directory is opened again.
func (e *Engine) Failure() error { return e.failure() }

func (e *Engine) failure() error {
	if err := e.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// fail stops the directory for good: an error of a write or a sync means that
// the page cache may not hold what was written any more.
func (e *Engine) fail(err error) {
	if !e.failed.CompareAndSwap(nil, &err) {
		return
	}
	if isFinal(err) {
		e.noteFailure(err) // at once: a process that dies before it is trusted by the next
	}
	if guard, ok := e.fs.(*syncGuard); ok {
		guard.settle()
	}
	e.options.Log.Error("data directory has stopped: nothing more is appended or acknowledged until a restart", "dir", e.fs.Path(), "error", err)
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			p.waiters.wake(maxOffset)
		}
	}
	if e.options.OnFailure != nil {
		go e.options.OnFailure(err)
	}
}

// writable is nil while the directory takes writes.
func (e *Engine) writable() error {
	if err := e.failure(); err != nil {
		if isFinal(err) {
			return err
		}
		return syncFault(err)
	}
	return e.closing()
}

func (e *Engine) closing() error {
	if e.closed.Load() {
		return fmt.Errorf("%w: data directory %s", ErrClosed, e.fs.Path())
	}
	return nil
}

func (e *Engine) nowMs() int64 { return e.options.Now().UnixMilli() }

// Close commits what was appended, writes the checkpoints and, if everything is
// durable, the marker of a clean shutdown. Slices that are out stay valid. It
// blocks for the disk; a second call returns ErrClosed.
func (e *Engine) Close() error {
	e.admin.Lock() // no topic is made or deleted from here on
	was := e.closed.Swap(true)
	e.admin.Unlock()
	if was {
		return ErrClosed
	}
	close(e.stopBackground)
	e.background.Wait()
	e.awaitDeletions()
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			p.awaitAppends()
			e.committer.add(p)
		}
	}
	close(e.stopCommitter)
	e.committing.Wait()
	err := e.closeCleanly()
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			p.stop(Failed, ErrClosed)
		}
	}
	return errors.Join(err, e.release())
}

// closeCleanly leaves the directory so that the next start need not recover.
func (e *Engine) closeCleanly() error {
	if err := e.failure(); err != nil {
		return fmt.Errorf("data directory %s was not closed cleanly, the next start recovers it: %w", e.fs.Path(), err)
	}
	var whole bool
	err := e.withBallast(func() (err error) {
		whole, err = e.checkpoint(true)
		return err
	})
	if err != nil || !whole {
		return err
	}
	if err := e.withBallast(e.emptyJournal); err != nil {
		return err
	}
	return e.withBallast(func() error {
		return writeFileAtomic(e.fs, ".", cleanShutdownFile, []byte(cleanShutdownContent))
	})
}

// release gives back what open took.
func (e *Engine) release() error {
	e.indexCache.close()
	var errs []error
	if e.journalFile != nil {
		errs = append(errs, e.journalFile.Close())
	}
	if e.metadata != nil {
		errs = append(errs, e.metadata.Close())
	}
	if e.lock != nil {
		errs = append(errs, e.lock.Close())
	}
	if e.ownsFS {
		errs = append(errs, e.fs.Close())
	}
	return errors.Join(errs...)
}
