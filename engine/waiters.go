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

	at   Offset
	slot int // its place in the list of the partition it waits for, from 1 on; 0 is none
}

// waiters are those of one partition.
type waiters struct {
	mu   sync.Mutex
	list []*Waiter // Invariant: list[i].slot == i+1
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
	w.slot = len(l.list)
	return true
}

// remove forgets w, if it waits: the last takes its place, so that thousands who
// give up at once do not search for themselves.
func (l *waiters) remove(w *Waiter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.slot == 0 {
		return
	}
	end := len(l.list) - 1
	last := l.list[end]
	l.list[w.slot-1], last.slot = last, w.slot
	l.list[end] = nil
	l.list = l.list[:end]
	w.slot = 0
}

// wake notifies all that wait for an offset up to end, in no order.
func (l *waiters) wake(end Offset) {
	l.mu.Lock()
	defer l.mu.Unlock()
	kept := l.list[:0]
	for _, w := range l.list {
		if w.at > end {
			kept = append(kept, w)
			w.slot = len(kept)
			continue
		}
		w.slot = 0 // before its memory may be used again
		w.Notify()
	}
	clear(l.list[len(kept):])
	l.list = kept
}
