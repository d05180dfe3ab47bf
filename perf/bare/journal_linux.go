package bare

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

const (
	// journalBlock is what records begin on. A committed block is then not
	// written again before its half is used anew.
	journalBlock = 4 << 10

	// leastJournal has room in each half for a record of the largest batch.
	leastJournal = 2 * 2 * receiveBytes
)

// journal is a ring file of two halves. Once it is written in full, a commit
// overwrites blocks that are there and changes nothing else of the file, so that
// its fdatasync waits for nothing but them. What a half holds is synced in its
// own files, in the background, before that half is used again.
//
// A record, little-endian:
//
//	at  len  field
//	 0    4  magic       "BJ01"
//	 4    4  crc         CRC-32C of what follows it, up to the batches; each of them has its own
//	 8    8  sequence    one more than that of the record before
//	16    4  count       of batches
//	20    4  bytes       of batches
//	24    .  per batch: partition u32, length u32, position u64
//	 .    .  batches
type journal struct {
	file  *os.File
	half  int64 // bytes of one
	at    int64 // where the next record begins
	end   int64 // of the half that it is in
	syncs *atomic.Int64

	sequence uint64
	dirty    map[*loopFile]struct{} // what this half holds batches of
	synced   chan error             // has the result once what the other half holds is synced

	head    []byte
	vectors [][]byte // of a record; the first is its head
	bytes   int64    // of all but the head
	files   []*loopFile
}

const (
	journalHead  = 24
	journalEntry = 16
)

// newJournal makes the file and writes it in full, by blocks: written by more at
// once, the page cache would keep it in larger pieces, and write them back whole
// for each record.
func newJournal(dir string, bytes int64, syncs *atomic.Int64) (_ *journal, err error) {
	if bytes < leastJournal {
		return nil, fmt.Errorf("journal of %d bytes, want %d or more", bytes, leastJournal)
	}
	f, err := os.OpenFile(filepath.Join(dir, "bare-journal"), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			f.Close()
		}
	}()
	half := bytes / 2 / journalBlock * journalBlock
	block := make([]byte, journalBlock)
	for at := int64(0); at < 2*half; at += journalBlock {
		if _, err := f.WriteAt(block, at); err != nil {
			return nil, err
		}
	}
	if err := f.Sync(); err != nil {
		return nil, err
	}
	j := &journal{file: f, half: half, end: half, syncs: syncs, dirty: map[*loopFile]struct{}{}, synced: make(chan error, 1)}
	j.synced <- nil // the other half holds nothing
	j.reset()
	return j, nil
}

// close waits for what goes on in the background and closes the file.
func (j *journal) close() error {
	err := <-j.synced
	if e := j.file.Close(); err == nil {
		err = e
	}
	return err
}

// commit writes what the files were given in this turn and syncs it: one record,
// unless it is too long for one, and one fdatasync.
func (j *journal) commit(files []*loopFile) error {
	for _, f := range files {
		at := f.end
		for _, b := range f.batches {
			if len(j.vectors) == maxVectors || j.size()+journalEntry+int64(len(b)) > j.half {
				if err := j.write(); err != nil {
					return err
				}
			}
			j.add(f, at, b)
			at += int64(len(b))
		}
	}
	if err := j.write(); err != nil {
		return err
	}
	j.syncs.Add(1)
	return os.NewSyscallError("fdatasync", unix.Fdatasync(int(j.file.Fd())))
}

// size is that of the record so far.
func (j *journal) size() int64 { return int64(len(j.head)) + j.bytes }

// reset begins a record.
func (j *journal) reset() {
	j.head = append(j.head[:0], make([]byte, journalHead)...)
	clear(j.vectors)
	j.vectors = append(j.vectors[:0], nil)
	clear(j.files)
	j.files = j.files[:0]
	j.bytes = 0
}

func (j *journal) add(f *loopFile, position int64, batch []byte) {
	if n := len(j.files); n == 0 || j.files[n-1] != f {
		j.files = append(j.files, f)
	}
	j.head = binary.LittleEndian.AppendUint32(j.head, uint32(f.partition))
	j.head = binary.LittleEndian.AppendUint32(j.head, uint32(len(batch)))
	j.head = binary.LittleEndian.AppendUint64(j.head, uint64(position))
	j.vectors = append(j.vectors, batch)
	j.bytes += int64(len(batch))
}

// write writes the record and begins the next one.
func (j *journal) write() error {
	if j.at+j.size() > j.end {
		if err := j.changeHalves(); err != nil {
			return err
		}
	}
	j.sequence++
	copy(j.head, "BJ01")
	binary.LittleEndian.PutUint64(j.head[8:], j.sequence)
	binary.LittleEndian.PutUint32(j.head[16:], uint32(len(j.vectors)-1))
	binary.LittleEndian.PutUint32(j.head[20:], uint32(j.bytes))
	binary.LittleEndian.PutUint32(j.head[4:], crc32.Checksum(j.head[8:], castagnoli))
	j.vectors[0] = j.head
	if err := writeVectors(j.file, j.vectors, j.at); err != nil {
		return err
	}
	for _, f := range j.files {
		j.dirty[f] = struct{}{}
	}
	j.at = (j.at + j.size() + journalBlock - 1) / journalBlock * journalBlock
	j.reset()
	return nil
}

// changeHalves goes on in the other half as soon as it is free, and has what
// this one holds synced.
func (j *journal) changeHalves() error {
	if err := <-j.synced; err != nil {
		return err
	}
	files := make([]*os.File, 0, len(j.dirty))
	for f := range j.dirty {
		files = append(files, f.file)
	}
	clear(j.dirty)
	go func() { j.synced <- j.syncFiles(files) }()
	j.at = 0
	if j.end == j.half {
		j.at = j.half
	}
	j.end = j.at + j.half
	return nil
}

func (j *journal) syncFiles(files []*os.File) error {
	for _, f := range files {
		j.syncs.Add(1)
		if err := unix.Fdatasync(int(f.Fd())); err != nil {
			return os.NewSyscallError("fdatasync", err)
		}
	}
	return nil
}
