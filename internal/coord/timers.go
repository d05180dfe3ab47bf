package coord

import (
	"container/heap"
	"time"
)

// timers are those of all groups of a coordinator: a heap by when each is to be
// looked at. A timer that is put off, as each heartbeat does with one, stays
// where it is and is put off when its turn comes, so that a heartbeat does not
// touch the heap.
type timers struct {
	heap timerHeap
	made uint64 // timers that were put into the heap, for the order of those of one time
}

// timer calls its owner once, when its time has come. The zero value with an
// owner is stopped.
type timer struct {
	owner expirer
	at    time.Time // when it is due; zero: stopped

	// Its place in the heap. Invariant: at is zero or not before looked.
	looked time.Time
	order  uint64
	index  int // 1 and up; 0: not in the heap
}

// expirer is what has a timer.
type expirer interface {
	expire(c *Coordinator, now time.Time)
}

// set starts t, or changes when it is due.
func (ts *timers) set(t *timer, at time.Time) {
	t.at = at
	switch {
	case t.index == 0:
		t.looked, t.order = at, ts.made
		ts.made++
		heap.Push(&ts.heap, t)
	case at.Before(t.looked):
		t.looked = at
		heap.Fix(&ts.heap, t.index-1)
	}
}

// stop ends t. It leaves the heap at once, so that what is gone is not kept.
func (ts *timers) stop(t *timer) {
	t.at = time.Time{}
	if t.index > 0 {
		heap.Remove(&ts.heap, t.index-1)
	}
}

// due removes and returns a timer that is due at now; nil if there is none.
func (ts *timers) due(now time.Time) *timer {
	for len(ts.heap) > 0 {
		t := ts.heap[0]
		if t.looked.After(now) {
			return nil
		}
		if t.at.After(now) { // was put off
			t.looked = t.at
			heap.Fix(&ts.heap, 0)
			continue
		}
		ts.stop(t)
		return t
	}
	return nil
}

// next returns when due is to be called again; zero: there is nothing to wait
// for.
func (ts *timers) next() time.Time {
	if len(ts.heap) == 0 {
		return time.Time{}
	}
	return ts.heap[0].looked
}

// timerHeap implements heap.Interface.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }

func (h timerHeap) Less(i, j int) bool {
	if !h[i].looked.Equal(h[j].looked) {
		return h[i].looked.Before(h[j].looked)
	}
	return h[i].order < h[j].order
}

func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i+1, j+1
}

func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	*h = append(*h, t)
	t.index = len(*h)
}

func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = 0
	return t
}
