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
	// and hashes at most so many times the bytes of the file, so that bytes that
	// look like heads again and again cannot keep it busy for ever.
	searchFactor = 16
	// anyEpoch is below every leader epoch; a producer's batch has -1.
	anyEpoch = math.MinInt32
)

// LogScan walks a .log file from its beginning: whole batches, and between them
// the ranges that hold none. Each byte of the file is in exactly one of them.
// Memory is bounded by a window of 1 MiB, or by the largest batch up to 128 MiB.
// What it reads does not stay in the page cache, where the kernel can do that.
type LogScan struct {
	// Least is the least base offset that a batch behind damage may have: the
	// caller, who knows the batches before, raises it. It keeps a batch that is
	// the value of a record from being taken for one of the log.
	Least record.Offset

	// What Next has found.
	Position int64        // where it begins, bytes
	Len      int64        // its bytes
	Batch    record.Batch // valid until the next call; nil: a range without a whole batch
	Wrong    error        // why there is no whole batch at Position

	f      vfs.File
	size   int64
	end    int64 // of what was found
	window []byte
	at     int64 // Invariant: window holds the bytes of the file from at on
	work   int64 // bytes read and, in search, hashed
	err    error
}

// NewLogScan starts a walk over the first size bytes of f, which stays the
// caller's.
func NewLogScan(f vfs.File, size int64) *LogScan { return &LogScan{f: f, size: size} }

// Next goes to the next batch or damaged range; false at the end of the file,
// or where it cannot be read, which Err tells.
func (l *LogScan) Next() bool {
	l.Position, l.Batch, l.Wrong = l.end, nil, nil
	if l.err != nil || l.Position >= l.size {
		return false
	}
	var b record.Batch
	if b, l.Wrong, l.err = l.batch(l.Position); l.err != nil {
		return false
	}
	if l.Wrong == nil {
		l.Batch, l.end = b, l.Position+int64(len(b))
	} else if l.end, l.err = l.search(l.Position); l.err != nil {
		l.err = fmt.Errorf("%w; %w", l.Wrong, l.err)
		l.end = l.Position
		return false
	}
	l.Len = l.end - l.Position
	return true
}

// Err is why the file could not be read to its end, at Position.
func (l *LogScan) Err() error { return l.err }

// Last tells whether what Next has found reaches to the end of the file.
func (l *LogScan) Last() bool { return l.end >= l.size }

// batch returns the whole batch at position. wrong says why there is none, err
// that the file cannot be read.
func (l *LogScan) batch(position int64) (b record.Batch, wrong, err error) {
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
func (l *LogScan) read(position int64, n int) ([]byte, error) {
	from := position - l.at
	if from >= 0 && from+int64(n) <= int64(len(l.window)) {
		return l.window[from : from+int64(n)], nil
	}
	want := int(min(max(int64(n), windowBytes), l.size-position))
	window := l.window
	if cap(window) < want {
		window = make([]byte, want)
	}
	window = window[:want]
	have := 0
	if from >= 0 && from < int64(len(l.window)) {
		have = copy(window, l.window[from:])
	}
	l.window, l.at = window, position
	l.work += int64(want - have)
	if _, err := vfs.ReadUncached(l.f, window[have:], position+int64(have)); err != nil {
		l.window = l.window[:0]
		if err == io.EOF {
			err = fmt.Errorf("file ends, want it to have %d bytes as when it was opened", l.size)
		}
		return nil, err
	}
	return l.window[:n], nil
}

// search returns where the next whole batch behind position begins, or size.
// It believes the length of the batch at position if that leads to one, unless
// whole batches fill the end of that length: then it is the length that is
// damaged, and reaches over batches that are not. Else it tries every byte.
func (l *LogScan) search(position int64) (int64, error) {
	remain := l.size - position
	if remain < record.HeaderSize {
		return l.size, nil
	}
	head, err := l.read(position, record.HeaderSize)
	if err != nil {
		return 0, err
	}
	most := l.work + searchFactor*max(remain, windowBytes)
	if size, wrong := record.PeekSize(head); wrong == nil && size <= remain {
		end := position + size
		believed := end == l.size
		if !believed {
			_, wrong, err := l.batch(end)
			believed = wrong == nil && err == nil
		}
		if believed {
			return l.find(position+1, end, most, true)
		}
	}
	return l.find(position+1, l.size, most, false)
}

// find returns where the first whole batch begins, from at on, or end if there
// is none before. With filled it counts only if batch after batch leads exactly
// to end: what a record holds does not, since its headers follow it. It gives up
// when work reaches most.
func (l *LogScan) find(at, end, most int64, filled bool) (int64, error) {
	for ; end-at >= record.HeaderSize && l.work < most; at++ {
		head, err := l.read(at, record.HeaderSize)
		if err != nil {
			return 0, err
		}
		if !l.mayBegin(head, end-at) {
			continue
		}
		for next := at; ; {
			b, wrong, err := l.batch(next)
			if err != nil {
				return 0, err
			}
			l.work += int64(len(b))
			if wrong != nil {
				break
			}
			next += int64(len(b))
			if !filled || next == end {
				return at, nil
			}
			if next > end {
				break
			}
		}
	}
	return end, nil
}

// mayBegin tells from its header whether a batch may begin here: cheaply, and
// wrong once in a very long time for bytes that are none.
func (l *LogScan) mayBegin(head []byte, remain int64) bool {
	if head[16] != record.Magic {
		return false
	}
	length := int64(int32(binary.BigEndian.Uint32(head[8:])))
	h := record.Batch(head)
	delta, count := h.LastOffsetDelta(), h.Count()
	return length >= record.HeaderSize-record.Overhead && length+record.Overhead <= remain &&
		h.BaseOffset() >= max(l.Least, 0) && delta >= 0 && count >= 0 && int64(count) <= int64(delta)+1
}

// Sequence checks what no crc covers, batch beside batch: that base offsets
// continue and leader epochs do not fall. One wrong offset is one error,
// whether it is that of a batch or records are missing before it.
type Sequence struct {
	next    record.Offset // that the next batch should begin with; unknownBase: any
	other   record.Offset // that it may begin with too, if the offset before was right; else unknownBase
	skipped bool          // something was, so that the next batch may begin behind next
	first   bool          // there was no batch yet
	epoch   int32         // of the batch before
}

// NewSequence starts before a batch that should begin with base; -1: any.
func NewSequence(base record.Offset) *Sequence {
	return &Sequence{next: base, other: unknownBase, first: true, epoch: anyEpoch}
}

// Next is the offset that should follow, -1 if that is not known.
func (q *Sequence) Next() record.Offset { return q.next }

// Continues tells whether a segment that begins with base follows the batches so
// far.
func (q *Sequence) Continues(base record.Offset) bool {
	return base == q.next || base == q.other || q.skipped && base > q.next
}

// Restart goes on in a segment that begins with base.
func (q *Sequence) Restart(base record.Offset) {
	q.next, q.other, q.skipped, q.first = base, unknownBase, false, true
}

// Skip says that batches are missing for a known reason.
func (q *Sequence) Skip() { q.skipped = true }

// Check takes the next batch, which is whole, and says what is wrong with its
// base offset and its leader epoch.
func (q *Sequence) Check(b record.Batch) (offset, epoch error) {
	base := b.BaseOffset()
	switch {
	case q.next == unknownBase, q.Continues(base):
		q.next, q.other, q.skipped = b.NextOffset(), unknownBase, false
	default:
		offset = fmt.Errorf("base offset %d, want %d (%s)", base, q.next, q.before())
		// Which of the two it is the next batch tells.
		q.next, q.other = q.next+record.Offset(b.LastOffsetDelta())+1, b.NextOffset()
	}
	if b.LeaderEpoch() < q.epoch {
		epoch = fmt.Errorf("leader epoch %d, want at least %d as in the previous batch", b.LeaderEpoch(), q.epoch)
	}
	q.epoch, q.first = b.LeaderEpoch(), false
	return offset, epoch
}

// before says where the wanted base offset comes from.
func (q *Sequence) before() string {
	if q.first && !q.skipped {
		return "as the name of the file says"
	}
	return fmt.Sprintf("the previous batch ends at %d", q.next-1)
}
