package bare

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/iouring"
)

// RingOptions bound a RingLoop. The zero value works.
type RingOptions struct {
	// Buffers is how many buffers there are to receive into, for all connections
	// together; a power of two. They are free again when a turn has written what
	// they hold. Default 512.
	Buffers int

	// BufferBytes is the size of one. A frame that does not lie within one is
	// copied. Default 16 KiB.
	BufferBytes int
}

// RingLoop accepts connections on a free port of 127.0.0.1 and serves them by one
// thread and an io_uring instance: multishot accept and receive into provided
// buffers. What a wakeup brought is written out of these buffers by pwritev, and
// all answers leave with the call that waits for the next one.
type RingLoop struct {
	sink     *LoopSink
	addr     netip.AddrPort
	listener int
	ring     *iouring.Ring
	buffers  *iouring.Buffers
	streams  *iouring.Streams
	kept     []iouring.Buffer // of this turn
	stop     atomic.Bool
	failed   error // the first error of a connection
	done     chan struct{}
}

// ListenRing starts a RingLoop. Connections get the congestion control algorithm
// of that name. A sink is for one loop at a time. The error wraps
// iouring.ErrUnavailable where io_uring is not allowed.
func ListenRing(sink *LoopSink, congestion string, o RingOptions) (*RingLoop, error) {
	if o.Buffers == 0 {
		o.Buffers = 512
	}
	if o.BufferBytes == 0 {
		o.BufferBytes = 16 << 10
	}
	l := &RingLoop{sink: sink, done: make(chan struct{})}
	var err error
	if l.listener, l.addr, err = listen(congestion); err != nil {
		return nil, err
	}
	ready := make(chan error, 1)
	go l.run(o, ready)
	if err := <-ready; err != nil {
		<-l.done
		return nil, err
	}
	return l, nil
}

// Addr returns the address that is listened on.
func (l *RingLoop) Addr() netip.AddrPort { return l.addr }

// Close ends all connections and the thread and returns the first error that a
// connection had, unless that is that its peer has left.
func (l *RingLoop) Close() error {
	l.stop.Store(true)
	// It fails when the loop has ended by itself, for a reason that is told below.
	l.streams.Wake()
	<-l.done
	return l.failed
}

// run is the thread. It says on ready, once, whether there is a ring.
func (l *RingLoop) run(o RingOptions, ready chan<- error) {
	defer close(l.done)
	defer unix.Close(l.listener)
	// The ring is for one thread. It ends with this goroutine.
	runtime.LockOSThread()
	err := l.open(o)
	ready <- err
	if err == nil {
		l.keep(l.serve())
		l.keep(l.close())
	}
}

func (l *RingLoop) open(o RingOptions) (err error) {
	if l.ring, err = iouring.Open(iouring.Options{Entries: 512, Completions: 4096}); err != nil {
		return err
	}
	if l.buffers, err = iouring.NewBuffers(iouring.BuffersOptions{Count: o.Buffers, Size: o.BufferBytes}); err != nil {
		return errors.Join(err, l.ring.Close())
	}
	if err = l.buffers.Register(l.ring); err == nil {
		l.streams, err = iouring.NewStreams(l.ring, l.buffers, l, iouring.StreamsOptions{})
	}
	if err != nil {
		return errors.Join(err, l.buffers.Close(), l.ring.Close())
	}
	l.streams.Listen(l.listener)
	return nil
}

// close ends all connections. If that fails, something may be in flight, and its
// memory stays the kernel's.
func (l *RingLoop) close() error {
	if err := l.streams.Close(); err != nil {
		return err
	}
	return errors.Join(l.buffers.Close(), l.ring.Close())
}

func (l *RingLoop) serve() error {
	for !l.stop.Load() {
		if err := l.streams.Turn(true); err != nil {
			return err
		}
		if err := l.sink.turned(); err != nil {
			return err
		}
		for _, b := range l.kept {
			l.streams.GiveBack(b)
		}
		l.kept = l.kept[:0]
	}
	return nil
}

// Opened implements iouring.Handler.
func (l *RingLoop) Opened(s *iouring.Stream) {
	s.Value = &sinkConn{
		assembler: assembler{scratch: &l.sink.scratch},
		send: func(p []byte) {
			if err := s.Send(p); err != nil {
				s.End(err)
			}
		},
	}
}

// Received implements iouring.Handler: the buffer is kept until the turn is
// written.
func (l *RingLoop) Received(s *iouring.Stream, b iouring.Buffer) error {
	l.kept = append(l.kept, b)
	return l.sink.receive(s.Value.(*sinkConn), b.Bytes)
}

// Closed implements iouring.Handler.
func (l *RingLoop) Closed(s *iouring.Stream, err error) {
	s.Value.(*sinkConn).assembler.drop()
	l.keep(err)
}

// keep keeps err if it is the first one to tell.
func (l *RingLoop) keep(err error) {
	if l.failed == nil && err != nil && !left(err) && !errors.Is(err, os.ErrClosed) {
		l.failed = err
	}
}
