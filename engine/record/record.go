package record

import "fmt"

// A Record points into the records of a batch: it is valid as long as these
// bytes are unchanged, and whoever keeps it longer copies it.
type Record struct {
	Attributes int8   // unused by the format, kept
	Timestamp  int64  // milliseconds since 1970; the batch's max timestamp under LogAppendTime
	Offset     Offset // absolute
	Key        []byte // nil is null, which is not the same as empty
	Value      []byte // nil is null (a tombstone), which is not the same as empty

	headerCount int32
	headers     []byte // headerCount headers, checked by Iterator.Next
}

// A Header is a name and a value beside a record.
type Header struct {
	Key   []byte // UTF-8 by convention, never null
	Value []byte // nil is null
}

// HeaderCount returns the number of headers.
func (r *Record) HeaderCount() int { return int(r.headerCount) }

// Headers returns an iterator over the headers, in order. It cannot meet an
// error: Iterator.Next has walked them.
func (r *Record) Headers() HeaderIterator {
	return HeaderIterator{rest: r.headers, left: r.headerCount}
}

// A HeaderIterator walks the headers of a record and allocates nothing:
//
//	for it := r.Headers(); it.Next(); {
//		h := it.Header()
//	}
type HeaderIterator struct {
	rest   []byte
	left   int32
	header Header
}

// Next moves to the next header and reports whether there is one.
func (it *HeaderIterator) Next() bool {
	if it.left == 0 {
		return false
	}
	it.left--
	it.header.Key, it.rest, _ = cutBytes(it.rest)
	it.header.Value, it.rest, _ = cutBytes(it.rest)
	return true
}

// Header returns the current header, which points into the record.
func (it *HeaderIterator) Header() Header { return it.header }

// An Iterator walks the records of a batch and allocates nothing:
//
//	it := b.Iterate(records)
//	for it.Next() {
//		r := it.Record()
//	}
//	if err := it.Err(); err != nil {
//
// It accepts what Kafka's own reader accepts, and more strictly that offsets
// rise and stay within the batch.
type Iterator struct {
	rest          []byte
	count         int32
	index         int32 // records begun; Invariant: index <= count
	baseOffset    Offset
	lastDelta     int32 // offset delta of the previous record, -1 before the first
	maxDelta      int32 // lastOffsetDelta of the batch
	baseTimestamp int64
	maxTimestamp  int64
	logAppendTime bool
	record        Record
	err           error
}

// Iterate returns an iterator over records, which are b's uncompressed: what
// b.Records returns when b.Codec is CodecNone, else what b.Decompress
// returned. It reads only the header of b and keeps no reference to it; the
// Records point into records.
func (b Batch) Iterate(records []byte) Iterator {
	return Iterator{
		rest:          records,
		count:         b.Count(),
		baseOffset:    b.BaseOffset(),
		lastDelta:     -1,
		maxDelta:      b.LastOffsetDelta(),
		baseTimestamp: b.BaseTimestamp(),
		maxTimestamp:  b.MaxTimestamp(),
		logAppendTime: b.Attributes().LogAppendTime(),
	}
}

// Next moves to the next record and reports whether there is one. It returns
// false at the end of the records and at the first record that cannot be
// parsed; Err tells which.
func (it *Iterator) Next() bool {
	if it.err != nil {
		return false
	}
	if it.index >= it.count {
		switch {
		case it.count < 0:
			it.err = invalid(ErrCount, "%d records, want at least 0", it.count)
		case len(it.rest) > 0:
			it.err = invalid(ErrRecord, "%d bytes after the last of %d records", len(it.rest), it.count)
		}
		return false
	}
	it.index++
	length, n := varint32(it.rest)
	if n == 0 {
		return it.fail("length: no varint in %d bytes", len(it.rest))
	}
	rest := it.rest[n:]
	if length < 0 || int(length) > len(rest) {
		return it.fail("length %d with %d bytes left", length, len(rest))
	}
	it.rest = rest[length:]
	return it.parse(rest[:length:length])
}

// Record returns the current record: valid after Next returned true, until
// the next call of Next.
func (it *Iterator) Record() *Record { return &it.record }

// Err returns nil when all records were read and nothing follows them, else
// what was wrong: ErrRecord or ErrCount, both ErrInvalid.
func (it *Iterator) Err() error { return it.err }

// parse reads the record whose bytes after the length are exactly p.
//
//	attributes int8, timestampDelta varlong, offsetDelta varint,
//	keyLength varint, key, valueLength varint, value,
//	headerCount varint, headers (keyLength, key, valueLength, value)
func (it *Iterator) parse(p []byte) bool {
	r := &it.record
	if len(p) == 0 {
		return it.fail("length 0, want at least %d", minRecordSize-1)
	}
	r.Attributes = int8(p[0])
	p = p[1:]

	timeDelta, n := varint64(p)
	if n == 0 {
		return it.fail("timestamp delta: no varint in %d bytes", len(p))
	}
	p = p[n:]
	// The sum may wrap; so did the difference when the record was written.
	r.Timestamp = it.baseTimestamp + timeDelta
	if it.logAppendTime {
		r.Timestamp = it.maxTimestamp
	}

	delta, n := varint32(p)
	if n == 0 {
		return it.fail("offset delta: no varint in %d bytes", len(p))
	}
	p = p[n:]
	if delta <= it.lastDelta || delta > it.maxDelta {
		return it.fail("offset delta %d, want %d to %d", delta, int64(it.lastDelta)+1, it.maxDelta)
	}
	it.lastDelta = delta
	r.Offset = it.baseOffset + Offset(delta)

	var ok bool
	if r.Key, p, ok = cutBytes(p); !ok {
		return it.fail("key does not fit in %d bytes", len(p))
	}
	if r.Value, p, ok = cutBytes(p); !ok {
		return it.fail("value does not fit in %d bytes", len(p))
	}
	return it.parseHeaders(p)
}

// parseHeaders walks the headers, so that nobody after it can meet an error.
func (it *Iterator) parseHeaders(p []byte) bool {
	count, n := varint32(p)
	if n == 0 {
		return it.fail("header count: no varint in %d bytes", len(p))
	}
	p = p[n:]
	if count < 0 || int(count) > len(p)/2 { // a header takes at least two bytes
		return it.fail("%d headers in %d bytes", count, len(p))
	}
	it.record.headerCount, it.record.headers = count, p
	for i := range count {
		var key []byte
		var ok bool
		if key, p, ok = cutBytes(p); !ok || key == nil {
			return it.fail("header %d: key is null or does not fit in %d bytes", i, len(p))
		}
		if _, p, ok = cutBytes(p); !ok {
			return it.fail("header %d: value does not fit in %d bytes", i, len(p))
		}
	}
	if len(p) > 0 {
		return it.fail("%d bytes after its last field", len(p))
	}
	return true
}

func (it *Iterator) fail(format string, args ...any) bool {
	it.err = invalid(ErrRecord, "record %d of %d: %s", it.index-1, it.count, fmt.Sprintf(format, args...))
	return false
}

// cutBytes cuts a varint length and that many bytes off p. A length of -1 is
// null, so nil; an empty value is not nil. ok is false, and rest is p, when
// the length is no varint, is below -1 or exceeds p.
func cutBytes(p []byte) (value, rest []byte, ok bool) {
	length, n := varint32(p)
	if n == 0 || length < -1 || int(length) > len(p)-n {
		return nil, p, false
	}
	if length < 0 {
		return nil, p[n:], true
	}
	end := n + int(length)
	return p[n:end:end], p[end:], true
}
