package dump

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// The commit journal, docs/format/journal.md. All integers are big-endian,
// checksums XXH64 with seed 0.
const (
	journalMagic      = "rolljrnl"
	journalVersion    = 1
	journalBlock      = 4096 // records begin on multiples of it; the second header stands there
	journalHeaderSize = 44
	journalHeadSize   = 40
	journalEntrySize  = 48
	atJournalChecksum = 32 // in a record
	// maxJournalRecord bounds what is read of one record: 4,000 files of the
	// 256 KiB above which a file is synced itself.
	maxJournalRecord = 1 << 30
)

// journalFile is a journal that is being read.
type journalFile struct {
	d    *dumper
	f    vfs.File
	size int64
	half int64

	first  uint64 // sequence of the first record that counts
	buffer []byte // a record
}

// journalHead is the head of a record.
type journalHead struct {
	length                   int64
	sequence, tail, previous uint64
	entries                  uint32
	checksum                 uint64
}

// journal emits the records that count, half by half, and what is wrong with them.
func (d *dumper) journal(f vfs.File, size int64) error {
	j := &journalFile{d: d, f: f, size: size}
	wrong, err := j.header()
	if err != nil || wrong {
		return err
	}
	for i := range int64(2) {
		if err := j.records(2*journalBlock+i*j.half, 2*journalBlock+(i+1)*j.half); err != nil {
			return err
		}
	}
	return nil
}

// header reads both copies of the header; the one with the greater first counts.
// wrong is true if none can be read.
func (j *journalFile) header() (wrong bool, err error) {
	found := false
	for at := int64(0); at <= journalBlock; at += journalBlock {
		half, first, bad := j.headerAt(at)
		if bad != nil {
			if err := j.d.problem(at, "%v", bad); err != nil {
				return true, err
			}
			continue
		}
		if !found || first > j.first {
			j.half, j.first, found = half, first, true
		}
	}
	return !found, nil
}

func (j *journalFile) headerAt(at int64) (half int64, first uint64, wrong error) {
	p := make([]byte, journalHeaderSize)
	if _, err := j.f.ReadAt(p, at); err != nil {
		return 0, 0, fmt.Errorf("header: %w", err)
	}
	if magic := string(p[:8]); magic != journalMagic {
		return 0, 0, fmt.Errorf("magic %q, want %q", magic, journalMagic)
	}
	if version := binary.BigEndian.Uint32(p[8:]); version != journalVersion {
		return 0, 0, fmt.Errorf("version %d, want %d", version, journalVersion)
	}
	if found, want := binary.BigEndian.Uint64(p[36:]), xxhash.Sum64(p[:36]); found != want {
		return 0, 0, fmt.Errorf("header checksum %016x, want %016x", found, want)
	}
	half = int64(binary.BigEndian.Uint64(p[12:]))
	if most := j.size / 2; half < journalBlock || half > most || half%journalBlock != 0 {
		return 0, 0, fmt.Errorf("halves of %d bytes in a file of %d, want a multiple of %d up to %d", half, j.size, journalBlock, most)
	}
	return half, binary.BigEndian.Uint64(p[20:]), nil
}

// records emits the records of the half from at to end, as far as each follows
// the one before. What stands behind is of an earlier lap, or a record that was
// never whole; a later one behind that is damage.
func (j *journalFile) records(at, end int64) error {
	last := journalHead{}
	for at+journalHeadSize <= end {
		h, whole := j.record(at, end)
		if !whole || h.sequence < j.first || last.length != 0 && (h.sequence != last.sequence+1 || h.previous != last.checksum) {
			break
		}
		if err := j.emit(at, h); err != nil {
			return err
		}
		last = h
		at += (h.length + journalBlock - 1) / journalBlock * journalBlock
	}
	after := j.first
	if last.length != 0 {
		after = last.sequence + 1
	}
	for later := at; later+journalHeadSize <= end; later += journalBlock {
		// Of the half that was not reached yet nothing counts; a whole record
		// that does, behind one that is not, shows that one is missing.
		if h, whole := j.record(later, end); whole && h.sequence >= after && later > at {
			return j.d.problem(at, "no record %d here, but record %d is whole at %d: what lies between is lost", after, h.sequence, later)
		}
	}
	return nil
}

// record reads the record at a position into the buffer, and tells whether it is
// whole.
func (j *journalFile) record(at, end int64) (h journalHead, whole bool) {
	head := make([]byte, journalHeadSize)
	if _, err := j.f.ReadAt(head, at); err != nil {
		return h, false
	}
	h = journalHead{
		length:   int64(binary.BigEndian.Uint32(head)),
		sequence: binary.BigEndian.Uint64(head[4:]),
		tail:     binary.BigEndian.Uint64(head[12:]),
		previous: binary.BigEndian.Uint64(head[20:]),
		entries:  binary.BigEndian.Uint32(head[28:]),
		checksum: binary.BigEndian.Uint64(head[atJournalChecksum:]),
	}
	if h.length < journalHeadSize || h.length > min(end-at, maxJournalRecord) || h.sequence < j.first || int64(h.entries) > (h.length-journalHeadSize)/journalEntrySize {
		return h, false
	}
	if int64(cap(j.buffer)) < h.length {
		j.buffer = make([]byte, h.length)
	}
	j.buffer = j.buffer[:h.length]
	if _, err := vfs.ReadUncached(j.f, j.buffer, at); err != nil {
		return h, false
	}
	clear(j.buffer[atJournalChecksum : atJournalChecksum+8])
	return h, xxhash.Sum64(j.buffer) == h.checksum
}

// emit emits the record in the buffer.
func (j *journalFile) emit(at int64, h journalHead) error {
	item := JournalRecord{Position: at, Sequence: h.sequence, Tail: h.tail, Size: h.length}
	p := j.buffer[journalHeadSize:]
	for i := range h.entries {
		if len(p) < journalEntrySize {
			return j.d.problem(at, "record %d: entry %d of %d: %d bytes left, want %d", h.sequence, i, h.entries, len(p), journalEntrySize)
		}
		e := JournalEntry{
			TopicID:   base64.RawURLEncoding.EncodeToString(p[:16]),
			Partition: int32(binary.BigEndian.Uint32(p[16:])),
			Bytes:     int64(binary.BigEndian.Uint32(p[20:])),
			Segment:   record.Offset(binary.BigEndian.Uint64(p[24:])),
			Position:  int64(binary.BigEndian.Uint64(p[32:])),
			Next:      record.Offset(binary.BigEndian.Uint64(p[40:])),
		}
		if p = p[journalEntrySize:]; int64(len(p)) < e.Bytes {
			return j.d.problem(at, "record %d: entry %d of %d has %d bytes, but %d are left", h.sequence, i, h.entries, e.Bytes, len(p))
		}
		p = p[e.Bytes:]
		item.Entries = append(item.Entries, e)
	}
	if len(p) > 0 {
		return j.d.problem(at, "record %d: %d bytes behind its entries, want none", h.sequence, len(p))
	}
	return j.d.emit(item)
}
