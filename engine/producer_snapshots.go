package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rollway/rollway/internal/mutant"
)

const snapshotSuffix = ".snapshot"

// producerSnapshotsFile, in the data directory, is a checkpoint (offsetCheckpoint)
// that names the newest snapshot of each partition that has idempotent producers.
// It is durable before the recovery points move. So a snapshot that is missing is
// missed, and a log of whose producers nothing is known need not be read.
const producerSnapshotsFile = "rollway-producer-snapshots"

// noSnapshot is the offset of a snapshot that there is not.
const noSnapshot = Offset(-1)

// producerSnapshots are the snapshot files of a partition.
type producerSnapshots struct {
	files  []Offset // rising; the names in the directory, good or not
	newest Offset   // of those that were written or read here; noSnapshot
	behind bool     // recovery has met a producer's batch above the recovery point
}

// rolled writes the snapshot that belongs to a new segment at base, if there are
// producers. Nothing of that segment is in the table yet. An error that is not
// final costs the snapshot only: the next start reads more of the log. Under p.mu.
func (p *Partition) rolled(base Offset) error {
	if p.producers == nil {
		return nil
	}
	p.snapshotMu.Lock()
	defer p.snapshotMu.Unlock()
	err := p.writeSnapshot(base, p.producers.encode())
	if err == nil || isFinal(err) {
		return err
	}
	p.log.warn("producer snapshot was not written", "offset", base, "error", err)
	return nil
}

// snapshotProducers writes a snapshot at the end of the log if that has grown
// behind the newest one, and removes those that nobody needs any more. It is
// what a checkpoint does before the recovery point moves.
func (p *Partition) snapshotProducers() error {
	p.mu.Lock()
	p.expireProducers()
	p.snapshotMu.Lock()
	defer p.snapshotMu.Unlock()
	at := p.log.next
	var content []byte
	if p.producers != nil && at > p.snapshots.newest {
		content = p.producers.encode()
	}
	if p.producers == nil {
		p.snapshots.newest = noSnapshot
	}
	deleted := PartitionState(p.state.Load()) != Ready
	p.mu.Unlock() // appends go on while the snapshot is written
	if deleted {
		return nil
	}
	if content != nil {
		if err := p.writeSnapshot(at, content); err != nil {
			return err
		}
	}
	o := p.marks.Load()
	p.pruneSnapshots(o.logStart.offset, o.flushed.offset)
	return nil
}

// expireProducers forgets the producers that have been silent for too long, and
// the table when it is empty. Under p.mu.
func (p *Partition) expireProducers() {
	if p.producers == nil {
		return
	}
	p.producers.expire(p.engine.nowMs(), p.engine.producerExpirationMs.Load())
	p.traffic.producers.Store(int64(len(p.producers.byID)))
	if len(p.producers.byID) == 0 {
		p.producers = nil
	}
}

// writeSnapshot makes a snapshot durable. Errors as writeFileAtomic. Under
// p.snapshotMu.
//
// Neither of its two syncs, of the bytes and of the name, can be left to a later one:
// older snapshots are unlinked and the recovery point moves as soon as this returns,
// and an unlink may reach the disk before an earlier rename does. What is left then
// knows nothing of producers whose batches retention has deleted.
func (p *Partition) writeSnapshot(at Offset, content []byte) error {
	if err := writeFileAtomic(p.engine.fs, p.dir, snapshotFileName(at), content); err != nil {
		return err
	}
	if i, found := slices.BinarySearch(p.snapshots.files, at); !found {
		p.snapshots.files = slices.Insert(p.snapshots.files, i, at)
	}
	p.snapshots.newest = max(p.snapshots.newest, at)
	return nil
}

func snapshotFileName(at Offset) string { return fmt.Sprintf("%020d%s", at, snapshotSuffix) }

// pruneSnapshots removes the snapshots that no start will read: all but the
// newest one, the newest at or below the durable end, which counts when a power
// cut takes the log back to there, and those at the beginning of a segment that
// is not below start. Under p.snapshotMu.
func (p *Partition) pruneSnapshots(start, durable Offset) {
	segments := p.log.list()
	below := prefix(p.snapshots.files, func(at Offset) bool { return at <= durable })
	safe := noSnapshot
	if below > 0 {
		safe = p.snapshots.files[below-1]
	}
	p.removeSnapshots(func(at Offset) bool {
		if at == p.snapshots.newest || at == safe && p.snapshots.newest != noSnapshot {
			return false
		}
		s, _ := segmentOf(segments, at)
		return at < start || s == nil || s.base != at
	})
}

// dropSnapshots removes the snapshots below start, which is where the log begins
// now, but never the newest one: it is what is left of the producers whose
// batches are gone. The partition's mutex may be held.
func (p *Partition) dropSnapshots(start Offset) {
	p.snapshotMu.Lock()
	defer p.snapshotMu.Unlock()
	p.removeSnapshots(func(at Offset) bool { return at < start && at != p.snapshots.newest })
}

// removeSnapshots unlinks the files that drop names. One that stays is harmless
// and met again at the next start. Under p.snapshotMu.
func (p *Partition) removeSnapshots(drop func(Offset) bool) (removed int) {
	p.snapshots.files = slices.DeleteFunc(p.snapshots.files, func(at Offset) bool {
		if !drop(at) {
			return false
		}
		name := path.Join(p.dir, snapshotFileName(at))
		if err := p.engine.fs.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			p.log.warn("producer snapshot stays", "path", name, "error", err)
			return false
		}
		removed++
		return true
	})
	return removed
}

// awaitSnapshot returns when no snapshot is being written any more. After the
// partition has stopped none is begun.
func (p *Partition) awaitSnapshot() {
	p.snapshotMu.Lock()
	defer p.snapshotMu.Unlock()
}

// listSnapshot enters the partition into the list that is about to be written,
// which was old so far. A partition that is not ready keeps its entry.
func (p *Partition) listSnapshot(list, old offsetCheckpoint) {
	key := partitionKey{p.topic, p.index}
	if PartitionState(p.state.Load()) != Ready {
		if at, ok := old[key]; ok {
			list[key] = at
		}
		return
	}
	p.snapshotMu.Lock()
	defer p.snapshotMu.Unlock()
	if p.snapshots.newest != noSnapshot {
		list[key] = p.snapshots.newest
	}
}

// readSnapshotList reads producerSnapshotsFile; nil if it is missing or damaged:
// then what is in the directories counts.
func (e *Engine) readSnapshotList() (offsetCheckpoint, error) {
	content, err := readFileBounded(e.fs, producerSnapshotsFile, maxCheckpointBytes)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	list, err := parseOffsetCheckpoint(filepath.Join(e.fs.Path(), producerSnapshotsFile), content)
	if err != nil {
		e.options.Log.Warn("list of producer snapshots is lost; those that are there are used", "file", producerSnapshotsFile, "error", err)
	}
	return list, nil
}

// writeSnapshotList makes the list durable if it has changed. Under
// e.checkpointMu.
func (e *Engine) writeSnapshotList(list offsetCheckpoint) error {
	if maps.Equal(list, e.snapshotList) {
		return nil
	}
	if err := list.write(e.fs, producerSnapshotsFile); err != nil {
		if isFinal(err) {
			e.fail(err)
		}
		return fmt.Errorf("write %s: %w", producerSnapshotsFile, err)
	}
	e.snapshotList = list
	return nil
}

// forgetSnapshots removes partitions from the list that are about to be made: an
// earlier topic of that name may have left them there.
func (e *Engine) forgetSnapshots(topic string, first, end int32) error {
	e.checkpointMu.Lock()
	defer e.checkpointMu.Unlock()
	list := maps.Clone(e.snapshotList)
	for index := first; index < end; index++ {
		delete(list, partitionKey{topic, index})
	}
	return e.writeSnapshotList(list)
}

// foundSnapshot takes a file of the partition's directory into account, in the
// order of the names; false if it has nothing to do with snapshots. What a crash
// left half written is removed.
func (p *Partition) foundSnapshot(name string) bool {
	whole, temp := strings.CutSuffix(name, tempSuffix)
	at, kind := parseSegmentFileName(whole)
	if kind != snapshotSuffix {
		return false
	}
	if !temp {
		p.snapshots.files = append(p.snapshots.files, at)
	} else if err := p.engine.fs.Remove(path.Join(p.dir, name)); err != nil {
		p.log.warn("unfinished producer snapshot stays", "file", name, "error", err)
	}
	return true
}

// recoverProducers finds out what is known of the partition's idempotent
// producers: from the newest snapshot that is good, and from the headers of the
// batches behind it. The log has been recovered; below point nothing of it has
// changed since the last checkpoint. A clean start reads the snapshot at the end
// of the log and nothing else.
func (p *Partition) recoverProducers(point Offset) error {
	end := p.log.next
	// A snapshot above the end is of batches that are gone. When the log has
	// grown to there again it would be taken for one of the new batches, so it
	// goes durably before anything is appended.
	if !mutant.Is(mutant.SnapshotTrusted) && p.removeSnapshots(func(at Offset) bool { return at > end }) > 0 {
		if err := p.log.syncDir(); err != nil {
			return err
		}
	}
	table, from, err := p.loadProducers(point)
	if err != nil {
		return err
	}
	if from < point || p.snapshots.behind {
		if err := p.replayProducers(table, from); err != nil {
			return err
		}
	}
	p.producers = table
	p.expireProducers()
	p.boundProducers()
	return nil
}

// loadProducers returns what the newest good snapshot says, and the offset that
// it was taken at; without one an empty table, and where the log has to be read
// from.
func (p *Partition) loadProducers(point Offset) (table *producerTable, from Offset, err error) {
	start := p.log.start().offset
	list := p.engine.startSnapshots
	listed, isListed := list[partitionKey{p.topic, p.index}]
	damaged := false
	for _, at := range slices.Backward(p.snapshots.files) {
		if list != nil && !isListed && at < point {
			break // by the point, the producers of this snapshot had expired
		}
		table, err := p.readSnapshot(at)
		switch {
		case err == nil:
			if isListed && at < min(listed, p.log.next) {
				p.log.warn("producer snapshot is missing or damaged; producers are rebuilt from the log", "offset", listed, "from", at)
			}
			p.snapshots.newest = at
			return table, max(at, start), nil
		case !errors.Is(err, errBadSnapshot):
			return nil, 0, err
		}
		damaged = true
		p.log.warn("producer snapshot is not used", "error", err)
	}
	switch {
	case !isListed && (list != nil || !damaged):
		return newProducerTable(), max(point, start), nil
	case !damaged:
		p.log.warn("producer snapshot is missing; producers are rebuilt from the log", "offset", listed, "from", start)
	}
	return newProducerTable(), start, nil
}

// readSnapshot reads one file. Errors: errBadSnapshot; those of the file system.
func (p *Partition) readSnapshot(at Offset) (*producerTable, error) {
	name := path.Join(p.dir, snapshotFileName(at))
	content, err := readFileBounded(p.engine.fs, name, maxSnapshotBytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBadSnapshot, err)
	}
	table, err := parseProducerSnapshot(content, at, p.engine.nowMs())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(p.engine.fs.Path(), name), err)
	}
	return table, nil
}

// replayProducers takes the batches from an offset on into account. It reads
// their headers.
func (p *Partition) replayProducers(table *producerTable, from Offset) error {
	now := p.engine.nowMs()
	segments := p.log.list()
	_, first := segmentOf(segments, from)
	for _, s := range segments[max(first, 0):] {
		if s.next <= from {
			continue
		}
		if err := p.replaySegment(table, s, from, now); err != nil {
			return err
		}
	}
	return nil
}

func (p *Partition) replaySegment(table *producerTable, s *Segment, from Offset, nowMs int64) error {
	position := Position(0)
	if from > s.base {
		at, _, err := s.locate(from, mark{offset: s.next, segment: s, position: s.size})
		if isFinal(err) {
			return err
		}
		if err == nil { // else the headers tell, from the first one on
			position = at
		}
	}
	scan, err := s.scan(position, s.size, scanWindow)
	if err != nil {
		return err
	}
	defer scan.close()
	for scan.next() {
		if b := scan.header; b.LastOffset() >= from && b.ProducerID() >= 0 {
			table.note(b, nowMs)
		}
		if err := p.engine.closing(); err != nil {
			return err
		}
	}
	if damage := (*CorruptionError)(nil); errors.As(scan.err, &damage) {
		p.log.warn("producers of batches behind damage are not known", "path", s.name, "error", scan.err)
		return nil
	}
	return scan.err
}
