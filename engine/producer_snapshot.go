package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// Producer snapshot, big-endian. crc is CRC-32C of bytes 6..end. All up to the
// tail is Kafka's, which reads the producers and ignores what follows them.
//
//	at  len  field
//	 0    2  version                1
//	 2    4  crc
//	 6    4  number of producers
//	10  46*n producers              the one that has been silent for longest first
//	 .    .  tail                   ours; missing in a file that a Kafka wrote
//
//	producer
//	at  len  field
//	 0    8  producerId
//	 8    2  epoch
//	10    4  lastSequence           -1 if no batch of this epoch is known
//	14    8  lastOffset             likewise
//	22    4  offsetDelta            records of the last batch, less one
//	26    8  timestamp              highest of the last batch, ms
//	34    4  coordinatorEpoch       -1: none
//	38    8  currentTxnFirstOffset  -1: none
//
//	tail
//	at  len  field
//	 0    4  magic                  "roll"
//	 4    2  version                1
//	 6    .  for each producer, in the same order:
//	         appended 8             wall clock of its last append, ms
//	         earlier 1              batches known before the last one, 0 to 4
//	         each, oldest first: lastSequence 4, lastOffset 8, offsetDelta 4, timestamp 8
const (
	snapshotVersion     = 1
	snapshotHeaderSize  = 10
	snapshotCRCFrom     = 6 // the first byte that crc covers
	snapshotProducer    = 46
	snapshotTailMagic   = "roll"
	snapshotTailVersion = 1
	snapshotTailHead    = 6
	snapshotTailBatch   = 24

	// maxSnapshotBytes bounds what is read: more than 400,000 producers.
	maxSnapshotBytes = 64 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// errBadSnapshot means that a file is no producer snapshot that can be trusted.
var errBadSnapshot = errors.New("bad producer snapshot")

func badSnapshot(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errBadSnapshot, fmt.Sprintf(format, args...))
}

// encode returns the snapshot file of the table.
func (t *producerTable) encode() []byte {
	size := snapshotHeaderSize + snapshotTailHead
	for s := t.oldest; s != nil; s = s.newer {
		size += snapshotProducer + 9 + snapshotTailBatch*max(0, int(s.count)-1)
	}
	p := make([]byte, 0, size)
	p = binary.BigEndian.AppendUint16(p, snapshotVersion)
	p = binary.BigEndian.AppendUint32(p, 0) // crc
	p = binary.BigEndian.AppendUint32(p, uint32(len(t.byID)))
	for s := t.oldest; s != nil; s = s.newer {
		last, _ := s.last()
		p = binary.BigEndian.AppendUint64(p, uint64(s.id))
		p = binary.BigEndian.AppendUint16(p, uint16(s.epoch))
		last.timestamp = s.timestamp
		p = last.appendTo(p)
		p = binary.BigEndian.AppendUint32(p, uint32(s.coordinatorEpoch))
		p = binary.BigEndian.AppendUint64(p, uint64(s.txnFirstOffset))
	}
	p = append(p, snapshotTailMagic...)
	p = binary.BigEndian.AppendUint16(p, snapshotTailVersion)
	for s := t.oldest; s != nil; s = s.newer {
		p = binary.BigEndian.AppendUint64(p, uint64(s.appendedMs))
		earlier := s.batches()[:max(0, int(s.count)-1)]
		p = append(p, byte(len(earlier)))
		for _, b := range earlier {
			p = b.appendTo(p)
		}
	}
	binary.BigEndian.PutUint32(p[2:], crc32.Checksum(p[snapshotCRCFrom:], castagnoli))
	return p
}

// appendTo appends the four fields of a batch, as both parts of the file have
// them.
func (b producerBatch) appendTo(p []byte) []byte {
	p = binary.BigEndian.AppendUint32(p, uint32(b.lastSequence))
	p = binary.BigEndian.AppendUint64(p, uint64(b.lastOffset))
	p = binary.BigEndian.AppendUint32(p, uint32(b.delta))
	return binary.BigEndian.AppendUint64(p, uint64(b.timestamp))
}

// parseProducerSnapshot reads a snapshot that was taken at the offset at, below
// which all its batches must lie. Where the tail is missing nowMs stands for the
// time of the last append.
//
// Errors: errBadSnapshot, also with ErrUnknownVersion.
func parseProducerSnapshot(content []byte, at Offset, nowMs int64) (*producerTable, error) {
	d := snapshotDecoder{rest: content, at: at}
	if version := d.uint16(); d.err == nil && version != snapshotVersion {
		return nil, badVersion("version", version, snapshotVersion)
	}
	crc, count := d.uint32(), d.uint32()
	if d.err != nil {
		return nil, d.err
	}
	if want := crc32.Checksum(content[snapshotCRCFrom:], castagnoli); crc != want {
		return nil, badSnapshot("crc %08x, want %08x", crc, want)
	}
	if most := len(d.rest) / snapshotProducer; int64(count) > int64(most) {
		return nil, badSnapshot("%d producers in %d bytes, want at most %d", count, len(d.rest), most)
	}
	t := newProducerTable()
	for range count {
		s := d.producer()
		if d.err == nil && t.byID[s.id] != nil {
			d.fail("producer %d twice", s.id)
		}
		if d.err != nil {
			return nil, d.err
		}
		s.appendedMs = nowMs
		t.put(s)
	}
	if len(d.rest) > 0 {
		d.tail(t)
	}
	return t, d.err
}

func badVersion(field string, found, want uint16) error {
	return fmt.Errorf("%w: %s %d, want %d; a newer program wrote it: %w", errBadSnapshot, field, found, want, ErrUnknownVersion)
}

// snapshotDecoder takes fields from the front of rest. After the first error it
// returns zero values only.
type snapshotDecoder struct {
	rest []byte
	at   Offset
	err  error
}

func (d *snapshotDecoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = badSnapshot(format, args...)
	}
}

func (d *snapshotDecoder) producer() *producerState {
	s := &producerState{id: int64(d.uint64()), epoch: int16(d.uint16())}
	last := d.batch()
	s.coordinatorEpoch, s.txnFirstOffset = int32(d.uint32()), Offset(d.uint64())
	s.timestamp = last.timestamp
	switch {
	case s.id < 0 || s.epoch < 0:
		d.fail("producer %d epoch %d, want both at least 0", s.id, s.epoch)
	case last.lastOffset != -1:
		d.check(s, last)
		s.add(last)
	case last.lastSequence != noSequence || last.delta != 0:
		d.fail("producer %d: sequence %d and offset delta %d without a batch, want -1 and 0", s.id, last.lastSequence, last.delta)
	}
	return s
}

// tail reads what stands behind the producers.
func (d *snapshotDecoder) tail(t *producerTable) {
	if magic := d.take(len(snapshotTailMagic)); d.err == nil && string(magic) != snapshotTailMagic {
		d.fail("magic %q behind the producers, want %q", magic, snapshotTailMagic)
	}
	if version := d.uint16(); d.err == nil && version != snapshotTailVersion {
		d.err = badVersion("tail version", version, snapshotTailVersion)
	}
	for s := t.oldest; s != nil && d.err == nil; s = s.newer {
		s.appendedMs = int64(d.uint64())
		d.earlier(s)
	}
	if len(d.rest) > 0 {
		d.fail("%d bytes behind the tail, want none", len(d.rest))
	}
}

// earlier reads the batches before the last one.
func (d *snapshotDecoder) earlier(s *producerState) {
	count := int(d.byte())
	last, known := s.last()
	if most := recentBatches - 1; count > most || count > 0 && !known {
		d.fail("producer %d: %d earlier batches, want at most %d and none without a last one", s.id, count, most)
	}
	s.count = 0
	for range count {
		b := d.batch()
		if d.check(s, b); d.err != nil {
			return
		}
		s.add(b)
	}
	if before, ok := s.last(); ok && before.lastOffset >= last.baseOffset() {
		d.fail("producer %d: batch up to offset %d before the one from %d on", s.id, before.lastOffset, last.baseOffset())
	}
	if known {
		s.add(last)
	}
}

// check wants a batch that can stand in the log below the snapshot's offset, and
// behind those before it.
func (d *snapshotDecoder) check(s *producerState, b producerBatch) {
	before, ok := s.last()
	if b.lastSequence < 0 || b.delta < 0 || b.lastOffset >= d.at || b.lastOffset < Offset(b.delta) ||
		ok && before.lastOffset >= b.baseOffset() {
		d.fail("producer %d: batch with last sequence %d, last offset %d and offset delta %d behind offset %d, in a snapshot at %d",
			s.id, b.lastSequence, b.lastOffset, b.delta, before.lastOffset, d.at)
	}
}

func (d *snapshotDecoder) batch() producerBatch {
	return producerBatch{
		lastSequence: int32(d.uint32()),
		lastOffset:   Offset(d.uint64()),
		delta:        int32(d.uint32()),
		timestamp:    int64(d.uint64()),
	}
}

// take returns the next n bytes, nil if there are not so many.
func (d *snapshotDecoder) take(n int) []byte {
	if n > len(d.rest) {
		d.fail("%d bytes left, want %d", len(d.rest), n)
	}
	if d.err != nil {
		return nil
	}
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

// uint is the big-endian integer in the next n bytes.
func (d *snapshotDecoder) uint(n int) (v uint64) {
	for _, b := range d.take(n) {
		v = v<<8 | uint64(b)
	}
	return v
}

func (d *snapshotDecoder) byte() byte     { return byte(d.uint(1)) }
func (d *snapshotDecoder) uint16() uint16 { return uint16(d.uint(2)) }
func (d *snapshotDecoder) uint32() uint32 { return uint32(d.uint(4)) }
func (d *snapshotDecoder) uint64() uint64 { return d.uint(8) }
