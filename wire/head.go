package wire

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
)

// HeadSize is the length of a frame head in bytes.
const HeadSize = 16

// checkedSize is how many bytes of the head its check covers.
const checkedSize = 12

// Flags of a head. What a bit means depends on the kind; a bit that has no
// meaning for the kind is an error.
const (
	// FlagEnd on Data says that the subscription has ended with this frame.
	FlagEnd uint8 = 1 << 0

	// FlagRetryable on Error says that the same request may succeed later and
	// that this one has changed nothing.
	FlagRetryable uint8 = 1 << 0
)

// Head is what stands before every payload. All integers of the protocol are
// big-endian.
//
//	at  len  field
//	 0    4  length     payload bytes after the head
//	 4    1  kind
//	 5    1  flags
//	 6    2  reserved   0
//	 8    4  requestID  chosen by the client, not 0; an answer carries that of its request
//	12    4  check      low 32 bits of XXH64, seed 0, of bytes 0..11
//
// The check keeps a damaged length from desynchronizing the stream: a head
// whose check fails ends the connection. It does not cover the payload.
type Head struct {
	Length    uint32
	Kind      Kind
	Flags     uint8
	RequestID uint32
}

// Size returns the bytes of the frame, head and payload. It is HeadSize for
// the zero Head.
func (h Head) Size() int { return HeadSize + int(h.Length) }

// AppendHead appends the 16 bytes of the head to dst.
func AppendHead(dst []byte, h Head) []byte {
	at := len(dst)
	dst = append(dst, make([]byte, HeadSize)...)
	putHead(dst[at:], h)
	return dst
}

// putHead writes the head to the first HeadSize bytes of p.
func putHead(p []byte, h Head) {
	_ = p[HeadSize-1]
	binary.BigEndian.PutUint32(p[0:], h.Length)
	p[4] = uint8(h.Kind)
	p[5] = h.Flags
	binary.BigEndian.PutUint16(p[6:], 0)
	binary.BigEndian.PutUint32(p[8:], h.RequestID)
	binary.BigEndian.PutUint32(p[12:], headCheck(p))
}

// headCheck computes the check over the first checkedSize bytes of p.
func headCheck(p []byte) uint32 { return uint32(xxhash.Sum64(p[:checkedSize])) }

// ParseHead reads the head at the start of p, which may be longer. It does not
// judge length, kind and flags.
//
// Errors: ErrIncomplete if p is shorter than HeadSize; an Error of
// CodeBadHeadCheck, or of CodeInvalidRequest if the reserved bytes are not 0.
// After an Error the bytes that follow cannot be trusted to be frames.
func ParseHead(p []byte) (Head, error) {
	if len(p) < HeadSize {
		return Head{}, ErrIncomplete
	}
	if found, want := binary.BigEndian.Uint32(p[12:]), headCheck(p); found != want {
		return Head{}, Errorf(CodeBadHeadCheck, "head: check %08x, want %08x; the bytes are damaged or not of this protocol", found, want)
	}
	if reserved := binary.BigEndian.Uint16(p[6:]); reserved != 0 {
		return Head{}, Errorf(CodeInvalidRequest, "head: reserved 0x%04x, want 0", reserved)
	}
	return Head{
		Length:    binary.BigEndian.Uint32(p[0:]),
		Kind:      Kind(p[4]),
		Flags:     p[5],
		RequestID: binary.BigEndian.Uint32(p[8:]),
	}, nil
}

// Frame is one head with its payload, of Head.Length bytes.
type Frame struct {
	Head
	Payload []byte
}

// Split cuts the first frame off p, the bytes received so far and not yet
// consumed, and returns what follows it. The payload points into p. It
// allocates nothing unless it returns an Error.
//
// maxFrame is the most payload bytes that are taken: DefaultMaxFrame if it is
// 0, and never more than MaxFrameCap. A server passes MaxHelloFrame until it
// has seen the Hello. The length is compared with it as soon as the head is
// there, before any of the payload is.
//
// Errors, with rest being p:
//   - ErrIncomplete: p holds no whole frame. f.Size() is how many bytes it must
//     hold for the next step: HeadSize as long as the head is cut, then those
//     of the frame, whose f.Head is set.
//   - an Error of CodeFrameTooLarge, with f.Head set, or one of ParseHead: the
//     connection is to be answered with it, if it can be, and closed.
func Split(p []byte, maxFrame int) (f Frame, rest []byte, err error) {
	if maxFrame == 0 {
		maxFrame = DefaultMaxFrame
	}
	maxFrame = min(maxFrame, MaxFrameCap)
	h, err := ParseHead(p)
	if err != nil {
		return Frame{}, p, err
	}
	f.Head = h
	if int64(h.Length) > int64(maxFrame) {
		return f, p, Errorf(CodeFrameTooLarge, "%s: %d payload bytes, want at most %d", h.Kind, h.Length, maxFrame)
	}
	end := h.Size()
	if len(p) < end {
		return f, p, ErrIncomplete
	}
	f.Payload = p[HeadSize:end:end]
	return f, p[end:], nil
}
