package zerocopy

import (
	"os"

	"github.com/rollway/rollway/internal/invariant"
)

// Releaser is told when a Range is no longer needed. The owner of the file
// counts its readers by it.
type Releaser interface{ Release() }

// Range is Len bytes of File from byte Position on, on their way to a socket.
// It is the currency between who owns files and who owns sockets.
//
// Whoever holds a Range may rely on two promises of who made it: until Close,
// File stays open, and its bytes [Position, Position+Len) exist and are never
// changed, because pages that the kernel accepted are read only when the peer
// takes them.
//
// A Range is moved, not shared: Close one copy, once the last byte has left,
// also after an error. It is not safe for concurrent use.
type Range struct {
	File     *os.File // nil after Close
	Position int64    // bytes from the start of File
	Len      int64    // bytes

	release Releaser // nil when nobody waits for it, and after Close
}

// NewRange returns the range of length bytes of f from position on, neither of
// them negative. Close calls r.Release, unless r is nil. It does not allocate
// when r holds a pointer.
func NewRange(f *os.File, position, length int64, r Releaser) Range {
	invariant.Check(position >= 0 && length >= 0, "range of %d bytes at position %d, want neither negative", length, position)
	return Range{File: f, Position: position, Len: length, release: r}
}

// Close gives the range back to its owner. Later calls do nothing.
func (r *Range) Close() {
	release := r.release
	r.File, r.release = nil, nil
	if release != nil {
		release.Release()
	}
}
