package generator

import (
	"math"
	"sync/atomic"
)

// window is what is measured: messages that are due from from on and before to. Both
// may be set while messages are sent: to is far away until the end is known.
type window struct {
	from, to atomic.Int64
}

func newWindow() *window {
	w := new(window)
	w.from.Store(math.MaxInt64)
	w.to.Store(math.MaxInt64)
	return w
}

// holds tells whether a message is measured.
func (w *window) holds(due int64) bool { return due >= w.from.Load() && due < w.to.Load() }
