package iouring

import (
	"fmt"
	"sync/atomic"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fakeRing is a Queue without a kernel. What was submitted stays in flight until
// the test completes it, in whatever order and with whatever result.
type fakeRing struct {
	t           testing.TB
	entries     int // room for pushed
	room        int // room for completions
	pushed      []SQE
	inFlight    []SQE
	completions []CQE
	waiting     []CQE // completions that found no room

	// submitted, if set, is called with each submission instead of keeping it in
	// flight.
	submitted func(SQE)
	// refuse, if set, tells whether Enter takes nothing this time, which the kernel
	// does only while there are completions to handle.
	refuse func() bool
	// work, if set, is called while Enter waits, to complete something. It returns
	// false when there is nothing that could be.
	work func() bool
}

func newFakeRing(t testing.TB, entries, room int) *fakeRing {
	f := &fakeRing{t: t, entries: entries, room: room}
	f.submitted = func(s SQE) { f.inFlight = append(f.inFlight, s) }
	return f
}

func (f *fakeRing) Push(s SQE) error {
	if len(f.pushed) == f.entries {
		return ErrFull
	}
	f.pushed = append(f.pushed, s)
	return nil
}

func (f *fakeRing) Enter(wait int) error {
	if len(f.completions) > 0 && f.refuse != nil && f.refuse() {
		return nil
	}
	pushed := f.pushed
	f.pushed = nil
	for _, s := range pushed {
		f.submitted(s)
	}
	n := min(len(f.waiting), f.room-len(f.completions))
	f.completions = append(f.completions, f.waiting[:n]...)
	f.waiting = f.waiting[n:]
	for len(f.completions) < wait {
		if f.work == nil || !f.work() {
			return fmt.Errorf("wait for %d completions with %d there and nothing that could complete: %d in flight", wait, len(f.completions), len(f.inFlight))
		}
	}
	return nil
}

func (f *fakeRing) Next() (CQE, bool) {
	if len(f.completions) == 0 {
		return CQE{}, false
	}
	c := f.completions[0]
	f.completions = f.completions[1:]
	return c, true
}

// post gives a completion, and tells whether there was room for it at once.
func (f *fakeRing) post(c CQE) bool {
	if len(f.completions) == f.room || len(f.waiting) > 0 {
		f.waiting = append(f.waiting, c)
		return false
	}
	f.completions = append(f.completions, c)
	return true
}

// find returns the place of the only operation in flight of that kind.
func (f *fakeRing) find(op Op) int {
	f.t.Helper()
	found := -1
	for i, s := range f.inFlight {
		if s.Op == op {
			if found >= 0 {
				f.t.Fatalf("several %vs in flight: %+v", op, f.inFlight)
			}
			found = i
		}
	}
	if found < 0 {
		f.t.Fatalf("no %v in flight: %+v", op, f.inFlight)
	}
	return found
}

// has tells whether an operation of that kind is in flight.
func (f *fakeRing) has(op Op) bool {
	for _, s := range f.inFlight {
		if s.Op == op {
			return true
		}
	}
	return false
}

// complete completes the only operation in flight of that kind.
func (f *fakeRing) complete(op Op, result int, flags CQEFlags) SQE {
	f.t.Helper()
	return f.completeAt(f.find(op), result, flags)
}

func (f *fakeRing) completeAt(i, result int, flags CQEFlags) SQE {
	s := f.inFlight[i]
	if flags&CQEMore == 0 {
		f.inFlight = append(f.inFlight[:i:i], f.inFlight[i+1:]...)
	}
	f.post(CQE{UserData: s.UserData, Result: int32(result), Flags: flags})
	return s
}

// errno is the result of a completion that failed.
func errno(e unix.Errno) int { return -int(e) }

// fakeKernelBuffers takes buffers from the memory of Buffers, as the kernel does.
type fakeKernelBuffers struct {
	buffers *Buffers
	head    uint16
}

// take fills the next buffer, and returns the flags of a completion that names it
// and how much it took; ok is false when there is none.
func (k *fakeKernelBuffers) take(p []byte) (flags CQEFlags, n int, ok bool) {
	b := k.buffers
	atomic.LoadUint32(b.tailAt)
	if k.head == b.ring[0].tail {
		return 0, 0, false
	}
	e := b.ring[k.head&b.mask]
	k.head++
	n = copy(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(b.memory)), uintptr(e.addr)-uintptr(unsafe.Pointer(unsafe.SliceData(b.memory))))), e.length), p)
	return CQEBuffer | CQEFlags(e.id)<<cqeBufferShift, n, true
}

// newTestBuffers returns buffers that are closed with the test.
func newTestBuffers(t testing.TB, count, size int) *Buffers {
	t.Helper()
	b, err := NewBuffers(BuffersOptions{Group: 3, Count: count, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}
