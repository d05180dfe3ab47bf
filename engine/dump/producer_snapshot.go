package dump

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/rollway/rollway/engine/record"
)

// A producer snapshot, docs/format/producer-snapshot.md. All integers are
// big-endian.
const (
	producerSnapshotVersion = 1
	producerTailMagic       = "roll"
	producerTailVersion     = 1
	producerHeadSize        = 10 // version 2, crc 4, number of producers 4
	producerEntrySize       = 46
	producerBatchSize       = 24 // lastSequence 4, lastOffset 8, offsetDelta 4, timestamp 8
	producerTailHeadSize    = 6  // magic 4, version 2
)

// producerSnapshot emits the producers of a snapshot that was taken at the
// offset base, unknownBase if its name does not tell. One whose checksum is wrong
// is read all the same, as far as its lengths allow.
func (d *dumper) producerSnapshot(p []byte, base record.Offset) error {
	if len(p) < producerHeadSize {
		return d.problem(0, "%d bytes, want a head of %d", len(p), producerHeadSize)
	}
	if version := binary.BigEndian.Uint16(p); version != producerSnapshotVersion {
		return d.problem(0, "version %d, want %d", version, producerSnapshotVersion)
	}
	if found, want := binary.BigEndian.Uint32(p[2:]), crc32.Checksum(p[6:], crc32.MakeTable(crc32.Castagnoli)); found != want {
		if err := d.problem(2, "crc %08x, want %08x", found, want); err != nil {
			return err
		}
	}
	count := int64(binary.BigEndian.Uint32(p[6:]))
	if most := int64(len(p)-producerHeadSize) / producerEntrySize; count > most {
		return d.problem(6, "%d producers, want at most %d in %d bytes", count, most, len(p))
	}
	tailAt := producerHeadSize + int(count)*producerEntrySize
	tail, wrong := producerTail(p[tailAt:], int(count))
	if wrong != nil {
		if err := d.problem(int64(tailAt), "%v", wrong); err != nil {
			return err
		}
	}
	seen := map[int64]bool{}
	for i := range int(count) {
		at := producerHeadSize + i*producerEntrySize
		entry := producerEntry(p[at:])
		if i < len(tail) {
			entry.AppendedMs, entry.Earlier = tail[i].appendedMs, tail[i].earlier
		}
		if err := d.emit(entry); err != nil {
			return err
		}
		if text := entry.wrong(base, seen); text != "" {
			if err := d.problem(int64(at), "%s", text); err != nil {
				return err
			}
		}
		seen[entry.ID] = true
	}
	return nil
}

// producerEntry reads Kafka's part of a producer.
func producerEntry(p []byte) Producer {
	return Producer{
		ID:                    int64(binary.BigEndian.Uint64(p)),
		Epoch:                 int16(binary.BigEndian.Uint16(p[8:])),
		Last:                  readProducerBatch(p[10:]),
		CoordinatorEpoch:      int32(binary.BigEndian.Uint32(p[34:])),
		CurrentTxnFirstOffset: record.Offset(binary.BigEndian.Uint64(p[38:])),
	}
}

func readProducerBatch(p []byte) ProducerBatch {
	return ProducerBatch{
		LastSequence: int32(binary.BigEndian.Uint32(p)),
		LastOffset:   record.Offset(binary.BigEndian.Uint64(p[4:])),
		OffsetDelta:  int32(binary.BigEndian.Uint32(p[12:])),
		Timestamp:    int64(binary.BigEndian.Uint64(p[16:])),
	}
}

// tailEntry is what the tail holds of a producer.
type tailEntry struct {
	appendedMs int64
	earlier    []ProducerBatch
}

// producerTail reads the tail of count producers; it is missing where a Kafka
// wrote the file. What was whole before something wrong is returned too.
func producerTail(p []byte, count int) (entries []tailEntry, wrong error) {
	if len(p) == 0 {
		return nil, nil
	}
	if len(p) < producerTailHeadSize {
		return nil, fmt.Errorf("%d bytes behind the producers, want none or a tail of at least %d", len(p), producerTailHeadSize)
	}
	if magic := string(p[:4]); magic != producerTailMagic {
		return nil, fmt.Errorf("magic %q behind the producers, want %q", magic, producerTailMagic)
	}
	if version := binary.BigEndian.Uint16(p[4:]); version != producerTailVersion {
		return nil, fmt.Errorf("tail version %d, want %d", version, producerTailVersion)
	}
	p = p[producerTailHeadSize:]
	for i := range count {
		if len(p) < 9 {
			return entries, fmt.Errorf("tail: producer %d of %d: %d bytes left, want 9", i, count, len(p))
		}
		e := tailEntry{appendedMs: int64(binary.BigEndian.Uint64(p))}
		earlier := int(p[8])
		p = p[9:]
		if earlier > 4 || len(p) < earlier*producerBatchSize {
			return entries, fmt.Errorf("tail: producer %d of %d: %d earlier batches with %d bytes left, want at most 4 of %d bytes", i, count, earlier, len(p), producerBatchSize)
		}
		for range earlier {
			e.earlier = append(e.earlier, readProducerBatch(p))
			p = p[producerBatchSize:]
		}
		entries = append(entries, e)
	}
	if len(p) > 0 {
		return entries, fmt.Errorf("%d bytes behind the tail, want none", len(p))
	}
	return entries, nil
}

// wrong tells what cannot be of a producer in a snapshot at the offset base.
func (p *Producer) wrong(base record.Offset, seen map[int64]bool) string {
	none := p.Last.LastOffset == -1
	switch {
	case p.ID < 0 || p.Epoch < 0:
		return fmt.Sprintf("producer %d epoch %d, want both at least 0", p.ID, p.Epoch)
	case seen[p.ID]:
		return fmt.Sprintf("producer %d twice", p.ID)
	case none && (p.Last.LastSequence != -1 || p.Last.OffsetDelta != 0 || len(p.Earlier) > 0):
		return fmt.Sprintf("producer %d: no last batch, but last sequence %d, offset delta %d and %d earlier batches", p.ID, p.Last.LastSequence, p.Last.OffsetDelta, len(p.Earlier))
	case none:
		return ""
	}
	after := record.Offset(-1)
	for _, b := range append(p.Earlier[:len(p.Earlier):len(p.Earlier)], p.Last) {
		if b.LastSequence < 0 || b.OffsetDelta < 0 || b.LastOffset-record.Offset(b.OffsetDelta) <= after || base != unknownBase && b.LastOffset >= base {
			return fmt.Sprintf("producer %d: batch with last sequence %d, last offset %d and offset delta %d behind offset %d in a snapshot at %d", p.ID, b.LastSequence, b.LastOffset, b.OffsetDelta, after, base)
		}
		after = b.LastOffset
	}
	return ""
}
