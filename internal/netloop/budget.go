package netloop

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"
	"time"
)

// minBudgetBytes holds one connection's buffer while it grows.
const minBudgetBytes = 1 << 20

// errNoMemory is the reason of a connection that waited in vain for a larger
// buffer.
var errNoMemory = errors.New("no room in the receive budget")

// Budget bounds the bytes of all receive buffers that are in use at one time,
// whatever the number of connections and Servers. Who asks for more waits, and
// is served in the order of asking, so that a large frame is not starved by
// small ones. It is safe for concurrent use.
type Budget struct {
	limit int64
	free  [65]sync.Pool // of *buffer, by the power of two of their size; not counted in used

	mu      sync.Mutex
	used    int64         // +checklocks:mu — Invariant: 0 <= used <= limit
	waiters []*budgetWait // +checklocks:mu — first asked first; none of them fits beside used
}

// budgetWait is one who waits for room.
type budgetWait struct {
	bytes   int64
	granted chan struct{} // closed, under Budget.mu, when bytes are added to used
}

// buffer is memory that a connection receives into.
type buffer struct {
	p []byte // a power of two of bytes
}

// processBudget returns the Budget of Servers that name none.
var processBudget = sync.OnceValue(func() *Budget {
	b, err := NewBudget(256 << 20)
	if err != nil {
		panic(err)
	}
	return b
})

// NewBudget returns a Budget of limit bytes, at least 1 MiB.
func NewBudget(limit int64) (*Budget, error) {
	if limit < minBudgetBytes {
		return nil, fmt.Errorf("netloop: budget of %d bytes, want at least %d", limit, minBudgetBytes)
	}
	return &Budget{limit: limit}, nil
}

// Limit returns the most bytes that are in use at one time.
func (b *Budget) Limit() int64 { return b.limit }

// InUse returns the bytes of the buffers in use.
func (b *Budget) InUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.used
}

// Waiting returns how many connections wait for room.
func (b *Budget) Waiting() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiters)
}

// maxBuffer returns the size of the largest buffer there is: the largest power
// of two of at most half the limit, so that the buffer that it grew from fits
// beside it.
func (b *Budget) maxBuffer() int { return 1 << (bits.Len64(uint64(b.limit/2)) - 1) }

// bufferSize returns the size of the smallest buffer that holds n bytes.
func bufferSize(n int) int { return 1 << bits.Len(uint(n-1)) }

// try returns a buffer of size bytes, a power of two, or nil when there is no
// room or somebody waits for some.
func (b *Budget) try(size int) *buffer {
	b.mu.Lock()
	ok := len(b.waiters) == 0 && b.used+int64(size) <= b.limit
	if ok {
		b.used += int64(size)
	}
	b.mu.Unlock()
	if !ok {
		return nil
	}
	return b.buffer(size)
}

// get is try, but waits for room: until stop is closed, which is nil and no
// error, or for at most timeout unless that is 0, which is errNoMemory.
func (b *Budget) get(size int, stop <-chan struct{}, timeout time.Duration) (*buffer, error) {
	b.mu.Lock()
	if len(b.waiters) == 0 && b.used+int64(size) <= b.limit {
		b.used += int64(size)
		b.mu.Unlock()
		return b.buffer(size), nil
	}
	w := &budgetWait{bytes: int64(size), granted: make(chan struct{})}
	b.waiters = append(b.waiters, w)
	b.mu.Unlock()

	var expired <-chan time.Time
	if timeout > 0 {
		t := time.NewTimer(timeout)
		defer t.Stop()
		expired = t.C
	}
	var err error
	select {
	case <-w.granted:
		return b.buffer(size), nil
	case <-stop:
	case <-expired:
		err = fmt.Errorf("%w of %d bytes for a buffer of %d within %v", errNoMemory, b.limit, size, timeout)
	}
	b.leave(w)
	return nil, err
}

// leave ends the wait of w, which gave up and may have been granted meanwhile.
func (b *Budget) leave(w *budgetWait) {
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.granted:
		b.used -= w.bytes
	default:
		for i, other := range b.waiters {
			if other == w {
				b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
				break
			}
		}
	}
	b.grant()
}

// put takes back a buffer.
func (b *Budget) put(f *buffer) { b.exchange(f, 0) }

// shrink returns a buffer of size bytes, no more than f has, that holds p, and
// takes back f, of which p may be a part. It never waits and never fails.
func (b *Budget) shrink(f *buffer, size int, p []byte) *buffer {
	small := b.buffer(size)
	copy(small.p, p)
	b.exchange(f, size)
	return small
}

// exchange takes back f, of whose bytes keep stay counted.
func (b *Budget) exchange(f *buffer, keep int) {
	size := len(f.p)
	b.free[bits.Len(uint(size))].Put(f)
	b.mu.Lock()
	b.used -= int64(size - keep)
	b.grant()
	b.mu.Unlock()
}

// grant gives room to those who wait, in order, for as long as there is some.
//
// +checklocks:b.mu
func (b *Budget) grant() {
	n := 0
	for n < len(b.waiters) && b.used+b.waiters[n].bytes <= b.limit {
		b.used += b.waiters[n].bytes
		close(b.waiters[n].granted)
		n++
	}
	if n > 0 {
		rest := copy(b.waiters, b.waiters[n:])
		clear(b.waiters[rest:])
		b.waiters = b.waiters[:rest]
	}
}

// buffer returns memory for size bytes that are counted already.
func (b *Budget) buffer(size int) *buffer {
	if f, ok := b.free[bits.Len(uint(size))].Get().(*buffer); ok {
		return f
	}
	return &buffer{p: make([]byte, size)}
}
