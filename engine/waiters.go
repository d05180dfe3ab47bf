package engine

import "sync"

// Waiter is one party that waits for a partition's high watermark. Its memory
// is the caller's: zero allocations for a wait. It may be used again after
// Notify was called or Forget returned.
type Waiter struct {
	// Notify is called once for each Await that returned true, from any
	// goroutine, when the high watermark has reached the offset, the partition
	// became ready or failed, or its topic was deleted. It must not block and
	// must not call into the engine; it may come while Forget runs.
	Notify func()

	at Offset
}

// waiters are those of one partition.
type waiters struct {
	mu   sync.Mutex
	list []*Waiter // in order of arrival, mostly that of their offsets too
}

// add arms w unless reached, which is called under the lock, says that there
// is nothing to wait for: whoever makes it true calls wake afterwards.
func (l *waiters) add(w *Waiter, at Offset, reached func(Offset) bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reached(at) {
		return false
	}
	w.at = at
	l.list = append(l.list, w)
	return true
}

func (l *waiters) remove(w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, other := range l.list {
		if other == w {
			l.list = append(l.list[:i], l.list[i+1:]...)
			return
		}
	}
}

// wake notifies all that wait for an offset up to end.
func (l *waiters) wake(end Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.list[:0]
	for _, w := range l.list {
		if w.at <= end {
			w.Notify()
		} else {
			kept = append(kept, w)
		}
	}
	clear(l.list[len(kept):])
	l.list = kept
}
