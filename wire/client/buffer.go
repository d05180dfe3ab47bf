package client

import "sync"

// Sizes of pooled buffers. A longer one is made when it is needed and left to
// the garbage collector.
const (
	smallBufferBytes = 64 << 10
	largeBufferBytes = 1 << 20 // the default of SubscribeOptions.MaxBytes
)

// buffer is pooled memory.
type buffer struct{ b []byte }

var (
	smallBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, smallBufferBytes)} }}
	largeBuffers = sync.Pool{New: func() any { return &buffer{make([]byte, largeBufferBytes)} }}
)

// newBuffer returns a buffer with len(b) == cap(b) >= n and any content.
func newBuffer(n int) *buffer {
	switch {
	case n <= smallBufferBytes:
		return smallBuffers.Get().(*buffer)
	case n <= largeBufferBytes:
		return largeBuffers.Get().(*buffer)
	}
	return &buffer{make([]byte, n)}
}

// free gives the buffer back; nobody may use its memory after that.
func (b *buffer) free() {
	b.b = b.b[:cap(b.b)]
	switch len(b.b) {
	case smallBufferBytes:
		smallBuffers.Put(b)
	case largeBufferBytes:
		largeBuffers.Put(b)
	}
}
