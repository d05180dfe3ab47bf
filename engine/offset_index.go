package engine

import (
	"encoding/binary"
	"fmt"
	"math"
	"sync/atomic"
)

// OffsetIndex maps offsets to positions for some of a segment's batches: one at
// least every index.interval.bytes. The file is Kafka's <base>.index,
// big-endian, in rising order, without a checksum:
//
//	at  len  field
//	 0    4  relativeOffset   last offset of the batch - base offset of the segment
//	 4    4  position         of that batch in the .log file, bytes
//
// An entry is added before the batch that crosses the interval is, so it names
// the start of that batch and the batch's own last offset (Kafka's LogSegment).
type OffsetIndex struct {
	base Offset
	sparseIndex[offsetEntry]
}

const offsetEntryWidth = 8

// offsetEntry is one entry of an OffsetIndex. first is known only for batches
// that this process appended, and only while the entry is in memory.
type offsetEntry struct {
	last     uint32 // relative last offset of the batch
	position uint32
	first    uint32 // relative base offset of the batch, or unknownFirst
}

const unknownFirst = math.MaxUint32

func newOffsetIndex(files *descriptors, cache *indexCache, name string, base Offset) *OffsetIndex {
	x := &OffsetIndex{base: base, sparseIndex: sparseIndex[offsetEntry]{name: name, cache: cache}}
	x.file.init(files, nil)
	return x
}

// foundEntry is the answer of a lookup.
type foundEntry struct {
	offsetEntry
	known *atomic.Uint32 // see indexBlock.firsts; nil if nothing is remembered of the entry
}

// confirm remembers the base offset of the entry's batch, once that batch's header
// was read and agrees with the entry.
func (e foundEntry) confirm(relativeFirst Offset) {
	if e.known != nil && 0 <= relativeFirst && relativeFirst <= Offset(e.last) {
		e.known.Store(uint32(relativeFirst) + 1)
	}
}

func (offsetEntry) width() int { return offsetEntryWidth }

func (offsetEntry) namesBatch() bool { return true }

func (e offsetEntry) marshal(dst []byte) {
	binary.BigEndian.PutUint32(dst, e.last)
	binary.BigEndian.PutUint32(dst[4:], e.position)
}

func (offsetEntry) unmarshal(src []byte) offsetEntry {
	return offsetEntry{
		last:     binary.BigEndian.Uint32(src),
		position: binary.BigEndian.Uint32(src[4:]),
		first:    unknownFirst,
	}
}

func (e offsetEntry) follows(prev offsetEntry) string {
	switch {
	case e == offsetEntry{first: unknownFirst}:
		return "zero padding"
	case e.last <= prev.last:
		return fmt.Sprintf("offset does not rise (%d before it)", prev.last)
	case e.position <= prev.position:
		return fmt.Sprintf("position does not rise (%d before it)", prev.position)
	}
	return ""
}

// load reads and checks the file of a segment that has logSize bytes and ends
// before next; see sparseIndex.load.
func (x *OffsetIndex) load(next Offset, logSize Position) error {
	return x.sparseIndex.load(func(e offsetEntry) string {
		switch {
		case e.last > math.MaxInt32:
			return "negative offset"
		case e.position == 0:
			return "position 0, want one behind the first batch"
		case x.base+Offset(e.last) >= next:
			return fmt.Sprintf("offset %d, but the segment ends at %d", x.base+Offset(e.last), next)
		case Position(e.position) >= logSize:
			return fmt.Sprintf("position %d, but the log has %d bytes", e.position, logSize)
		}
		return ""
	})
}

// append adds the batch with these offsets at position.
func (x *OffsetIndex) append(first, last Offset, position Position) {
	x.add(offsetEntry{last: uint32(last - x.base), position: uint32(position), first: uint32(first - x.base)})
}

// lookup returns the last entry whose batch ends at or before off: the batch
// that holds off is this one or stands behind it.
func (x *OffsetIndex) lookup(off Offset) (foundEntry, bool, error) {
	return x.find(func(e offsetEntry) bool { return x.base+Offset(e.last) <= off })
}

// boundary returns the last batch in the index that starts at or before
// position.
func (x *OffsetIndex) boundary(position Position) (foundEntry, bool, error) {
	return x.find(func(e offsetEntry) bool { return Position(e.position) <= position })
}

func (x *OffsetIndex) find(match func(offsetEntry) bool) (foundEntry, bool, error) {
	e, known, ok, err := x.floorIn(match)
	if known != nil {
		e.first = known.Load() - 1 // unknownFirst, as long as it is 0
	}
	return foundEntry{e, known}, ok, err
}
