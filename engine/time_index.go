package engine

import (
	"encoding/binary"
	"fmt"
	"math"
)

// TimeIndex maps timestamps to offsets: every record behind an entry's offset
// that is newer than the entry's timestamp is found by scanning from there. The
// file is Kafka's <base>.timeindex, big-endian, in rising order, without a
// checksum:
//
//	at  len  field
//	 0    8  timestamp        the highest of the segment so far, ms since 1970
//	 8    4  relativeOffset   last offset of the batch that holds it - base offset of the segment
//
// An entry is added together with one of the offset index, if the timestamp
// rose since the last, and when the segment is sealed or closed.
type TimeIndex struct {
	base Offset
	sparseIndex[timeEntry]
}

const timeEntryWidth = 12

// timeEntry is one entry of a TimeIndex.
type timeEntry struct {
	timestamp int64
	last      uint32
}

func newTimeIndex(files *descriptors, cache *indexCache, name string, base Offset) *TimeIndex {
	x := &TimeIndex{base: base, sparseIndex: sparseIndex[timeEntry]{name: name, cache: cache}}
	x.file.init(files, nil)
	return x
}

func (timeEntry) width() int { return timeEntryWidth }

func (timeEntry) namesBatch() bool { return false }

func (e timeEntry) marshal(dst []byte) {
	binary.BigEndian.PutUint64(dst, uint64(e.timestamp))
	binary.BigEndian.PutUint32(dst[8:], e.last)
}

func (timeEntry) unmarshal(src []byte) timeEntry {
	return timeEntry{
		timestamp: int64(binary.BigEndian.Uint64(src)),
		last:      binary.BigEndian.Uint32(src[8:]),
	}
}

func (e timeEntry) follows(prev timeEntry) string {
	switch {
	case e == timeEntry{}:
		return "zero padding"
	case e.timestamp <= prev.timestamp:
		return fmt.Sprintf("timestamp does not rise (%d before it)", prev.timestamp)
	case e.last <= prev.last:
		return fmt.Sprintf("offset does not rise (%d before it)", prev.last)
	}
	return ""
}

// load reads and checks the file of a segment that ends before next; see
// sparseIndex.load.
func (x *TimeIndex) load(next Offset) error {
	return x.sparseIndex.load(func(e timeEntry) string {
		switch {
		case e.timestamp < 0:
			return "negative timestamp"
		case e.last > math.MaxInt32:
			return "negative offset"
		case x.base+Offset(e.last) >= next:
			return fmt.Sprintf("offset %d, but the segment ends at %d", x.base+Offset(e.last), next)
		}
		return ""
	})
}

// append adds an entry unless the last one already says as much.
func (x *TimeIndex) append(timestamp int64, last Offset) {
	if prev, ok := x.last(); (ok && timestamp <= prev.timestamp) || timestamp < 0 {
		return
	}
	x.add(timeEntry{timestamp: timestamp, last: uint32(last - x.base)})
}

// lookup returns the last entry that is not newer than timestamp: no record at
// or before its offset is newer than it.
func (x *TimeIndex) lookup(timestamp int64) (timeEntry, bool, error) {
	return x.floor(func(e timeEntry) bool { return e.timestamp <= timestamp })
}
