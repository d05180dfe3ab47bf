package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/mutant"
)

// Commit journal, big-endian: two copies of a header, then two halves of
// records. A record begins on a multiple of 4096 bytes, never crosses the end of
// its half, and once it is committed its blocks are not written again before the
// half is reused. Each checksum is XXH64 with seed 0.
//
//	header, at 0 and at 4096; the valid one with the greater first counts
//	at  len  field
//	 0    8  magic        "rolljrnl"
//	 8    4  version      1
//	12    8  half         bytes of each half, a multiple of 4096
//	20    8  first        sequence of the first record that counts
//	28    8  previous     what that record names as previous
//	36    8  checksum     of the bytes before it
//
//	record
//	at  len  field
//	 0    4  length       bytes of the record, without padding
//	 4    8  sequence     one more than the record before
//	12    8  tail         sequence of the first record that is still needed
//	20    8  previous     checksum of the record before
//	28    4  entries      how many follow
//	32    8  checksum     of the record with this field 0
//	40    .  entries
//
//	entry
//	at  len  field
//	 0   16  topic id
//	16    4  partition
//	20    4  length       of bytes; 0 for a promise
//	24    8  segment      base offset of the segment
//	32    8  position     where bytes go; of a promise the durable end
//	40    8  next         the offset behind bytes; of a promise the durable end
//	48    .  bytes        whole batches
const (
	journalFile    = "rollway-journal"
	journalMagic   = "rolljrnl"
	journalVersion = 1

	journalBlock        = 4096
	journalHeaderSize   = 44
	journalHeaders      = 2 * journalBlock // both copies of the header
	journalRecordSize   = 40               // a record without entries
	journalEntrySize    = 48               // an entry without bytes
	journalChecksumAt   = 32
	minJournalBytes     = 32 << 10 // as small only in tests, where it turns often
	maxJournalBytes     = 1 << 40
	defaultJournalBytes = 64 << 20

	// maxJournalRecord bounds the memory of a group, which there are two of.
	// What does not fit is synced in its files.
	maxJournalRecord = 8 << 20
)

// journal is the commit journal of one data directory: a ring of two halves. It
// belongs to the committer; what else touches a half goes through its flushed
// channel.
//
// Sketch of one group: its bytes are copied once into the record when they are
// appended, once by the one pwrite into the page cache, and there is one
// fdatasync of blocks that were written before: no file system metadata.
type journal struct {
	engine    *Engine
	file      vfs.File
	halfBytes int64

	halves   [2]journalHalf
	current  int    // the half that is written
	position int64  // in it, of the next record
	sequence uint64 // of the next record
	previous uint64 // checksum of the last record
}

// journalHalf is one half of the ring and who has bytes in it.
type journalHalf struct {
	first      uint64              // sequence of its first record; 0 while it has none
	partitions map[*Partition]bool // whose bytes its records hold
	flushed    chan struct{}       // closed when no record of it is needed any more; nil while it is written
	blocked    bool                // some partition of it cannot be synced; set before flushed is closed
}

// newJournal returns the journal of a file whose records are none, or follow.
func newJournal(e *Engine, file vfs.File, halfBytes int64) *journal {
	j := &journal{engine: e, file: file, halfBytes: halfBytes, sequence: 1}
	for i := range j.halves {
		j.halves[i] = journalHalf{partitions: map[*Partition]bool{}, flushed: make(chan struct{})}
		close(j.halves[i].flushed)
	}
	j.halves[0].flushed = nil
	return j
}

// start is where the half begins in the file.
func (j *journal) start(half int) int64 { return journalHeaders + int64(half)*j.halfBytes }

// wholeBlocks rounds up to whole blocks.
func wholeBlocks(bytes int) int64 {
	return (int64(bytes) + journalBlock - 1) / journalBlock * journalBlock
}

// recordLimit is the most bytes of a group's record: it fits a half together
// with the promises that a new half begins with.
func (j *journal) recordLimit() int { return int(min(maxJournalRecord, j.halfBytes/2)) }

// room makes sure that a record of that many bytes can be written, and waits for
// the flush of the other half if that must be reused; false if it cannot be, and
// the group must be synced in its files. carried are promises to be written
// first when a half begins.
func (j *journal) room(bytes int) (carried []journalPromise, ok bool) {
	if j.position+wholeBlocks(bytes) <= j.halfBytes {
		return nil, true
	}
	other := &j.halves[1-j.current]
	select {
	case <-other.flushed:
	case <-j.engine.ready:
		<-other.flushed
	default:
		return nil, false // that may wait for a partition that is being recovered, which takes long
	}
	if other.blocked || j.engine.failure() != nil {
		j.flushAgain(other)
		return nil, false
	}
	carried = j.engine.promises()
	if wholeBlocks(bytes+len(carried)*journalEntrySize) > j.halfBytes {
		return nil, false
	}
	j.turn()
	return carried, true
}

// flushAgain tries a half once more that could not be flushed, if all of its
// partitions have recovered meanwhile.
func (j *journal) flushAgain(half *journalHalf) {
	for p := range half.partitions {
		if state := PartitionState(p.state.Load()); state == Recovering || state == Failed {
			return
		}
	}
	half.blocked = false
	half.flushed = make(chan struct{})
	j.engine.committing.Go(func() { j.engine.flushHalf(half) })
}

// turn begins the other half, which nobody needs any more, and has the segments
// of the one that is full synced in the background.
func (j *journal) turn() {
	full := &j.halves[j.current]
	full.flushed = make(chan struct{})
	j.engine.committing.Go(func() { j.engine.flushHalf(full) })
	j.current = 1 - j.current
	j.position = 0
	clear(j.halves[j.current].partitions)
	j.halves[j.current].first = 0
	j.halves[j.current].flushed = nil
}

// tail is the sequence of the first record that is still needed: of the other
// half while that is not flushed.
func (j *journal) tail() uint64 {
	other := &j.halves[1-j.current]
	select {
	case <-other.flushed:
		if !other.blocked {
			break
		}
		return other.first
	default:
		return other.first
	}
	return j.halves[j.current].first
}

// padding is what stands behind a record up to the end of its last block: a block
// that is written as a whole need not be read first.
var padding [journalBlock]byte

// write makes a group's record durable. room has said that there is room.
// written is false if the file system had none, as one that copies on write may
// say; then the group must be synced in its files.
func (j *journal) write(r *journalRecord) (written bool, err error) {
	half := &j.halves[j.current]
	if half.first == 0 {
		half.first = j.sequence
	}
	bytes := r.seal(j.sequence, j.tail(), j.previous)
	at := j.start(j.current) + j.position
	invariant.Check(j.position+wholeBlocks(len(bytes)) <= j.halfBytes, "journal record of %d bytes at %d of %d", len(bytes), j.position, j.halfBytes)
	if _, err := j.file.WriteAt(at, bytes, padding[:wholeBlocks(len(bytes))-int64(len(bytes))]); err != nil {
		err = writeFault(fmt.Errorf("journal a group of %d bytes at %d: %w", len(bytes), at, err))
		return false, err
	}
	if err := j.file.Datasync(); err != nil {
		return false, syncFault(fmt.Errorf("journal a group of %d bytes at %d: %w", len(bytes), at, err))
	}
	j.previous = r.checksum()
	j.sequence++
	j.position += wholeBlocks(len(bytes))
	return true, nil
}

// holds notes that the half being written has bytes of p.
func (j *journal) holds(p *Partition) { j.halves[j.current].partitions[p] = true }

// empty says durably that no record is needed any more. All that the records
// hold is synced in its files.
func (j *journal) empty() error {
	return writeJournalHeader(j.file, journalHeader{half: j.halfBytes, first: j.sequence, previous: j.previous})
}

// journalPromise says that a partition is durable up to end.
type journalPromise struct {
	topic     TopicID
	partition int32
	segment   Offset
	position  Position
	next      Offset
}

// journalRecord is a group's record while it is gathered.
type journalRecord struct {
	bytes   []byte
	entries uint32
}

// reset empties the record and keeps its memory, unless that is large and was
// hardly used.
func (r *journalRecord) reset() {
	const keep = 1 << 20
	if cap(r.bytes) > keep && len(r.bytes) < keep/4 {
		r.bytes = nil
	}
	r.bytes = append(r.bytes[:0], make([]byte, journalRecordSize)...)
	r.entries = 0
}

// add appends an entry with the bytes of batches, or a promise if there are
// none. bytes is their length together.
func (r *journalRecord) add(e journalPromise, bytes int, batches [][]byte) {
	b := append(r.bytes, e.topic[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(e.partition))
	b = binary.BigEndian.AppendUint32(b, uint32(bytes))
	b = binary.BigEndian.AppendUint64(b, uint64(e.segment))
	b = binary.BigEndian.AppendUint64(b, uint64(e.position))
	b = binary.BigEndian.AppendUint64(b, uint64(e.next))
	for _, batch := range batches {
		b = append(b, batch...)
	}
	r.bytes = b
	r.entries++
}

// seal fills in the head of the record and returns all of it.
func (r *journalRecord) seal(sequence, tail, previous uint64) []byte {
	b := r.bytes
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	binary.BigEndian.PutUint64(b[4:], sequence)
	binary.BigEndian.PutUint64(b[12:], tail)
	binary.BigEndian.PutUint64(b[20:], previous)
	binary.BigEndian.PutUint32(b[28:], r.entries)
	binary.BigEndian.PutUint64(b[journalChecksumAt:], 0)
	binary.BigEndian.PutUint64(b[journalChecksumAt:], xxhash.Sum64(b))
	return b
}

func (r *journalRecord) checksum() uint64 {
	return binary.BigEndian.Uint64(r.bytes[journalChecksumAt:])
}

// journalHeader is what a header says.
type journalHeader struct {
	half            int64
	first, previous uint64
}

func (h journalHeader) encode() []byte {
	b := append(make([]byte, 0, journalHeaderSize), journalMagic...)
	b = binary.BigEndian.AppendUint32(b, journalVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(h.half))
	b = binary.BigEndian.AppendUint64(b, h.first)
	b = binary.BigEndian.AppendUint64(b, h.previous)
	return binary.BigEndian.AppendUint64(b, xxhash.Sum64(b))
}

// writeJournalHeader writes both copies, one after the other, so that a crash
// leaves one whole.
func writeJournalHeader(file vfs.File, h journalHeader) error {
	for at := int64(0); at < journalHeaders; at += journalBlock {
		if _, err := file.WriteAt(at, h.encode()); err != nil {
			return writeFault(err)
		}
		if err := file.Datasync(); err != nil {
			return syncFault(err)
		}
	}
	return nil
}

// halfOf is how large the halves of a journal of about that many bytes are.
func halfOf(journalBytes int64) int64 { return journalBytes / 2 / journalBlock * journalBlock }

// createJournal makes the file: all of it is written, so that a commit later
// changes no metadata of the file system. It stops early when stop is closed.
//
// Errors: ErrStorageFailed; any other, as of a full disk, leaves no journal.
func createJournal(fs vfs.FS, journalBytes int64, stop <-chan struct{}) (vfs.File, error) {
	const temp = journalFile + tempSuffix
	file, err := fs.OpenFile(temp, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return nil, err
	}
	err = fillJournal(file, halfOf(journalBytes), stop)
	if closeErr := file.Close(); err == nil && closeErr != nil {
		err = writeFault(closeErr)
	}
	if err == nil {
		err = fs.Rename(temp, journalFile)
	}
	if err != nil {
		fs.Remove(temp)
		return nil, err
	}
	if err := fs.SyncDir("."); err != nil {
		return nil, syncFault(err)
	}
	return fs.OpenFile(journalFile, 0)
}

// errStopped means that a journal was not made because the engine closes.
var errStopped = errors.New("engine: closing")

func fillJournal(file vfs.File, half int64, stop <-chan struct{}) error {
	const piece = 1 << 20 // written back at a time
	size := journalHeaders + 2*half
	for at := int64(0); at < size; at += journalBlock {
		select {
		case <-stop:
			return errStopped
		default:
		}
		// A block at a time: the kernel may keep a larger write as one folio, which
		// each small commit would then dirty as a whole.
		if _, err := file.WriteAt(at, padding[:]); err != nil {
			return writeFault(err)
		}
		if written := at + journalBlock; written%piece == 0 {
			if err := file.StartWriteback(written-piece, piece); err != nil {
				return syncFault(err)
			}
		}
	}
	return writeJournalHeader(file, journalHeader{half: half, first: 1})
}

// flushHalf syncs the segments of all partitions that have bytes in a half and
// then lets the committer reuse it.
func (e *Engine) flushHalf(half *journalHalf) {
	defer close(half.flushed)
	var jobs []syncJob
	for p := range half.partitions {
		if PartitionState(p.state.Load()) == Recovering {
			<-e.ready
		}
		switch PartitionState(p.state.Load()) {
		case Ready:
			p.mu.Lock()
			jobs = p.log.unsyncedBelow(p.marks.Load().flushed, jobs)
			p.mu.Unlock()
		case Recovering, Failed:
			// What it has in the journal may be nowhere else.
			half.blocked = true
			e.options.Log.Warn("half of the journal cannot be reused until the partition is ready; commits sync their files", "partition", p.String())
		}
	}
	if !mutant.Is(mutant.JournalWrappedEarly) {
		e.syncAll(jobs)
	}
	releaseJobs(jobs)
	if e.failure() != nil {
		half.blocked = true
	}
}

// promises returns the durable ends that recovery could learn only from the
// journal: those above the recovery points on disk.
func (e *Engine) promises() []journalPromise {
	var promises []journalPromise
	for _, t := range e.Topics() {
		for _, p := range t.partitions {
			if promise, ok := p.promise(); ok {
				promises = append(promises, promise)
			}
		}
	}
	return promises
}

// promise is how far the partition is durable; false if the recovery point says
// as much.
func (p *Partition) promise() (journalPromise, bool) {
	switch PartitionState(p.state.Load()) {
	case Ready:
		end := p.marks.Load().flushed
		if end.segment == nil || end.offset <= Offset(p.checkpointed.Load()) {
			return journalPromise{}, false
		}
		return p.promiseOf(end), true
	case Deleted:
		return journalPromise{}, false
	}
	return p.journaled.promise, p.journaled.promise.next > 0
}

func (p *Partition) promiseOf(end mark) journalPromise {
	return journalPromise{topic: p.id, partition: p.index, segment: end.segment.base, position: end.position, next: end.offset}
}
