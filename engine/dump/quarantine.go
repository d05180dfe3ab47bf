package dump

import (
	"encoding/binary"
	"fmt"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/record"
)

// A quarantine, the damage that is known of a partition, docs/format/quarantine.md.
// All integers are big-endian, the checksum is XXH64 with seed 0.
const (
	quarantineMagic     = "rollquar"
	quarantineVersion   = 1
	quarantineHeadSize  = 16 // magic 8, version 4, number of ranges 4
	quarantineRangeSize = 48
)

// quarantine emits the ranges.
func (d *dumper) quarantine(p []byte) error {
	if len(p) < quarantineHeadSize+8 {
		return d.problem(0, "%d bytes, want at least %d", len(p), quarantineHeadSize+8)
	}
	if magic := string(p[:8]); magic != quarantineMagic {
		return d.problem(0, "magic %q, want %q", magic, quarantineMagic)
	}
	if version := binary.BigEndian.Uint32(p[8:]); version != quarantineVersion {
		return d.problem(8, "version %d, want %d", version, quarantineVersion)
	}
	count := int64(binary.BigEndian.Uint32(p[12:]))
	if want := quarantineHeadSize + count*quarantineRangeSize + 8; int64(len(p)) != want {
		return d.problem(12, "%d ranges in %d bytes, want %d bytes", count, len(p), want)
	}
	body := p[:len(p)-8]
	if found, want := binary.BigEndian.Uint64(p[len(body):]), xxhash.Sum64(body); found != want {
		if err := d.problem(int64(len(body)), "checksum %016x, want %016x", found, want); err != nil {
			return err
		}
	}
	last := record.Offset(-1)
	for at := quarantineHeadSize; at < len(body); at += quarantineRangeSize {
		field := func(i int) int64 { return int64(binary.BigEndian.Uint64(body[at+8*i:])) }
		r := DamagedRange{
			Segment: record.Offset(field(0)), From: record.Offset(field(1)), To: record.Offset(field(2)),
			Start: field(3), End: field(4), Skipped: field(5) == 1,
		}
		if err := d.emit(r); err != nil {
			return err
		}
		if text := r.wrong(last, field(5)); text != "" {
			if err := d.problem(int64(at), "%s", text); err != nil {
				return err
			}
		}
		last = r.To
	}
	return nil
}

// wrong tells what cannot be of a range behind one that ends at last.
func (r *DamagedRange) wrong(last record.Offset, skipped int64) string {
	switch {
	case r.Segment < 0 || r.From < r.Segment || r.To < r.From || r.Start < 0 || r.End < r.Start:
		return fmt.Sprintf("offsets %d to %d at %d to %d of segment %d, want them to rise", r.From, r.To, r.Start, r.End, r.Segment)
	case r.From < last:
		return fmt.Sprintf("offset %d, want it behind the range before, which ends at %d", r.From, last)
	case skipped != 0 && skipped != 1:
		return fmt.Sprintf("skipped is %d, want 0 or 1", skipped)
	}
	return ""
}
