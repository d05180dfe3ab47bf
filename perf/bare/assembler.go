package bare

import (
	"math/bits"

	"github.com/rollway/rollway/wire"
)

// maxFramePayload is what a loop takes: as much as the receive buffer of a Sink
// has room for.
const maxFramePayload = receiveBytes - wire.HeadSize

// assembler cuts what a connection receives, in pieces that it does not choose,
// into frames. A frame that lies within a piece is not copied.
type assembler struct {
	scratch *scratch
	partial []byte // a frame that has begun
	need    int    // how long it must be for the next step; 0: none has begun
}

// missing is where the next bytes of a frame that has begun can be received
// into, nil if none has: say by extend how many were.
func (a *assembler) missing() []byte { return a.partial[len(a.partial):a.need] }

func (a *assembler) extend(n int) { a.partial = a.partial[:len(a.partial)+n] }

// feed calls f for each frame that p completes, after what extend has added.
// Frames point into p or into scratch memory; both must stay until scratch is
// reset.
func (a *assembler) feed(p []byte, f func(wire.Frame) error) error {
	for {
		from := p
		if a.need > 0 {
			n := min(len(p), a.need-len(a.partial))
			a.partial = append(a.partial, p[:n]...)
			p = p[n:]
			if len(a.partial) < a.need {
				return nil
			}
			from = a.partial
		}
		frame, rest, err := wire.Split(from, maxFramePayload)
		switch {
		case err == wire.ErrIncomplete && len(from) == 0:
			return nil
		case err == wire.ErrIncomplete:
			if a.need == 0 {
				p = nil
			}
			a.begin(from, frame.Size())
			continue
		case err != nil:
			return err
		case a.need > 0:
			a.scratch.giveAtReset(a.partial)
			a.partial, a.need = nil, 0
		default:
			p = rest
		}
		if err := f(frame); err != nil {
			return err
		}
	}
}

// begin keeps what there is of a frame: its head, or a piece of it, or more.
func (a *assembler) begin(have []byte, need int) {
	partial := append(a.scratch.take(need), have...)
	if a.need > 0 {
		a.scratch.give(a.partial)
	}
	a.partial, a.need = partial, need
}

// drop gives up a frame that will never be complete.
func (a *assembler) drop() {
	if a.need > 0 {
		a.scratch.give(a.partial)
		a.partial, a.need = nil, 0
	}
}

// scratch is memory that is used again, for the frames of all connections of a
// loop.
type scratch struct {
	free    [64][][]byte // by the logarithm of their capacity, a power of two
	settled [][]byte     // given at reset
}

// take returns an empty slice with a capacity of at least n, which is not 0.
func (s *scratch) take(n int) []byte {
	class := bits.Len(uint(n - 1))
	free := s.free[class]
	if len(free) == 0 {
		return make([]byte, 0, 1<<class)
	}
	s.free[class] = free[:len(free)-1]
	return free[len(free)-1]
}

// give takes back what take has returned.
func (s *scratch) give(p []byte) {
	class := bits.Len(uint(cap(p) - 1))
	s.free[class] = append(s.free[class], p[:0])
}

// giveAtReset takes it back as soon as reset is called.
func (s *scratch) giveAtReset(p []byte) { s.settled = append(s.settled, p) }

func (s *scratch) reset() {
	for _, p := range s.settled {
		s.give(p)
	}
	clear(s.settled)
	s.settled = s.settled[:0]
}
