package dump

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

const (
	// maxBatchBytes bounds what is read of one batch, 128 times Kafka's default
	// of max.message.bytes, and what its records may have uncompressed.
	maxBatchBytes = 128 << 20
	// windowBytes is what is read of a log at a time.
	windowBytes = 1 << 20
	// searchFactor bounds the search for the next batch behind damage: it reads
	// at most so many times the bytes of the file, so that bytes that look like
	// heads again and again cannot keep it busy for ever.
	searchFactor = 16
	// anyEpoch is below every leader epoch; a producer's batch has -1.
	anyEpoch = math.MinInt32
)

// logFile is a log that is being read.
type logFile struct {
	d      *dumper
	f      vfs.File
	size   int64
	window []byte // Invariant: the bytes of the file from at on
	at     int64

	next    record.Offset // that the next batch should begin with; unknownBase: any
	skipped bool          // something was, so that the next batch may begin behind next
	epoch   int32         // of the batch before
	scratch []byte        // uncompressed records
}

// log emits the batches of f, and what is wrong between them.
func (d *dumper) log(f vfs.File, size int64, base record.Offset) error {
	l := &logFile{d: d, f: f, size: size, next: base, epoch: anyEpoch}
	for position := int64(0); position < size; {
		b, wrong, err := l.batch(position)
		if err != nil {
			return d.problem(position, "%v; nothing behind it was read", err)
		}
		if wrong != nil {
			if position, err = l.skip(position, wrong); err != nil {
				return err
			}
			continue
		}
		if err := l.emit(position, b); err != nil {
			return err
		}
		position += int64(len(b))
	}
	return nil
}

// batch returns the whole batch at position. wrong says why there is none, err
// that the file cannot be read.
func (l *logFile) batch(position int64) (b record.Batch, wrong, err error) {
	remain := l.size - position
	if remain < record.HeaderSize {
		return nil, fmt.Errorf("%d bytes remain, want the %d of a batch's header", remain, record.HeaderSize), nil
	}
	head, err := l.read(position, record.HeaderSize)
	if err != nil {
		return nil, nil, err
	}
	size, wrong := record.PeekSize(head)
	switch {
	case wrong != nil:
		return nil, wrong, nil
	case size > remain:
		return nil, fmt.Errorf("batch of %d bytes, but %d remain", size, remain), nil
	case size > maxBatchBytes:
		return nil, fmt.Errorf("batch of %d bytes is not read, at most %d are", size, maxBatchBytes), nil
	}
	p, err := l.read(position, int(size))
	if err != nil {
		return nil, nil, err
	}
	b = record.Batch(p)
	return b, b.Verify(), nil
}

// read returns n bytes from position on, which the file has; valid until the
// next call.
func (l *logFile) read(position int64, n int) ([]byte, error) {
	from := position - l.at
	if from >= 0 && from+int64(n) <= int64(len(l.window)) {
		return l.window[from : from+int64(n)], nil
	}
	want := int(min(max(int64(n), windowBytes), l.size-position))
	if cap(l.window) < want {
		l.window = make([]byte, want)
	}
	l.window, l.at = l.window[:want], position
	if _, err := l.f.ReadAt(l.window, position); err != nil {
		l.window = l.window[:0]
		if err == io.EOF {
			err = fmt.Errorf("file ends, want it to have %d bytes as when it was opened", l.size)
		}
		return nil, err
	}
	return l.window[:n], nil
}

// emit emits the batch, its records if they are wanted, and what is wrong with
// it beside the batch before.
func (l *logFile) emit(position int64, b record.Batch) error {
	if err := l.d.emit(Batch{Position: position, Batch: b}); err != nil {
		return err
	}
	if l.next != unknownBase && (b.BaseOffset() < l.next || b.BaseOffset() > l.next && !l.skipped) {
		if err := l.d.problem(position, "base offset %d, want %d (%s)", b.BaseOffset(), l.next, l.before(position)); err != nil {
			return err
		}
	}
	if b.LeaderEpoch() < l.epoch {
		if err := l.d.problem(position, "leader epoch %d, want at least %d as in the previous batch", b.LeaderEpoch(), l.epoch); err != nil {
			return err
		}
	}
	l.next, l.epoch, l.skipped = b.NextOffset(), b.LeaderEpoch(), false
	if l.d.options.Records {
		return l.records(position, b)
	}
	return nil
}

// before says where the wanted base offset comes from.
func (l *logFile) before(position int64) string {
	if position == 0 {
		return "as the name of the file says"
	}
	return fmt.Sprintf("the previous batch ends at %d", l.next-1)
}

func (l *logFile) records(position int64, b record.Batch) error {
	records, err := b.Decompress(l.scratch, maxBatchBytes)
	if err != nil {
		return l.d.problem(position, "%v", err)
	}
	if b.Codec() != record.CodecNone {
		l.scratch = records
	}
	it := b.Iterate(records)
	for it.Next() {
		if err := l.d.emit(Record{it.Record()}); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil {
		return l.d.problem(position, "%v", err)
	}
	return nil
}

// skip reports what is wrong at position and returns where to go on: where the
// next whole batch begins, or the end of the file. A log that has grown since
// it was opened was caught in the middle of an append, which is no problem.
func (l *logFile) skip(position int64, wrong error) (int64, error) {
	l.skipped = true
	next, err := l.search(position)
	if err != nil {
		return l.size, l.d.problem(position, "%v; %v; nothing behind it was read", wrong, err)
	}
	skipped := next - position
	switch {
	case next < l.size:
		return next, l.d.problem(position, "%v; %d bytes skipped to the next whole batch", wrong, skipped)
	case l.grown():
		return next, nil
	}
	return next, l.d.problem(position, "%v; no whole batch in the last %d bytes: a torn tail if no server has this file open", wrong, skipped)
}

// grown tells whether the file was appended to since it was opened.
func (l *logFile) grown() bool {
	size, err := l.f.Size()
	return err == nil && size > l.size
}

// search returns where the next whole batch behind position begins, or size.
// It believes the length of the batch at position if that leads to one, and
// else tries every byte.
func (l *logFile) search(position int64) (int64, error) {
	if l.size-position < record.HeaderSize {
		return l.size, nil
	}
	head, err := l.read(position, record.HeaderSize)
	if err != nil {
		return 0, err
	}
	if size, wrong := record.PeekSize(head); wrong == nil && size <= l.size-position {
		if position+size == l.size {
			return l.size, nil
		}
		if _, wrong, err := l.batch(position + size); wrong == nil && err == nil {
			return position + size, nil
		}
	}
	budget := searchFactor * (l.size - position)
	for at := position + 1; l.size-at >= record.HeaderSize && budget > 0; at++ {
		head, err := l.read(at, record.HeaderSize)
		if err != nil {
			return 0, err
		}
		if !l.mayBegin(head, l.size-at) {
			continue
		}
		b, wrong, err := l.batch(at)
		if err != nil {
			return 0, err
		}
		if wrong == nil {
			return at, nil
		}
		budget -= int64(len(b)) + windowBytes // the window is read again
	}
	return l.size, nil
}

// mayBegin tells from its header whether a batch may begin here: cheaply, and
// wrong once in a very long time for bytes that are none.
func (l *logFile) mayBegin(head []byte, remain int64) bool {
	if head[16] != record.Magic {
		return false
	}
	length := int64(int32(binary.BigEndian.Uint32(head[8:])))
	h := record.Batch(head)
	delta, count := h.LastOffsetDelta(), h.Count()
	return length >= record.HeaderSize-record.Overhead && length+record.Overhead <= remain &&
		h.BaseOffset() >= max(l.next, 0) && delta >= 0 && count >= 0 && int64(count) <= int64(delta)+1
}
