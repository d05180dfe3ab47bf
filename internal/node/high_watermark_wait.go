package node

import (
	"sync/atomic"

	"github.com/rollway/rollway/engine"
)

// HighWatermarkWait wakes a netloop.Deferred when the high watermark of a
// partition has moved. Its memory may be used again after Forget. It belongs to
// one session; the zero value is ready.
type HighWatermarkWait struct {
	partition *engine.Partition
	waiter    engine.Waiter
	armed     atomic.Bool // the waiter is in the partition's list
	wake      func()      // Invariant: written only while not armed
}

// Reset prepares w for a partition. It must not be armed.
func (w *HighWatermarkWait) Reset(p *engine.Partition) {
	w.partition = p
	if w.waiter.Notify == nil {
		w.waiter.Notify = w.notify // bound once: one made per wait would be allocated
	}
}

// Armed tells whether a wake is still to come.
func (w *HighWatermarkWait) Armed() bool { return w.armed.Load() }

// notify is called by the engine, once for each time that w was armed.
func (w *HighWatermarkWait) notify() {
	// Once armed is false the memory may have another user, whom a wake too
	// many does not harm.
	wake := w.wake
	w.armed.Store(false)
	wake()
}

// Await has wake called when the high watermark has reached at. It is false if
// it has already, or if the partition has stopped. A w that is armed stays so
// and waits for the offset that it was armed for.
func (w *HighWatermarkWait) Await(at engine.Offset, wake func()) bool {
	if w.armed.Load() {
		return true
	}
	w.wake = wake
	w.armed.Store(true)
	if w.partition.Await(&w.waiter, at) {
		return true
	}
	w.armed.Store(false)
	return false
}

// Forget disarms w and drops the partition.
func (w *HighWatermarkWait) Forget() {
	if w.armed.Load() {
		w.partition.Forget(&w.waiter)
		w.armed.Store(false)
	}
	w.partition = nil
}
