package wire

import (
	"encoding/binary"
)

// reader reads the fields of one payload from front to back. Its first error
// stays; every read after it returns zero. Slices it returns point into the
// payload. Each read names the field that it is for.
type reader struct {
	kind Kind
	p    []byte // what is left
	err  *Error
}

// open starts to read a frame that must be of the given kind, may have the
// flags in knownFlags and must carry a request id, unless it is an Error.
func open(f Frame, kind Kind, knownFlags uint8) reader {
	r := reader{kind: kind, p: f.Payload}
	switch {
	case f.Kind != kind:
		r.err = Errorf(CodeUnknownKind, "head: kind 0x%02x (%s), want 0x%02x (%s)", uint8(f.Kind), f.Kind, uint8(kind), kind)
	case f.Flags&^knownFlags != 0:
		r.err = Errorf(CodeUnknownFlags, "%s: flags 0x%02x, want none outside 0x%02x", kind, f.Flags, knownFlags)
	case f.RequestID == 0 && kind != KindError:
		r.err = Errorf(CodeInvalidRequest, "%s: request id 0, want another; 0 is for errors about the connection", kind)
	}
	return r
}

// close returns the first error. Bytes that are left are one.
func (r *reader) close() error {
	if r.err == nil && len(r.p) > 0 {
		r.err = Errorf(CodeInvalidRequest, "%s: %d bytes after the last field, want none", r.kind, len(r.p))
	}
	if r.err != nil {
		return r.err
	}
	return nil
}

// take returns the next n bytes, n >= 0, with no room to append.
func (r *reader) take(field string, n int) []byte {
	if r.err != nil {
		return nil
	}
	if n > len(r.p) {
		r.err = Errorf(CodeInvalidRequest, "%s: %s: %d bytes left, want %d", r.kind, field, len(r.p), n)
		return nil
	}
	taken := r.p[:n:n]
	r.p = r.p[n:]
	return taken
}

// rest returns all that is left.
func (r *reader) rest() []byte { return r.take("rest", len(r.p)) }

func (r *reader) u8(field string) uint8 {
	if p := r.take(field, 1); p != nil {
		return p[0]
	}
	return 0
}

// boolean reads one byte that must be 0 or 1.
func (r *reader) boolean(field string) bool {
	v := r.u8(field)
	if v > 1 && r.err == nil {
		r.err = Errorf(CodeInvalidRequest, "%s: %s: %d, want 0 or 1", r.kind, field, v)
	}
	return v == 1
}

func (r *reader) u16(field string) uint16 {
	if p := r.take(field, 2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32(field string) uint32 {
	if p := r.take(field, 4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (r *reader) i32(field string) int32 { return int32(r.u32(field)) }

func (r *reader) i64(field string) int64 {
	if p := r.take(field, 8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

// bytes reads a u16 length and as many bytes.
func (r *reader) bytes(field string) []byte { return r.take(field, int(r.u16(field))) }

// text reads a u16 length and as many bytes, and copies them.
func (r *reader) text(field string) string { return string(r.bytes(field)) }

// count reads the number of elements of an array, each of which takes at least
// minSize bytes of what is left: what it returns is safe to allocate for.
func (r *reader) count(field string, minSize int) int {
	n := r.u32(field)
	if most := len(r.p) / minSize; r.err == nil && int64(n) > int64(most) {
		r.err = Errorf(CodeInvalidRequest, "%s: %s: %d elements, want at most the %d that %d bytes can hold", r.kind, field, n, most, len(r.p))
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// configCount is count for an array that may have at most MaxConfigs elements.
func (r *reader) configCount(field string, minSize int) int {
	n := r.count(field, minSize)
	if n > MaxConfigs {
		r.err = Errorf(CodeInvalidRequest, "%s: %s: %d elements, want at most %d", r.kind, field, n, MaxConfigs)
		return 0
	}
	return n
}

// id reads the 16 bytes of a topic id.
func (r *reader) id(field string) (id [16]byte) {
	copy(id[:], r.take(field, len(id)))
	return id
}
