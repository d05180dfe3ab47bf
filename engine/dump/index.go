package dump

import (
	"encoding/binary"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// The widths of entries, in bytes.
const (
	offsetEntryWidth = 8  // relative offset 4, position 4
	timeEntryWidth   = 12 // timestamp 8, relative offset 4
)

// offsetIndex emits the entries of an offset index: relative last offset and
// position, both int32 and rising.
func (d *dumper) offsetIndex(f vfs.File, size int64, base record.Offset) error {
	base = max(base, 0) // of a file with another name the offsets are relative
	last := OffsetEntry{Offset: -1, Position: -1}
	return d.index(f, size, offsetEntryWidth, func(at int64, p []byte) error {
		relative, position := int32(binary.BigEndian.Uint32(p)), int32(binary.BigEndian.Uint32(p[4:]))
		e := OffsetEntry{Offset: base + record.Offset(relative), Position: int64(position)}
		if err := d.emit(e); err != nil {
			return err
		}
		previous := last
		last = e
		switch {
		case relative < 0 || position < 0:
			return d.problem(at, "relative offset %d, position %d, want neither negative", relative, position)
		case e.Offset <= previous.Offset:
			return d.problem(at, "offset %d does not rise: %d before it", e.Offset, previous.Offset)
		case e.Position <= previous.Position:
			return d.problem(at, "position %d does not rise: %d before it", e.Position, previous.Position)
		}
		return nil
	})
}

// timeIndex emits the entries of a time index: timestamp and relative offset,
// both rising.
func (d *dumper) timeIndex(f vfs.File, size int64, base record.Offset) error {
	base = max(base, 0)
	last := TimeEntry{Timestamp: -1, Offset: -1}
	return d.index(f, size, timeEntryWidth, func(at int64, p []byte) error {
		relative := int32(binary.BigEndian.Uint32(p[8:]))
		e := TimeEntry{Timestamp: int64(binary.BigEndian.Uint64(p)), Offset: base + record.Offset(relative)}
		if err := d.emit(e); err != nil {
			return err
		}
		previous := last
		last = e
		switch {
		case relative < 0:
			return d.problem(at, "relative offset %d, want none that is negative", relative)
		case e.Timestamp <= previous.Timestamp:
			return d.problem(at, "timestamp %d does not rise: %d before it", e.Timestamp, previous.Timestamp)
		case e.Offset <= previous.Offset:
			return d.problem(at, "offset %d does not rise: %d before it", e.Offset, previous.Offset)
		}
		return nil
	})
}

// index calls entry with each entry of an index file. Zeros up to the end are
// one problem: a Kafka that did not stop cleanly leaves what it had allocated,
// ten million of them.
func (d *dumper) index(f vfs.File, size int64, width int, entry func(at int64, p []byte) error) error {
	if rest := size % int64(width); rest != 0 {
		if err := d.problem(size-rest, "%d bytes remain, want an entry of %d", rest, width); err != nil {
			return err
		}
		size -= rest
	}
	zeros, err := trailingZeros(f, size)
	if err != nil {
		return d.problem(-1, "%v", err)
	}
	// A first entry of zeros only is one that Kafka writes for a time index;
	// the last bytes of a good entry may be zero too.
	end := (size - zeros + int64(width) - 1) / int64(width) * int64(width)
	block := make([]byte, windowBytes/width*width)
	for at := int64(0); at < end; {
		block = block[:min(int64(len(block)), end-at)]
		if _, err := f.ReadAt(block, at); err != nil {
			return d.problem(at, "%v", err)
		}
		for p := block; len(p) >= width; p = p[width:] {
			if err := entry(at, p); err != nil {
				return err
			}
			at += int64(width)
		}
	}
	if padding := (size - end) / int64(width); padding > 0 {
		return d.problem(end, "%d entries of zeros up to the end, want none", padding)
	}
	return nil
}

// trailingZeros counts the zero bytes at the end of f.
func trailingZeros(f vfs.File, size int64) (int64, error) {
	block := make([]byte, windowBytes)
	for end := size; end > 0; {
		block = block[:min(windowBytes, end)]
		if _, err := f.ReadAt(block, end-int64(len(block))); err != nil {
			return 0, err
		}
		for i := len(block) - 1; i >= 0; i-- {
			if block[i] != 0 {
				return size - end + int64(len(block)-1-i), nil
			}
		}
		end -= int64(len(block))
	}
	return size, nil
}
