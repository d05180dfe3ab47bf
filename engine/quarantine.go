package engine

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/vfs"
)

// Quarantine, big-endian, in the directory of a partition that has damage. It is
// replaced as a whole. The checksum is XXH64 with seed 0 of all bytes before it.
//
//	at  len  field
//	 0    8  magic      "rollquar"
//	 8    4  version    1
//	12    4  ranges     how many follow, in the order of their offsets
//	16    .  ranges
//	 .    8  checksum
//
//	range
//	at  len  field
//	 0    8  segment    base offset of the segment
//	 8    8  from       first offset that is lost
//	16    8  to         the offset behind the last; from itself where bytes that hold no offset follow the last batch
//	24    8  start      position in the segment where the damage begins
//	32    8  end        position where valid batches go on
//	40    8  skipped    1 if readers are let past it, else 0
const (
	quarantineFile    = "rollway-quarantine"
	quarantineMagic   = "rollquar"
	quarantineVersion = 1

	quarantineHeadSize  = 16
	quarantineRangeSize = 48
	// maxQuarantineRanges bounds the file and the search for a range. A log
	// with more damage has one range over the rest of a segment.
	maxQuarantineRanges = 10_000
)

// DamagedRange is a piece of a log that is damaged or missing. Its bytes stay in
// the file; readers get a *CorruptionError for its offsets until an operator
// lets them past it.
type DamagedRange struct {
	Segment Offset   // base offset of the segment
	From    Offset   // first offset that is lost
	To      Offset   // the offset behind the last; From where no record is lost
	Start   Position // where the damage begins
	End     Position // where valid batches go on; Start if bytes are missing
	Skipped bool     // readers go on at To
}

// quarantine is the damage that is known of one log. The zero value is none.
// Reading it takes no lock.
type quarantine struct {
	mu     sync.Mutex                     // one change at a time; held while the file is written
	ranges atomic.Pointer[[]DamagedRange] // by offset; immutable; nil when there are none
}

// all returns the ranges. Do not change it.
func (q *quarantine) all() []DamagedRange {
	if ranges := q.ranges.Load(); ranges != nil {
		return *ranges
	}
	return nil
}

// at returns the range that holds off.
func (q *quarantine) at(off Offset) (DamagedRange, bool) {
	ranges := q.all()
	n := prefix(ranges, func(r DamagedRange) bool { return r.From <= off })
	if n == 0 || ranges[n-1].To <= off {
		return DamagedRange{}, false
	}
	return ranges[n-1], true
}

// in returns the ranges of one segment.
func (q *quarantine) in(s *Segment) []DamagedRange {
	ranges := q.all()
	if len(ranges) == 0 {
		return nil
	}
	first := prefix(ranges, func(r DamagedRange) bool { return r.Segment < s.base })
	end := prefix(ranges, func(r DamagedRange) bool { return r.Segment <= s.base })
	return ranges[first:end]
}

// bound returns limit, or the start of the first damage of its segment that lies
// between a position and limit.
func (q *quarantine) bound(s *Segment, from Position, limit mark) mark {
	for _, r := range q.in(s) {
		if r.Start >= from && r.Start <= limit.position {
			return mark{offset: r.From, segment: s, position: r.Start}
		}
	}
	return limit
}

// setDamage replaces the ranges by those that change makes of a copy of them, and
// the file, durably.
func (l *Log) setDamage(change func([]DamagedRange) []DamagedRange) error {
	q := &l.damage
	q.mu.Lock()
	defer q.mu.Unlock()
	ranges := change(slices.Clone(q.all()))
	slices.SortFunc(ranges, func(a, b DamagedRange) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	ranges = mergeDamage(ranges)
	if slices.Equal(ranges, q.all()) {
		return nil
	}
	// In force first: what cannot be noted for the next start is damaged all the same.
	q.ranges.Store(&ranges)
	if len(ranges) == 0 {
		return removeIfThere(l.fs, path.Join(l.dir, quarantineFile))
	}
	return writeFileAtomic(l.fs, l.dir, quarantineFile, encodeQuarantine(ranges))
}

// mergeDamage joins ranges that overlap.
func mergeDamage(ranges []DamagedRange) []DamagedRange {
	merged := ranges[:0]
	for _, r := range ranges {
		if n := len(merged); n > 0 && r.From < merged[n-1].To && r.Segment == merged[n-1].Segment {
			last := &merged[n-1]
			last.Skipped = last.Skipped && r.Skipped
			last.To, last.End = max(last.To, r.To), max(last.End, r.End)
			continue
		}
		merged = append(merged, r)
	}
	if over := len(merged) - maxQuarantineRanges; over > 0 {
		last := merged[len(merged)-1]
		merged = merged[:maxQuarantineRanges]
		merged[maxQuarantineRanges-1].To, merged[maxQuarantineRanges-1].End = last.To, last.End
	}
	return merged
}

// addDamage puts a segment's ranges into quarantine. A range that is known stays
// as it is, also if readers were let past it.
func (l *Log) addDamage(found []DamagedRange) error {
	if len(found) == 0 {
		return nil
	}
	err := l.setDamage(func(ranges []DamagedRange) []DamagedRange {
		for _, r := range found {
			known := slices.ContainsFunc(ranges, func(k DamagedRange) bool {
				return k.Segment == r.Segment && k.From <= r.From && r.To <= k.To
			})
			if !known {
				l.logger.Error("damage: its bytes are kept, the rest is served",
					"partition", l.dir, "segment", int64(r.Segment), "from", int64(r.From), "to", int64(r.To),
					"start", int64(r.Start), "end", int64(r.End))
				ranges = append(ranges, r)
			}
		}
		return ranges
	})
	if err != nil && !isFinal(err) {
		l.warn("damage could not be noted; the next start may have to find it again", "error", err)
		return nil
	}
	return err
}

// loadDamage reads the file. What it says is found again if it is lost, except
// which ranges readers were let past.
func (l *Log) loadDamage(segments []*Segment) error {
	name := path.Join(l.dir, quarantineFile)
	const most = quarantineHeadSize + maxQuarantineRanges*quarantineRangeSize + 8
	content, err := readFileBounded(l.fs, name, most)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var ranges []DamagedRange
	if err == nil {
		ranges, err = parseQuarantine(filepath.Join(l.fs.Path(), name), content)
	}
	if errors.Is(err, ErrUnknownVersion) {
		return err
	}
	if err != nil {
		l.warn("known damage is forgotten until somebody meets it", "error", err)
		return nil
	}
	kept := slices.DeleteFunc(ranges, func(r DamagedRange) bool {
		return !slices.ContainsFunc(segments, func(s *Segment) bool { return s.base == r.Segment && r.Start <= s.size })
	})
	l.damage.ranges.Store(&kept)
	return nil
}

// forgetDamageBefore drops what lies in segments that are gone.
func (l *Log) forgetDamageBefore(base Offset) error {
	if len(l.damage.all()) == 0 {
		return nil
	}
	return l.setDamage(func(ranges []DamagedRange) []DamagedRange {
		return slices.DeleteFunc(ranges, func(r DamagedRange) bool { return r.Segment < base })
	})
}

func encodeQuarantine(ranges []DamagedRange) []byte {
	b := append(make([]byte, 0, quarantineHeadSize+len(ranges)*quarantineRangeSize+8), quarantineMagic...)
	b = binary.BigEndian.AppendUint32(b, quarantineVersion)
	b = binary.BigEndian.AppendUint32(b, uint32(len(ranges)))
	for _, r := range ranges {
		skipped := uint64(0)
		if r.Skipped {
			skipped = 1
		}
		for _, field := range []uint64{uint64(r.Segment), uint64(r.From), uint64(r.To), uint64(r.Start), uint64(r.End), skipped} {
			b = binary.BigEndian.AppendUint64(b, field)
		}
	}
	return binary.BigEndian.AppendUint64(b, xxhash.Sum64(b))
}

// parseQuarantine reads what encodeQuarantine wrote. file is for messages.
// Errors: *CorruptionError, also with ErrUnknownVersion.
func parseQuarantine(file string, b []byte) ([]DamagedRange, error) {
	damaged := func(at int, format string, args ...any) error {
		return &CorruptionError{Path: file, Offset: -1, Position: Position(at), Err: fmt.Errorf(format, args...)}
	}
	if len(b) < quarantineHeadSize+8 {
		return nil, damaged(0, "%d bytes, want at least %d", len(b), quarantineHeadSize+8)
	}
	if magic := string(b[:8]); magic != quarantineMagic {
		return nil, damaged(0, "magic %q, want %q", magic, quarantineMagic)
	}
	if version := binary.BigEndian.Uint32(b[8:]); version != quarantineVersion {
		return nil, damaged(8, "version %d, want %d; a newer program wrote it: %w", version, quarantineVersion, ErrUnknownVersion)
	}
	count := int64(binary.BigEndian.Uint32(b[12:]))
	if want := quarantineHeadSize + count*quarantineRangeSize + 8; int64(len(b)) != want {
		return nil, damaged(12, "%d ranges in %d bytes, want %d bytes", count, len(b), want)
	}
	body, sum := b[:len(b)-8], b[len(b)-8:]
	if found, want := binary.BigEndian.Uint64(sum), xxhash.Sum64(body); found != want {
		return nil, damaged(len(body), "checksum %016x, want %016x", found, want)
	}
	ranges := make([]DamagedRange, 0, count)
	for at := quarantineHeadSize; at < len(body); at += quarantineRangeSize {
		field := func(i int) int64 { return int64(binary.BigEndian.Uint64(body[at+8*i:])) }
		r := DamagedRange{
			Segment: Offset(field(0)), From: Offset(field(1)), To: Offset(field(2)),
			Start: Position(field(3)), End: Position(field(4)), Skipped: field(5) == 1,
		}
		ok := 0 <= r.Segment && r.Segment <= r.From && r.From <= r.To && 0 <= r.Start && r.Start <= r.End && field(5)>>1 == 0
		if n := len(ranges); !ok || n > 0 && r.From < ranges[n-1].To {
			return nil, damaged(at, "range %+v, want one with rising offsets and positions behind the last", r)
		}
		ranges = append(ranges, r)
	}
	return ranges, nil
}

// error is what a reader of off is told.
func (r DamagedRange) error(l *Log, off Offset) error {
	return &CorruptionError{
		Path: segmentFileName(l.dir, r.Segment, ".log"), Offset: off, Position: r.Start,
		Err: fmt.Errorf("offsets %d to %d are damaged; reading goes on at %d, and an operator can let readers past it (rollway partition skip)", r.From, r.To-1, r.To),
	}
}

// Damage returns what is known to be damaged, by offset. Damage below the
// recovery point is known from when somebody meets it. Do not change it.
func (p *Partition) Damage() []DamagedRange { return p.log.damage.all() }

// DamageAt returns the damaged range that holds off, or all that are known for
// off -1. Where none is known at off its segment is examined, which reads all of
// it: a reader may have met damage that nothing but the crc of its batch shows,
// and the reader alone looks at that. Do not change what it returns.
//
// Errors: ErrOffsetOutOfRange if off is in no damaged range; those of Fetch.
func (p *Partition) DamageAt(off Offset) ([]DamagedRange, error) {
	if err := p.readable(); err != nil {
		return nil, err
	}
	if off < 0 {
		return p.Damage(), nil
	}
	for examined := false; ; examined = true {
		if r, ok := p.log.damage.at(off); ok {
			return []DamagedRange{r}, nil
		}
		if examined {
			return nil, fmt.Errorf("%w: %s has no damage at %d", ErrOffsetOutOfRange, p, off)
		}
		if err := p.examineAt(off); err != nil {
			return nil, p.reported(err)
		}
	}
}

// examineAt examines the segment that holds off.
func (p *Partition) examineAt(off Offset) error {
	marks := p.marks.Load()
	if empty, err := p.bound(off, marks); empty || err != nil {
		return err
	}
	segment, limit := p.segmentAt(&Cursor{offset: off}, marks)
	if segment == nil || !segment.pin() {
		return nil // it was deleted meanwhile, with its damage
	}
	defer segment.Release()
	found, err := segment.findDamage(limit)
	if err != nil {
		return err
	}
	return p.log.addDamage(found)
}

// SkipDamage lets readers past damage: a fetch of an offset in it returns what
// follows. It means the ranges of DamageAt, returns those that were not skipped
// before, and is durable when it returns. The bytes stay.
//
// Errors: those of DamageAt; ErrStorageFailed.
func (p *Partition) SkipDamage(off Offset) ([]DamagedRange, error) {
	if err := p.usable(); err != nil {
		return nil, err
	}
	if _, err := p.DamageAt(off); err != nil {
		return nil, err
	}
	var skipped []DamagedRange
	err := p.log.setDamage(func(ranges []DamagedRange) []DamagedRange {
		for i := range ranges {
			r := &ranges[i]
			if !r.Skipped && (off < 0 || r.From <= off && off < r.To) {
				r.Skipped = true
				skipped = append(skipped, *r)
			}
		}
		return ranges
	})
	if err != nil {
		return nil, p.reported(err)
	}
	for _, r := range skipped {
		p.log.warn("readers are let past damage", "from", int64(r.From), "to", int64(r.To), "segment", int64(r.Segment))
	}
	return skipped, nil
}

// pastDamage returns off, or where reading goes on if it lies in damage that
// readers are let past. Errors: *CorruptionError.
func (p *Partition) pastDamage(off Offset) (Offset, error) {
	for {
		r, ok := p.log.damage.at(off)
		if !ok {
			return off, nil
		}
		if !r.Skipped {
			return off, r.error(p.log, off)
		}
		off = r.To
	}
}

func removeIfThere(fsys vfs.FS, name string) error {
	if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
