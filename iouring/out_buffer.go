package iouring

import "github.com/rollway/rollway/internal/invariant"

// leastOut is the memory that a stream begins with: one page holds the answers of
// a turn of most peers.
const leastOut = 4 << 10

// outBuffer is what is to be sent to a peer: one piece, which is the kernel's
// while a send is in flight, and one behind it that grows meanwhile. Both lie
// outside the Go heap.
type outBuffer struct {
	current []byte // memory
	start   int    // of what has not left
	end     int
	flying  bool // current is the kernel's

	later    []byte // memory
	laterLen int
}

// len returns how many bytes have not left.
func (b *outBuffer) len() int { return b.end - b.start + b.laterLen }

// append adds a copy of p.
func (b *outBuffer) append(p []byte) error {
	if !b.flying && b.laterLen == 0 {
		if b.start == b.end {
			b.start, b.end = 0, 0
		}
		if err := grow(&b.current, b.end, len(p)); err != nil {
			return err
		}
		b.end += copy(b.current[b.end:], p)
		return nil
	}
	if err := grow(&b.later, b.laterLen, len(p)); err != nil {
		return err
	}
	b.laterLen += copy(b.later[b.laterLen:], p)
	return nil
}

// grow makes room for n bytes behind the first used ones of memory.
func grow(memory *[]byte, used, n int) error {
	if used+n <= len(*memory) {
		return nil
	}
	size := max(leastOut, 2*len(*memory))
	for size < used+n {
		size *= 2
	}
	larger, err := Allocate(size)
	if err != nil {
		return err
	}
	copy(larger, (*memory)[:used])
	if *memory != nil {
		if err := Free(*memory); err != nil {
			return err
		}
	}
	*memory = larger
	return nil
}

// next returns what is to be sent next, all that can be at once. It is the
// kernel's until sent is called. There must be something.
func (b *outBuffer) next() []byte {
	invariant.Check(!b.flying && b.len() > 0, "next of %d bytes to send, in flight: %v", b.len(), b.flying)
	if b.start == b.end {
		b.current, b.later = b.later, b.current
		b.start, b.end, b.laterLen = 0, b.laterLen, 0
	}
	b.flying = true
	return b.current[b.start:b.end]
}

// sent says that the kernel has taken n bytes of what next returned, and no
// longer uses the rest.
func (b *outBuffer) sent(n int) {
	invariant.Check(b.flying && n <= b.end-b.start, "%d bytes sent of %d, in flight: %v", n, b.end-b.start, b.flying)
	b.flying = false
	b.start += n
}

// free gives the memory back. Nothing may be in flight.
func (b *outBuffer) free() {
	invariant.Check(!b.flying, "memory freed that is in flight")
	for _, p := range [][]byte{b.current, b.later} {
		if p != nil {
			Free(p) // what Allocate returned can be unmapped
		}
	}
	*b = outBuffer{}
}
