package iouring

import (
	"errors"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/invariant"
)

// Options describe a ring. The zero value works.
type Options struct {
	// Entries is how many submissions can be pushed between two Enters, rounded
	// up to a power of two. Default 256, at most 32,768.
	Entries int

	// Completions is how many completions can be there, rounded up to a power of
	// two; what finds no room waits in the kernel, at a cost, and ends multishot
	// operations. Default 4 for each entry, at least one, at most 65,536.
	Completions int

	// AnyThread allows Enter on any thread, one at a time, without what the kernel
	// saves with SINGLE_ISSUER and DEFER_TASKRUN. Default: only on the thread that
	// opens the ring, to which its goroutine must be locked (runtime.LockOSThread).
	AnyThread bool
}

// Validate returns an error that names the field that is out of range.
func (o Options) Validate() error {
	if o.Entries < 0 || o.Entries > maxSubmissionEntries {
		return fmt.Errorf("iouring: Options.Entries %d, want 0 (default 256) to %d", o.Entries, maxSubmissionEntries)
	}
	if o.Completions < 0 || o.Completions > maxCompletionsEntries {
		return fmt.Errorf("iouring: Options.Completions %d, want 0 (default 4 for each entry) to %d", o.Completions, maxCompletionsEntries)
	}
	if o.Completions > 0 && o.Completions < o.Entries {
		return fmt.Errorf("iouring: Options.Completions %d, want as many as the %d entries or more", o.Completions, o.Entries)
	}
	return nil
}

// Ring is one io_uring instance. It is for one goroutine, which unless
// Options.AnyThread is set is locked to the thread that opened the ring.
type Ring struct {
	fd       int
	flags    SetupFlags
	features Features
	mapped   []byte // both queues
	inFlight int    // Invariant: submissions pushed and not completed for the last time

	// Submissions: the kernel moves the head, we the tail. waits has a place
	// beside each entry for what a timeout points to, which the kernel reads when
	// it takes the entry.
	sqHead, sqTail *uint32
	sqMask         uint32
	entries        []kernelSQE
	waits          []kernelTimespec
	sqMapped       []byte // entries
	waitsMapped    []byte // waits

	// Completions: the kernel moves the tail, we the head.
	cqHead, cqTail *uint32
	cqLost         *uint32 // counts completions that the kernel could not keep
	cqMask         uint32
	completions    []CQE
}

var _ Queue = (*Ring)(nil)

// Open sets a ring up the best way that the kernel takes. Close it on the same
// thread. Every error that says that there can be no ring wraps ErrUnavailable.
func Open(o Options) (*Ring, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	if o.Entries == 0 {
		o.Entries = 256
		if o.Completions > 0 {
			o.Entries = min(o.Entries, o.Completions)
		}
	}
	if o.Completions == 0 {
		o.Completions = min(4*o.Entries, maxCompletionsEntries)
	}
	ways := setupWays
	if o.AnyThread {
		ways = ways[2:]
	}
	return open(o, ways)
}

func open(o Options, ways []SetupFlags) (*Ring, error) {
	fd, p, err := setup(o.Entries, o.Completions, ways)
	if err != nil {
		return nil, err
	}
	r := &Ring{fd: fd, flags: p.flags, features: p.features}
	if missing := needed &^ p.features; missing != 0 {
		err = &UnavailableError{Op: "io_uring_setup", Cause: fmt.Sprintf("a ring without the features %#x: likely a kernel before 5.7", uint32(missing))}
	} else {
		err = r.mapQueues(&p)
	}
	if err != nil {
		r.unmap()
		unix.Close(fd)
		return nil, err
	}
	return r, nil
}

// mapQueues maps what the kernel shares: mmap(2) at the offsets of
// io_uring_setup(2).
func (r *Ring) mapQueues(p *setupParams) (err error) {
	size := max(int(p.sq.array+4*p.sqEntries), int(p.cq.entry+p.cqEntries*uint32(unsafe.Sizeof(CQE{}))))
	if r.mapped, err = r.mapAt(offsetRings, size); err != nil {
		return err
	}
	if r.sqMapped, err = r.mapAt(offsetEntries, int(p.sqEntries)*int(unsafe.Sizeof(kernelSQE{}))); err != nil {
		return err
	}
	if r.waitsMapped, err = Allocate(int(p.sqEntries) * int(unsafe.Sizeof(kernelTimespec{}))); err != nil {
		return err
	}
	word := func(offset uint32) *uint32 { return (*uint32)(unsafe.Pointer(&r.mapped[offset])) }
	r.sqHead, r.sqTail, r.sqMask = word(p.sq.head), word(p.sq.tail), *word(p.sq.mask)
	r.entries = unsafe.Slice((*kernelSQE)(unsafe.Pointer(&r.sqMapped[0])), p.sqEntries)
	r.waits = unsafe.Slice((*kernelTimespec)(unsafe.Pointer(&r.waitsMapped[0])), p.sqEntries)
	// The array says which entry is the next: always the one in the same place.
	array := unsafe.Slice(word(p.sq.array), p.sqEntries)
	for i := range array {
		array[i] = uint32(i)
	}
	r.cqHead, r.cqTail, r.cqLost, r.cqMask = word(p.cq.head), word(p.cq.tail), word(p.cq.overflow), *word(p.cq.mask)
	r.completions = unsafe.Slice((*CQE)(unsafe.Pointer(&r.mapped[p.cq.entry])), p.cqEntries)
	return nil
}

func (r *Ring) mapAt(offset int64, size int) ([]byte, error) {
	p, err := unix.Mmap(r.fd, offset, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("mmap %d bytes of a ring at %#x: %w", size, offset, err)
	}
	return p, nil
}

func (r *Ring) unmap() {
	for _, p := range [][]byte{r.mapped, r.sqMapped, r.waitsMapped} {
		if p != nil {
			unix.Munmap(p) // what mmap returned can be unmapped
		}
	}
}

// Flags returns how the ring was set up.
func (r *Ring) Flags() SetupFlags { return r.flags }

// Features returns what the kernel says of itself.
func (r *Ring) Features() Features { return r.features }

// Entries returns the length of the submission queue.
func (r *Ring) Entries() int { return len(r.entries) }

// InFlight returns how many submissions have not completed for the last time,
// those that were not yet submitted among them.
func (r *Ring) InFlight() int { return r.inFlight }

// Push queues a submission for the next Enter. From here on its buffer is the
// kernel's. It returns ErrFull, and nothing else, when the queue is full.
func (r *Ring) Push(s SQE) error {
	tail := *r.sqTail // ours: nobody else writes it
	if tail-atomic.LoadUint32(r.sqHead) == uint32(len(r.entries)) {
		return ErrFull
	}
	i := tail & r.sqMask
	e := &r.entries[i]
	*e = kernelSQE{
		op: s.Op, flags: s.Flags, ioprio: s.Priority, fd: int32(s.FD), offset: s.Offset,
		length: uint32(len(s.Buffer)), opFlags: s.OpFlags, userData: s.UserData, group: s.Group,
	}
	switch s.Op {
	case OpTimeout:
		r.waits[i] = kernelTimespec{int64(s.Wait / 1e9), int64(s.Wait % 1e9)}
		e.addr, e.length = uint64(uintptr(unsafe.Pointer(&r.waits[i]))), 1
	case OpCancel:
		e.addr = s.Target
	default:
		e.addr = uint64(uintptr(unsafe.Pointer(unsafe.SliceData(s.Buffer))))
	}
	r.inFlight++
	// The entry must be there before the tail says so: a store is not moved before
	// an atomic one that follows it.
	atomic.StoreUint32(r.sqTail, tail+1)
	return nil
}

// Enter submits what was pushed and returns when at least wait completions are
// there; 0 does not wait, but has the kernel show those that it holds back. It
// first looks without sleeping.
//
// Errors: one that wraps unix.EAGAIN or unix.EBUSY when the kernel has no memory
// for more submissions and there is no completion whose handling would give it
// some; then, and when it returns nil before all is submitted because there is
// one, the rest stays queued. ErrLost. Any other errno says that the ring is used
// wrongly, on another thread for example, and is for good.
func (r *Ring) Enter(wait int) error {
	if wait > len(r.completions) {
		return fmt.Errorf("iouring: wait for %d completions, want at most the %d that there is room for", wait, len(r.completions))
	}
	for sleep := uint32(0); ; {
		submit := *r.sqTail - atomic.LoadUint32(r.sqHead)
		taken, errno := ioUringEnter(r.fd, submit, sleep)
		switch errno {
		case 0, unix.EINTR: // a signal, before anything was submitted
		case unix.EAGAIN, unix.EBUSY:
			// No memory for a submission, or completions wait for room: with those
			// that are there handled, there may be some.
			if r.Ready() > 0 {
				return nil
			}
			return fmt.Errorf("io_uring_enter %d submissions: %w", submit, errno)
		case unix.EBADR: // since 5.19, once for each time that some were lost
			return ErrLost
		case unix.EEXIST:
			return fmt.Errorf("io_uring_enter: %w; the ring is for the thread that opened it: lock the goroutine to its thread before Open", errno)
		default:
			return fmt.Errorf("io_uring_enter %d submissions: %w", submit, errno)
		}
		if atomic.LoadUint32(r.cqLost) != 0 {
			return ErrLost
		}
		switch {
		case errno == 0 && taken == 0 && submit > 0:
			return fmt.Errorf("io_uring_enter %d submissions: none taken", submit)
		case errno == 0 && uint32(taken) < submit:
			// One was invalid; its completion says so. The rest is still to go.
		case r.Ready() >= wait:
			return nil
		default:
			sleep = uint32(wait)
		}
	}
}

// Ready returns how many completions Next has.
func (r *Ring) Ready() int { return int(atomic.LoadUint32(r.cqTail) - *r.cqHead) }

// Next takes the next completion that is there. Those that the kernel holds back,
// which with DEFER_TASKRUN are all that came since the last Enter, it does not
// see.
func (r *Ring) Next() (CQE, bool) {
	head := *r.cqHead // ours: nobody else writes it
	if head == atomic.LoadUint32(r.cqTail) {
		return CQE{}, false
	}
	c := r.completions[head&r.cqMask]
	// The kernel may overwrite the entry as soon as the head has passed it: a load
	// is not moved behind an atomic store that follows it.
	atomic.StoreUint32(r.cqHead, head+1)
	if !c.More() {
		invariant.Check(r.inFlight > 0, "completion %+v, want none with nothing in flight", c)
		r.inFlight--
	}
	return c, true
}

// closeData is the UserData of what Close submits. It may be that of others too:
// Close discards them all.
const closeData = 1<<64 - 1

// Close cancels what is in flight, waits until all of it has completed, and
// closes the ring. Reads and writes of files cannot be cancelled: it waits for
// the disk. It is for the thread that opened the ring.
//
// It discards completions, and with them descriptors of connections that were
// just accepted: cancel those yourself, and close what came. An error that wraps
// ErrInFlight leaves everything as it is.
func (r *Ring) Close() error {
	for cancelled := false; r.inFlight > 0; {
		if !cancelled {
			cancelled = r.Push(CancelAll().With(closeData)) == nil
		}
		if err := r.Enter(1); err != nil {
			return fmt.Errorf("%w: %d: %w", ErrInFlight, r.inFlight, err)
		}
		for c, ok := r.Next(); ok; c, ok = r.Next() {
			if c.UserData == closeData && errors.Is(c.Err(), unix.EINVAL) {
				return fmt.Errorf("%w: %d: cancel all: %w", ErrInFlight, r.inFlight, c.Err())
			}
		}
	}
	r.unmap()
	if err := unix.Close(r.fd); err != nil {
		return fmt.Errorf("close ring: %w", err)
	}
	return nil
}
