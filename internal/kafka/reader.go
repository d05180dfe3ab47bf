package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// What one request may make us allocate before it is carried out, its answer
// included: 4 MiB, or four times its size if that is more.
const (
	leastMemory     = 4 << 20
	memoryPerByte   = 4
	answerPerMember = 128 // bytes that an element of a request costs in the answer, about
)

// maxTextLen is the longest text of a request: Kafka takes no longer one where it
// is compact either.
const maxTextLen = math.MaxInt16

// errMalformed is what is wrong with a request whose bytes are not those of its
// version.
var errMalformed = errors.New("malformed request")

// reader decodes a request: big-endian fields one after another
// (kafka.apache.org/protocol). The first error stays; after it everything is
// zero and every array empty, so that a decoder checks once, at its end. Every
// length is checked against the bytes that remain, and every count against what
// its elements take at least, before anything is allocated.
type reader struct {
	p        []byte // what remains
	flexible bool   // compact lengths and tagged fields (KIP-482)
	memory   int64  // what may still be allocated, bytes
	err      error
}

// newReader returns a reader of the whole body p.
func newReader(p []byte, flexible bool) reader {
	return reader{p: p, flexible: flexible, memory: max(leastMemory, memoryPerByte*int64(len(p)))}
}

// fail notes the first error.
func (r *reader) fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: "+format, append([]any{errMalformed}, args...)...)
	}
	r.p = nil
}

// take returns the next n bytes, a view of the request; nil after an error.
func (r *reader) take(n int) []byte {
	if n > len(r.p) {
		r.fail("%d bytes wanted, %d remain", n, len(r.p))
		return nil
	}
	p := r.p[:n:n]
	r.p = r.p[n:]
	return p
}

func (r *reader) int8() int8 {
	if p := r.take(1); p != nil {
		return int8(p[0])
	}
	return 0
}

// bool is false for 0 and true for anything else, as Kafka reads it.
func (r *reader) bool() bool { return r.int8() != 0 }

func (r *reader) int16() int16 {
	if p := r.take(2); p != nil {
		return int16(binary.BigEndian.Uint16(p))
	}
	return 0
}

func (r *reader) int32() int32 {
	if p := r.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (r *reader) int64() int64 {
	if p := r.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (r *reader) uuid() (id [16]byte) {
	copy(id[:], r.take(len(id)))
	return id
}

// uvarint reads an unsigned varint of at most 32 bits.
func (r *reader) uvarint() uint32 {
	var v uint64
	for i := 0; i < 5 && i < len(r.p); i++ {
		b := r.p[i]
		v |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if v > math.MaxUint32 {
				break
			}
			r.p = r.p[i+1:]
			return uint32(v)
		}
	}
	if r.err == nil {
		r.fail("a varint that does not end within 32 bits or the request")
	}
	return 0
}

// length reads the length of a string, of bytes or of an array: -1 is null.
// wide tells that it has 32 bits where it is not compact, else 16.
func (r *reader) length(wide bool) int {
	var n int64
	switch {
	case r.flexible:
		n = int64(r.uvarint()) - 1
		if r.err != nil {
			return 0
		}
	case wide:
		n = int64(r.int32())
	default:
		n = int64(r.int16())
	}
	if n < -1 {
		r.fail("length %d", n)
		return 0
	}
	if !wide && n > maxTextLen {
		r.fail("text of %d bytes, want at most %d", n, maxTextLen)
		return 0
	}
	if n > int64(len(r.p)) {
		r.fail("length %d, %d bytes remain", n, len(r.p))
		return 0
	}
	return int(n)
}

// view returns a string as a view of the request; null is nil, an empty one is
// not.
func (r *reader) view() []byte {
	n := r.length(false)
	if n < 0 {
		return nil
	}
	return r.take(n)
}

// string returns a string that must not be null.
func (r *reader) string() string {
	n := r.length(false)
	if n < 0 {
		r.fail("null, want a string")
		return ""
	}
	return r.copied(n)
}

// nullableString returns nil for null.
func (r *reader) nullableString() *string {
	n := r.length(false)
	if n < 0 {
		return nil
	}
	s := r.copied(n)
	if r.err != nil {
		return nil
	}
	return &s
}

func (r *reader) copied(n int) string {
	r.charge(int64(n))
	return string(r.take(n))
}

// bytes returns a view of the request; null is nil, empty bytes are not.
func (r *reader) bytes() []byte {
	n := r.length(true)
	if n < 0 {
		return nil
	}
	return r.take(n)
}

// copiedBytes returns bytes that must not be null, and that outlive the request.
func (r *reader) copiedBytes() []byte {
	n := r.length(true)
	if n < 0 {
		r.fail("null, want bytes")
		return nil
	}
	r.charge(int64(n))
	return bytes.Clone(r.take(n))
}

// array reads the count of an array whose elements take at least least bytes
// each in the request and memory bytes when they are decoded; what their
// answers take is added. -1 is null. The caller may allocate count of them.
func (r *reader) array(least int, memory uintptr) int {
	n := r.length(true)
	if n <= 0 {
		return n
	}
	if n > len(r.p)/least {
		r.fail("%d elements of at least %d bytes, %d bytes remain", n, least, len(r.p))
		return 0
	}
	r.charge(int64(n) * (int64(memory) + answerPerMember))
	if r.err != nil {
		return 0
	}
	return n
}

// charge counts memory that is about to be allocated.
func (r *reader) charge(n int64) {
	if r.memory -= n; r.memory < 0 {
		r.fail("it would take %d bytes of memory more than it may", -r.memory)
	}
}

// chargeTexts counts the memory of n texts in the answer: each as it is, and
// encoded.
func (r *reader) chargeTexts(n int) { r.charge(2 * maxTextBytes * int64(n)) }

// tags skips tagged fields, where the version has them: none that this server
// knows changes what it answers.
func (r *reader) tags() {
	if !r.flexible {
		return
	}
	n := int(r.uvarint())
	if n > len(r.p)/2 {
		r.fail("%d tagged fields, %d bytes remain", n, len(r.p))
		return
	}
	for range n {
		r.uvarint()
		r.take(int(r.uvarint()))
		if r.err != nil {
			return
		}
	}
}

// end returns the first error. What remains is passed over, as Apache Kafka does:
// librdkafka 2.16.0 leaves bytes behind a Metadata request.
func (r *reader) end() error { return r.err }

// slice decodes an array: null is nil, an empty one is not. least is what one
// element takes in the request at least, and element decodes one.
func slice[T any](r *reader, least int, element func(r *reader) T) []T {
	var zero T
	n := r.array(least, sizeOf(zero))
	if n < 0 {
		return nil
	}
	s := make([]T, 0, n)
	for range n {
		v := element(r)
		if r.err != nil {
			return nil
		}
		s = append(s, v)
	}
	return s
}

// nonNull refuses a null array where the protocol has none.
func nonNull[T any](r *reader, s []T) []T {
	if s == nil && r.err == nil {
		r.fail("null, want an array")
	}
	return s
}
