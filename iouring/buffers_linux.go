package iouring

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Buffers are provided buffers: a group from which the kernel takes one when a
// receive has something to put there, so that a connection that waits holds
// none. See io_uring_register_buf_ring(3). They are for one ring and goroutine.
//
// A buffer is the kernel's until a completion names it (CQE.BufferID), then the
// program's from Take to GiveBack.
type Buffers struct {
	group uint16
	size  int // of one
	mask  uint16

	memory  []byte
	mapped  []byte         // ring
	ring    []kernelBuffer // what the kernel takes next, from a head that only it knows
	tail    uint16
	taken   []bool // by id. Invariant: true between Take and GiveBack
	free    int    // Invariant: how many are not taken
	ringFD  int    // -1: not registered
	tailAt  *uint32
	firstID uint16 // what the other half of the word at tailAt holds
}

// BuffersOptions describe Buffers.
type BuffersOptions struct {
	Group uint16 // its number on the ring
	Count int    // a power of two, at most 32,768
	Size  int    // bytes of one
}

// Validate returns an error that names the field that is out of range.
func (o BuffersOptions) Validate() error {
	if o.Count < 1 || o.Count > maxBufferRingEntries || o.Count&(o.Count-1) != 0 {
		return fmt.Errorf("iouring: BuffersOptions.Count %d, want a power of two, at most %d", o.Count, maxBufferRingEntries)
	}
	if o.Size < 1 || o.Size > 1<<30 {
		return fmt.Errorf("iouring: BuffersOptions.Size %d, want 1 to 1 GiB", o.Size)
	}
	return nil
}

// NewBuffers makes the buffers, all of them the kernel's as soon as they are
// registered.
func NewBuffers(o BuffersOptions) (*Buffers, error) {
	if err := o.Validate(); err != nil {
		return nil, err
	}
	b := &Buffers{group: o.Group, size: o.Size, mask: uint16(o.Count - 1), taken: make([]bool, o.Count), free: o.Count, ringFD: -1}
	var err error
	if b.memory, err = Allocate(o.Count * o.Size); err != nil {
		return nil, err
	}
	if b.mapped, err = Allocate(o.Count * int(unsafe.Sizeof(kernelBuffer{}))); err != nil {
		Free(b.memory) // the first error tells more
		return nil, err
	}
	b.ring = unsafe.Slice((*kernelBuffer)(unsafe.Pointer(&b.mapped[0])), o.Count)
	b.tailAt = (*uint32)(unsafe.Pointer(&b.mapped[bufferRingTailOffset]))
	for id := range o.Count {
		b.offer(uint16(id))
	}
	return b, nil
}

// Register makes the buffers known to a ring. Since Linux 5.19; on an older
// kernel the error wraps ErrUnavailable.
func (b *Buffers) Register(r *Ring) error {
	arg := bufferRegistration{
		addr: uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b.mapped)))), entries: uint32(len(b.ring)), group: b.group,
	}
	switch errno := ioUringRegister(r.fd, registerBufferRing, unsafe.Pointer(&arg), 1); errno {
	case 0:
		b.ringFD = r.fd
		return nil
	case unix.EINVAL:
		return &UnavailableError{Op: "io_uring_register buffer ring", Err: errno, Cause: "likely a kernel before 5.19"}
	case unix.EEXIST:
		return fmt.Errorf("io_uring_register buffer ring: %w; group %d is there already", errno, b.group)
	default: // ENOMEM above all
		return fmt.Errorf("io_uring_register buffer ring of %d buffers: %w", len(b.ring), errno)
	}
}

// Close gives up the buffers. Nothing that takes from them may be in flight, and
// the ring must still be open if they were registered.
func (b *Buffers) Close() error {
	if b.ringFD >= 0 {
		arg := bufferRegistration{group: b.group}
		if errno := ioUringRegister(b.ringFD, unregisterBufferRing, unsafe.Pointer(&arg), 1); errno != 0 {
			return fmt.Errorf("io_uring_register: take back buffer ring: %w", errno) // the memory may still be the kernel's
		}
		b.ringFD = -1
	}
	err := Free(b.memory)
	if e := Free(b.mapped); err == nil {
		err = e
	}
	b.memory, b.mapped, b.ring = nil, nil, nil
	return err
}

// Group returns the number of the group.
func (b *Buffers) Group() uint16 { return b.group }

// Count returns how many buffers there are.
func (b *Buffers) Count() int { return len(b.taken) }

// Size returns the bytes of one.
func (b *Buffers) Size() int { return b.size }

// Free returns how many buffers are not taken. The kernel may have filled some
// of them already.
func (b *Buffers) Free() int { return b.free }

// Buffer is one that the kernel has filled.
type Buffer struct {
	ID    uint16
	Bytes []byte // what was received
}

// Take returns the buffer that a completion names; ok is false if it names none.
// Take it also if the completion is not wanted, or the buffer is lost.
//
// It panics on a completion that no kernel gives: of a buffer that is taken
// already, or with more bytes than that has room for. Whoever goes on writes over
// memory that somebody else uses.
func (b *Buffers) Take(c CQE) (buffer Buffer, ok bool) {
	id, ok := c.BufferID()
	if !ok {
		return Buffer{}, false
	}
	if int(id) >= len(b.taken) || b.taken[id] || int(c.Result) > b.size {
		panic(fmt.Sprintf("iouring: completion %+v with buffer %d, want one of the %d that is not taken, of at most %d bytes", c, id, len(b.taken), b.size))
	}
	b.taken[id] = true
	b.free--
	start := int(id) * b.size
	return Buffer{ID: id, Bytes: b.memory[start : start+int(max(c.Result, 0)) : start+b.size]}, true
}

// GiveBack makes a buffer the kernel's again, which may fill it at once. It
// panics if the buffer was not taken: two receives would get it.
func (b *Buffers) GiveBack(buffer Buffer) {
	if !b.taken[buffer.ID] {
		panic(fmt.Sprintf("iouring: buffer %d given back twice", buffer.ID))
	}
	b.taken[buffer.ID] = false
	b.free++
	b.offer(buffer.ID)
}

// offer puts a buffer behind those that the kernel has.
func (b *Buffers) offer(id uint16) {
	i := b.tail & b.mask
	e := &b.ring[i]
	e.addr = uint64(uintptr(unsafe.Pointer(&b.memory[int(id)*b.size])))
	e.length = uint32(b.size)
	if i == 0 {
		// Its last bytes are the tail, which the kernel reads.
		b.firstID = id
	} else {
		e.id = id
	}
	b.tail++
	// The entry must be there before the tail says so. There is no atomic store of
	// 16 bits: the tail is stored together with what lies before it in its word,
	// the id of the first entry.
	var word [4]byte
	binary.NativeEndian.PutUint16(word[0:], b.firstID)
	binary.NativeEndian.PutUint16(word[2:], b.tail)
	atomic.StoreUint32(b.tailAt, binary.NativeEndian.Uint32(word[:]))
}
