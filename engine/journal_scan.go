package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/mutant"
)

// journalScan is what a start finds in a journal.
type journalScan struct {
	file   vfs.File
	header journalHeader
	halves [2]journalChain
	// last is the half with the last record; its chain is what counts, that of
	// the other half only as far as it is needed.
	last int
	// damage is what is wrong with the record that ends the replay, if that is
	// no unfinished end.
	damage *CorruptionError
}

// journalChain is the records of one half, from its beginning.
type journalChain struct {
	records []journalRecordAt
	end     int64 // in the half, where the next record goes
}

// journalRecordAt is one record whose checksum is right.
type journalRecordAt struct {
	at                                 int64 // in the file
	size                               int
	sequence, tail, previous, checksum uint64
	entries                            []journalEntry
}

// journalEntry is an entry of a record; its bytes stay in the file.
type journalEntry struct {
	journalPromise
	at    int64 // in the journal, of the bytes
	bytes int   // 0 for a promise
}

func (c *journalChain) last() journalRecordAt { return c.records[len(c.records)-1] }

// openJournal reads the journal of the data directory; nil if there is none. It
// holds the entries in memory, not their bytes.
//
// Errors: ErrUnknownVersion; *CorruptionError if there is a file whose two
// headers are both damaged. Others are of the file system.
func openJournal(fsys vfs.FS) (*journalScan, error) {
	file, err := fsys.OpenFile(journalFile, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	s := &journalScan{file: file}
	if err := s.scan(); err != nil {
		file.Close()
		return nil, err
	}
	return s, nil
}

func (s *journalScan) scan() error {
	size, err := s.file.Size()
	if err != nil {
		return err
	}
	if s.header, err = readJournalHeader(s.file, size); err != nil {
		return err
	}
	for half := range s.halves {
		if err := s.scanHalf(half); err != nil {
			return err
		}
	}
	return s.join()
}

// readJournalHeader returns the valid copy of the header with the greater first.
func readJournalHeader(file vfs.File, size int64) (journalHeader, error) {
	damaged := func(err error) error {
		return &CorruptionError{Path: file.Name(), Offset: -1, Position: 0, Err: err}
	}
	if size < journalHeaders {
		return journalHeader{}, damaged(fmt.Errorf("%d bytes, want at least %d", size, journalHeaders))
	}
	var found journalHeader
	var faults []error
	for at := int64(0); at < journalHeaders; at += journalBlock {
		b := make([]byte, journalHeaderSize)
		if _, err := file.ReadAt(b, at); err != nil {
			return journalHeader{}, err
		}
		h, err := parseJournalHeader(b, size)
		if err != nil {
			faults = append(faults, err)
		} else if h.first > found.first {
			found = h
		}
	}
	if found.first == 0 {
		return journalHeader{}, damaged(errors.Join(faults...))
	}
	return found, nil
}

// parseJournalHeader checks one copy of the header of a file of that size. As in
// the metadata log, magic and version come before the checksum.
func parseJournalHeader(b []byte, size int64) (journalHeader, error) {
	if magic := string(b[:8]); magic != journalMagic {
		return journalHeader{}, fmt.Errorf("magic %q, want %q", magic, journalMagic)
	}
	if version := binary.BigEndian.Uint32(b[8:]); version != journalVersion {
		return journalHeader{}, fmt.Errorf("version %d, want %d; a newer program wrote it: %w", version, journalVersion, ErrUnknownVersion)
	}
	if found, want := binary.BigEndian.Uint64(b[36:]), xxhash.Sum64(b[:36]); found != want {
		return journalHeader{}, fmt.Errorf("header checksum %016x, want %016x", found, want)
	}
	h := journalHeader{
		half:     int64(binary.BigEndian.Uint64(b[12:])),
		first:    binary.BigEndian.Uint64(b[20:]),
		previous: binary.BigEndian.Uint64(b[28:]),
	}
	if most := (size - journalHeaders) / 2; h.half < journalBlock || h.half > most || h.half%journalBlock != 0 {
		return journalHeader{}, fmt.Errorf("halves of %d bytes, want %d to %d in whole blocks of %d", h.half, journalBlock, most, journalBlock)
	}
	if h.first == 0 {
		return journalHeader{}, errors.New("first record 0, want 1 or more")
	}
	return h, nil
}

func (s *journalScan) start(half int) int64 { return journalHeaders + int64(half)*s.header.half }

// scanHalf follows the records of a half, each of which names the one before by
// its checksum, until one does not.
func (s *journalScan) scanHalf(half int) error {
	c := &s.halves[half]
	for c.end < s.header.half {
		r, size, err := s.readRecord(half, c.end, s.header.first)
		if err != nil || size == 0 {
			return err
		}
		if len(c.records) > 0 {
			if before := c.last(); r.sequence != before.sequence+1 || r.previous != before.checksum {
				return nil
			}
		}
		c.records = append(c.records, r)
		c.end += wholeBlocks(size)
	}
	return nil
}

// readRecord reads the record at a position of a half, unless its sequence is
// below least; size is 0 if there is no whole one. err is a failed read.
func (s *journalScan) readRecord(half int, at int64, least uint64) (r journalRecordAt, size int, err error) {
	remain := s.header.half - at
	head := make([]byte, journalRecordSize)
	if _, err := s.file.ReadAt(head, s.start(half)+at); err != nil {
		return r, 0, err
	}
	size = int(binary.BigEndian.Uint32(head))
	if size < journalRecordSize || int64(size) > remain || binary.BigEndian.Uint64(head[4:]) < least {
		return r, 0, nil
	}
	b := make([]byte, size)
	if _, err := s.file.ReadAt(b, s.start(half)+at); err != nil {
		return r, 0, err
	}
	r, err = parseJournalRecord(b, s.start(half)+at)
	if err != nil {
		return r, 0, nil
	}
	return r, size, nil
}

// parseJournalRecord checks a whole record, which stands at a position of the
// file, and everything in it that its lengths promise. It changes b.
func parseJournalRecord(b []byte, at int64) (journalRecordAt, error) {
	if len(b) < journalRecordSize || int(binary.BigEndian.Uint32(b)) != len(b) {
		return journalRecordAt{}, fmt.Errorf("record of %d bytes, want what its length says and at least %d", len(b), journalRecordSize)
	}
	r := journalRecordAt{
		at: at, size: len(b),
		sequence: binary.BigEndian.Uint64(b[4:]),
		tail:     binary.BigEndian.Uint64(b[12:]),
		previous: binary.BigEndian.Uint64(b[20:]),
		checksum: binary.BigEndian.Uint64(b[journalChecksumAt:]),
	}
	binary.BigEndian.PutUint64(b[journalChecksumAt:], 0)
	if want := xxhash.Sum64(b); r.checksum != want {
		return r, fmt.Errorf("record checksum %016x, want %016x", r.checksum, want)
	}
	count := binary.BigEndian.Uint32(b[28:])
	rest := b[journalRecordSize:]
	for range count {
		e, after, err := parseJournalEntry(rest)
		if err != nil {
			return r, err
		}
		e.at = at + int64(len(b)-len(after)-e.bytes)
		r.entries = append(r.entries, e)
		rest = after
	}
	if len(rest) > 0 {
		return r, fmt.Errorf("%d bytes behind the %d entries, want none", len(rest), count)
	}
	return r, nil
}

func parseJournalEntry(b []byte) (e journalEntry, rest []byte, err error) {
	if len(b) < journalEntrySize {
		return e, nil, fmt.Errorf("%d bytes left, want an entry of at least %d", len(b), journalEntrySize)
	}
	copy(e.topic[:], b)
	e.partition = int32(binary.BigEndian.Uint32(b[16:]))
	e.bytes = int(binary.BigEndian.Uint32(b[20:]))
	e.segment = Offset(binary.BigEndian.Uint64(b[24:]))
	e.position = Position(binary.BigEndian.Uint64(b[32:]))
	e.next = Offset(binary.BigEndian.Uint64(b[40:]))
	if left := len(b) - journalEntrySize; e.bytes > left {
		return e, nil, fmt.Errorf("entry with %d bytes, but %d remain", e.bytes, left)
	}
	if e.partition < 0 || e.segment < 0 || e.position < 0 || e.next < e.segment || e.position > maxSegmentBytes {
		return e, nil, fmt.Errorf("entry of partition %d, segment %d, position %d, next offset %d: out of range", e.partition, e.segment, e.position, e.next)
	}
	return e, b[journalEntrySize+e.bytes:], nil
}

// maxSegmentBytes is where positions end: an index holds them in 31 bits, and
// the last batch may begin there.
const maxSegmentBytes = 1 << 32

// join finds out which half is the later one, whether they belong together, and
// from which record on they are needed.
func (s *journalScan) join() error {
	older, newer := &s.halves[0], &s.halves[1]
	s.last = 1
	if len(newer.records) == 0 || len(older.records) > 0 && older.records[0].sequence > newer.records[0].sequence {
		older, newer = newer, older
		s.last = 0
	}
	if len(newer.records) == 0 {
		s.last = 0 // where the first record goes
		return s.checkEnd()
	}
	tail := newer.last().tail
	first := newer.records[0]
	switch {
	case tail >= first.sequence || first.sequence == s.header.first:
		older.records = nil // flushed, or before the journal was emptied
	case len(older.records) == 0 || older.last().sequence+1 != first.sequence || older.last().checksum != first.previous:
		// Part of what is needed is missing: only what lies before that counts.
		s.damaged(1-s.last, older.end, fmt.Errorf("no valid record, want one of sequence %d to %d", tail, first.sequence-1))
		newer.records = nil
		return nil
	default:
		older.dropBelow(tail)
	}
	newer.dropBelow(tail)
	return s.checkEnd()
}

func (c *journalChain) dropBelow(tail uint64) {
	for len(c.records) > 0 && c.records[0].sequence < tail {
		c.records = c.records[1:]
	}
}

// checkEnd looks behind the last record for a later one. A group is written only
// after the one before it is durable, so at most one can be unfinished; a whole
// one behind it shows that it was committed and is damaged.
func (s *journalScan) checkEnd() error {
	c := &s.halves[s.last]
	after := s.header.first
	if len(c.records) > 0 {
		after = c.last().sequence + 1
	}
	for _, place := range []struct {
		half int
		from int64
	}{{s.last, c.end + journalBlock}, {1 - s.last, journalBlock}} {
		for at := place.from; at < s.header.half; at += journalBlock {
			r, size, err := s.readRecord(place.half, at, after+1)
			if err != nil {
				return err
			}
			if size > 0 && mutant.Is(mutant.JournalPastDamage) {
				c.records, c.end = append(c.records, r), at+wholeBlocks(size)
				continue
			}
			if size > 0 {
				s.damaged(s.last, c.end, fmt.Errorf("no valid record of sequence %d, but one of sequence %d stands behind it, at %d", after, r.sequence, s.start(place.half)+at))
				return nil
			}
		}
	}
	return nil
}

func (s *journalScan) damaged(half int, at int64, err error) {
	s.damage = &CorruptionError{Path: s.file.Name(), Offset: -1, Position: Position(s.start(half) + at), Err: err}
}

// journaled is what the journal holds of one partition, for its recovery.
type journaled struct {
	entries []journalEntry // with bytes, in the order of their positions
	promise journalPromise // the last durable end; next is 0 if there is none
}

// visit calls f for all entries that count, oldest first.
func (s *journalScan) visit(f func(half int, e journalEntry)) {
	for _, half := range []int{1 - s.last, s.last} {
		for _, r := range s.halves[half].records {
			for _, e := range r.entries {
				f(half, e)
			}
		}
	}
}

// note takes an entry into account.
func (j *journaled) note(e journalEntry) {
	if e.bytes > 0 {
		j.entries = append(j.entries, e)
	}
	if e.next > j.promise.next {
		j.promise = e.journalPromise
		j.promise.position += Position(e.bytes)
	}
}

// resume returns the journal to be written on where the scan ended.
func (s *journalScan) resume(e *Engine) *journal {
	j := newJournal(e, s.file, s.header.half)
	j.sequence, j.previous = s.header.first, s.header.previous
	chain := &s.halves[s.last]
	j.current, j.position = s.last, chain.end
	if len(chain.records) > 0 {
		j.sequence, j.previous = chain.last().sequence+1, chain.last().checksum
	}
	for i := range j.halves {
		j.halves[i].flushed = nil
		if i != j.current {
			j.halves[i].flushed = make(chan struct{})
		}
		if records := s.halves[i].records; len(records) > 0 {
			j.halves[i].first = records[0].sequence
		}
	}
	return j
}

// replay writes to the segments what the journal holds and they do not: what a
// power cut took from the page cache. Bytes that are there are compared, not
// written, and a valid batch is never overwritten. It changes sizes of segments
// and may add one whose file is missing.
func (p *Partition) replay(segments []*Segment) ([]*Segment, error) {
	var buffer []byte
	for _, e := range p.journaled.entries {
		if len(segments) > 0 && e.segment < segments[0].base {
			continue // dropped by retention
		}
		s, err := p.segmentForReplay(&segments, e)
		if err != nil || s == nil {
			return segments, err
		}
		buffer = append(buffer[:0], make([]byte, 2*e.bytes)...)
		bytes, there := buffer[:e.bytes], buffer[e.bytes:]
		if _, err := p.engine.journalFile.ReadAt(bytes, e.at); err != nil {
			return segments, err
		}
		if err := p.replayEntry(s, e, bytes, there); err != nil {
			return segments, err
		}
	}
	return segments, nil
}

// segmentForReplay finds the segment of an entry. One that is missing behind the
// last can only be what the entry begins; else nil, and recovery says what is
// missing.
func (p *Partition) segmentForReplay(segments *[]*Segment, e journalEntry) (*Segment, error) {
	for _, s := range *segments {
		if s.base == e.segment {
			return s, nil
		}
	}
	if n := len(*segments); e.position != 0 || n > 0 && (*segments)[n-1].base > e.segment {
		return nil, nil
	}
	s := newSegment(p.log, e.segment)
	if err := p.engine.withBallast(func() error { return s.create(p.engine.nowMs()) }); err != nil {
		s.drop()
		return nil, err
	}
	s.indexed.Store(false)
	if n := len(*segments); n > 0 {
		(*segments)[n-1].next = s.base
		(*segments)[n-1].sealed.Store(true)
	}
	*segments = append(*segments, s)
	return s, nil
}

// replayEntry writes the bytes of one entry unless they are there.
func (p *Partition) replayEntry(s *Segment, e journalEntry, bytes, there []byte) error {
	s.file.useMore()
	defer s.Release()
	file, err := s.openToWrite(0)
	if err != nil {
		return err
	}
	for at := e.position; len(bytes) > 0; {
		b, rest, err := record.Next(bytes)
		if err != nil {
			return &CorruptionError{Path: journalFile, Offset: -1, Position: Position(e.at), Err: err}
		}
		if !hasBatch(file, b, there[:len(b)], at) {
			s.mustStayOpen()
			err := p.engine.withBallast(func() error {
				_, err := file.WriteAt(int64(at), b)
				return err
			})
			if err != nil {
				return writeFault(err)
			}
			p.replayed++
		}
		at += Position(len(b))
		s.size = max(s.size, at)
		bytes = rest
	}
	return nil
}

// hasBatch tells whether the file has b at a position, or another batch there that
// is valid: then the file is right, whatever the journal says.
func hasBatch(file vfs.File, b record.Batch, there []byte, at Position) bool {
	if _, err := file.ReadAt(there, int64(at)); err != nil {
		return false
	}
	if string(there) == string(b) {
		return true
	}
	other, _, err := record.Next(there)
	return err == nil && other.Verify() == nil && other.BaseOffset() == b.BaseOffset() && len(other) == len(b)
}
