package engine

import (
	"fmt"

	"github.com/rollway/rollway/engine/record"
)

// FoundOffset answers ListOffsets. Offset is -1 if no record fits; Timestamp is
// that of the record, in ms, or -1.
type FoundOffset struct {
	Offset      Offset
	Timestamp   int64
	LeaderEpoch int32
}

var noOffset = FoundOffset{Offset: -1, Timestamp: noTimestamp, LeaderEpoch: -1}

// Earliest returns the first offset of the log.
func (p *Partition) Earliest() (FoundOffset, error) {
	return p.endOffset(func(o Offsets) Offset { return o.LogStart })
}

// Latest returns the high watermark: the offset that the next visible record
// will have.
func (p *Partition) Latest() (FoundOffset, error) {
	return p.endOffset(func(o Offsets) Offset { return o.HighWatermark })
}

func (p *Partition) endOffset(which func(Offsets) Offset) (FoundOffset, error) {
	if err := p.readable(); err != nil {
		return noOffset, err
	}
	return FoundOffset{Offset: which(p.Offsets()), Timestamp: noTimestamp, LeaderEpoch: p.LeaderEpoch()}, nil
}

// OffsetByTime returns the first visible record whose timestamp, in ms, is at
// least that, exact to the record: it opens the batch that holds it. It reads
// headers for one index interval. Errors as Fetch.
func (p *Partition) OffsetByTime(timestamp int64) (FoundOffset, error) {
	if err := p.readable(); err != nil {
		return noOffset, err
	}
	marks := p.marks.Load()
	for _, s := range p.log.list() {
		limit := visiblePart(s, marks)
		if limit.position == 0 {
			break
		}
		found, err := p.pinned(s, func() (FoundOffset, error) { return s.firstSince(timestamp, marks.logStart.offset, limit) })
		if err != nil || found.Offset >= 0 {
			return found, p.reported(err)
		}
	}
	return noOffset, p.readable()
}

// OffsetOfMaxTimestamp returns the visible record with the highest timestamp,
// the first if there are several (KIP-734).
func (p *Partition) OffsetOfMaxTimestamp() (FoundOffset, error) {
	if err := p.readable(); err != nil {
		return noOffset, err
	}
	marks := p.marks.Load()
	newest := int64(noTimestamp)
	for _, s := range p.log.list() {
		limit := visiblePart(s, marks)
		if limit.position == 0 {
			break
		}
		_, err := p.pinned(s, func() (FoundOffset, error) {
			t, err := s.newestOf(marks, limit)
			newest = max(newest, t)
			return noOffset, err
		})
		if err != nil {
			return noOffset, p.reported(err)
		}
	}
	if newest == noTimestamp {
		return noOffset, p.readable()
	}
	return p.OffsetByTime(newest)
}

// TimestampNear returns the timestamp, in ms, of the visible record at off as near
// as can be told without opening its batch: with LogAppendTime exactly, else that
// of the batch's first record, which is older by what the producer took to fill
// the batch, or newer if its clock went back meanwhile. It is -1 at the high
// watermark and above, and where the record has none. It reads batch headers for
// at most one index interval and no records. Errors as Fetch.
func (p *Partition) TimestampNear(off Offset) (int64, error) {
	for {
		c, marks, err := p.begin(off)
		if err != nil {
			return noTimestamp, err
		}
		if c.offset >= marks.highWatermark.offset {
			return noTimestamp, nil
		}
		s, limit := p.segmentAt(&c, marks)
		if s == nil || !s.pin() {
			continue
		}
		timestamp, err := s.timestampNear(c.offset, limit)
		s.Release()
		if err != nil && p.gone(s) {
			continue
		}
		return timestamp, p.reported(err)
	}
}

// timestampNear is TimestampNear for an offset of the segment, which is pinned.
func (s *Segment) timestampNear(off Offset, limit mark) (int64, error) {
	at, _, err := s.locateIndexed(off, limit)
	if err != nil {
		return noTimestamp, err
	}
	scan, err := s.scan(at, limit.position, record.HeaderSize)
	if err != nil {
		return noTimestamp, err
	}
	defer scan.close()
	switch {
	case !scan.next():
		return noTimestamp, scan.err
	case scan.header.Attributes().LogAppendTime():
		return scan.header.MaxTimestamp(), nil
	}
	return max(noTimestamp, scan.header.BaseTimestamp()), nil
}

// visiblePart is where the part of the segment ends that lies below the high
// watermark; at position 0 if there is nothing to be seen.
func visiblePart(s *Segment, marks *offsetMarks) mark {
	hw := marks.highWatermark
	switch {
	case hw.segment == nil || s.base >= hw.offset || marks.logStart.offset == hw.offset:
		return mark{segment: s}
	case s == hw.segment:
		return hw
	}
	return mark{offset: s.next, segment: s, position: s.size}
}

// pinned runs f while the segment cannot go away; a segment that is gone holds
// nothing.
func (p *Partition) pinned(s *Segment, f func() (FoundOffset, error)) (FoundOffset, error) {
	if !s.pin() {
		return noOffset, nil
	}
	defer s.Release()
	found, err := noOffset, s.ensureIndexes()
	if err == nil {
		found, err = f()
	}
	if err != nil && p.gone(s) {
		return noOffset, nil
	}
	return found, err
}

// firstSince returns the first record from logStart on and below limit that is
// at least that new.
func (s *Segment) firstSince(timestamp int64, logStart Offset, limit mark) (FoundOffset, error) {
	if s.newest.Load() < timestamp {
		return noOffset, nil
	}
	start, err := s.startOfSearch(timestamp, limit.position)
	if err == nil && logStart > s.base {
		var first Position
		first, _, err = s.locateIndexed(logStart, limit)
		start = max(start, first)
	}
	if err != nil {
		return noOffset, err
	}
	scan, err := s.scan(start, limit.position, record.HeaderSize)
	if err != nil {
		return noOffset, err
	}
	defer scan.close()
	for scan.next() {
		if scan.header.MaxTimestamp() < timestamp {
			continue
		}
		found, err := s.firstRecord(scan, func(r *record.Record) bool { return r.Offset >= logStart && r.Timestamp >= timestamp })
		if err != nil || found.Offset >= 0 {
			return found, err
		}
	}
	return noOffset, scan.err
}

// startOfSearch returns a batch boundary with no record before it that is at
// least that new.
func (s *Segment) startOfSearch(timestamp int64, limit Position) (Position, error) {
	if timestamp <= 0 {
		return 0, nil // no entry is older, and the least int64 has no predecessor
	}
	older, ok, err := s.times.lookup(timestamp - 1)
	if err != nil || !ok {
		return 0, err
	}
	off := s.base + Offset(older.last)
	entry, ok, err := s.index.lookup(off)
	if err != nil || !ok || Position(entry.position) >= limit {
		return 0, err
	}
	if _, err := s.firstOffset(entry, limit); err != nil {
		return 0, nil // a damaged entry costs a longer search
	}
	return Position(entry.position), nil
}

// firstRecord opens the batch under scan and returns its first record that fits.
func (s *Segment) firstRecord(scan *headerScan, fits func(*record.Record) bool) (FoundOffset, error) {
	bytes := make([]byte, scan.header.Size())
	if _, err := scan.file.ReadAt(bytes, int64(scan.position)); err != nil {
		return noOffset, err
	}
	b := record.Batch(bytes)
	if err := b.Verify(); err != nil {
		return noOffset, s.damage(b.BaseOffset(), scan.position, err)
	}
	records, err := b.Decompress(nil, maxInflated)
	if err != nil {
		return noOffset, s.damage(b.BaseOffset(), scan.position, err)
	}
	it := b.Iterate(records)
	for it.Next() {
		if r := it.Record(); fits(r) {
			return FoundOffset{Offset: r.Offset, Timestamp: r.Timestamp, LeaderEpoch: b.LeaderEpoch()}, nil
		}
	}
	if err := it.Err(); err != nil {
		return noOffset, s.damage(b.BaseOffset(), scan.position, err)
	}
	// The header's maxTimestamp comes from the producer and may be too high.
	return noOffset, nil
}

// maxInflated bounds the memory for the records of one stored batch. Batches
// are at most 2 GiB, but none that a broker accepted with default settings
// (1 MiB) inflates to more in sane use.
const maxInflated = 256 << 20

// newestOf returns the highest timestamp of the segment's visible records.
func (s *Segment) newestOf(marks *offsetMarks, limit mark) (int64, error) {
	if marks.logStart.offset > s.base {
		return s.newestSince(marks.logStart.offset, limit)
	}
	return s.newestBelow(limit.position, s == marks.highWatermark.segment)
}

// newestSince returns the highest timestamp of the records from logStart on,
// which lies inside the segment, and below limit. It reads the headers from there
// on, and opens the batch that holds logStart.
func (s *Segment) newestSince(logStart Offset, limit mark) (int64, error) {
	start, _, err := s.locateIndexed(logStart, limit)
	if err != nil {
		return 0, err
	}
	scan, err := s.scan(start, limit.position, scanWindow)
	if err != nil {
		return 0, err
	}
	defer scan.close()
	newest := int64(noTimestamp)
	for scan.next() {
		if scan.header.BaseOffset() >= logStart {
			newest = max(newest, scan.header.MaxTimestamp())
			continue
		}
		_, err := s.firstRecord(scan, func(r *record.Record) bool {
			if r.Offset >= logStart {
				newest = max(newest, r.Timestamp)
			}
			return false
		})
		if err != nil {
			return 0, err
		}
	}
	return newest, scan.err
}

// newestBelow returns the highest timestamp of the batches below limit. For a
// sealed segment, and an active one that is visible as a whole, that is known.
func (s *Segment) newestBelow(limit Position, active bool) (int64, error) {
	if !active {
		return s.newest.Load(), nil
	}
	newest, start := int64(noTimestamp), Position(0)
	entry, ok, err := s.index.boundary(limit - 1)
	if err != nil {
		return 0, err
	}
	if first, err := s.firstOffset(entry, limit); ok && err == nil {
		// What lies before this batch is covered by the time index.
		t, ok, err := s.times.floor(func(e timeEntry) bool { return s.base+Offset(e.last) < first })
		if err != nil {
			return 0, err
		}
		start = Position(entry.position)
		if ok {
			newest = t.timestamp
		}
	}
	scan, err := s.scan(start, limit, record.HeaderSize)
	if err != nil {
		return 0, err
	}
	defer scan.close()
	for scan.next() {
		newest = max(newest, scan.header.MaxTimestamp())
	}
	if scan.err != nil {
		return 0, fmt.Errorf("newest record of %s: %w", s.name, scan.err)
	}
	return newest, nil
}
