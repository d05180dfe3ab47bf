package iouring

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// recorder is a Handler that keeps what it was told, and answers if it is to.
type recorder struct {
	t       testing.TB
	streams *Streams

	keep  bool                // buffers
	echo  bool                // what was received
	reply func(*Stream) error // instead

	opened   []*Stream
	received map[*Stream][]byte // nil: is not kept
	kept     []Buffer
	closed   map[*Stream]error
}

func newRecorder(t testing.TB) *recorder {
	return &recorder{t: t, received: map[*Stream][]byte{}, closed: map[*Stream]error{}}
}

func (h *recorder) Opened(s *Stream) { h.opened = append(h.opened, s) }

func (h *recorder) Received(s *Stream, b Buffer) error {
	if len(b.Bytes) == 0 {
		h.t.Error("received no bytes")
	}
	if err, ok := h.closed[s]; ok {
		h.t.Errorf("received from a stream that was closed: %v", err)
	}
	if h.received != nil {
		h.received[s] = append(h.received[s], b.Bytes...)
	}
	var err error
	switch {
	case h.reply != nil:
		err = h.reply(s)
	case h.echo:
		err = s.Send(b.Bytes)
	}
	if h.keep {
		h.kept = append(h.kept, b)
	} else {
		h.streams.GiveBack(b)
	}
	return err
}

func (h *recorder) Closed(s *Stream, err error) {
	if _, ok := h.closed[s]; ok {
		h.t.Error("closed twice")
	}
	h.closed[s] = err
}

func (h *recorder) giveBack(n int) {
	for _, b := range h.kept[:n] {
		h.streams.GiveBack(b)
	}
	h.kept = h.kept[n:]
}

// errAny is any error that a stream may be closed with.
var errAny = errors.New("any error")

const (
	fakeListener = 1<<30 + iota // descriptors that nobody has
	fakeSocket
)

// streamsTest is Streams over a ring that completes what the test says.
type streamsTest struct {
	*testing.T
	ring    *fakeRing
	kernel  *fakeKernelBuffers
	buffers *Buffers
	handler *recorder
	streams *Streams
}

func newStreamsTest(t *testing.T, o StreamsOptions) *streamsTest {
	t.Helper()
	st := &streamsTest{T: t, ring: newFakeRing(t, 64, 64), buffers: newTestBuffers(t, 4, 10), handler: newRecorder(t)}
	st.kernel = &fakeKernelBuffers{buffers: st.buffers}
	var err error
	if st.streams, err = NewStreams(st.ring, st.buffers, st.handler, o); err != nil {
		t.Fatal(err)
	}
	st.handler.streams = st.streams
	t.Cleanup(func() { st.streams.wake.Close() }) // Close is a test of its own
	return st
}

// open makes a connection, so that only its receive and the wake are in flight.
func (st *streamsTest) open() *Stream {
	st.Helper()
	st.streams.Listen(fakeListener)
	st.turn()
	st.ring.complete(OpAccept, fakeSocket, CQEMore)
	st.turn()
	if len(st.handler.opened) != 1 || st.streams.Len() != 1 {
		st.Fatalf("%d streams opened, %d there; want 1", len(st.handler.opened), st.streams.Len())
	}
	st.turn() // submits the receive
	return st.handler.opened[0]
}

func (st *streamsTest) turn() {
	st.Helper()
	if err := st.streams.Turn(false); err != nil {
		st.Fatal(err)
	}
}

// arrive completes the receive with bytes.
func (st *streamsTest) arrive(text string, more CQEFlags) {
	st.Helper()
	flags, n, ok := st.kernel.take([]byte(text))
	if !ok || n != len(text) {
		st.Fatalf("no buffer for %q", text)
	}
	st.ring.complete(OpReceive, n, flags|more)
	st.turn()
}

// wantClosed completes the close, if the stream was not closed yet, and checks what the handler was told.
func (st *streamsTest) wantClosed(s *Stream, want error) {
	st.Helper()
	st.turn()
	if c := st.ring.complete(OpClose, 0, 0); c.FD != fakeSocket {
		st.Errorf("closed descriptor %d, want %d", c.FD, fakeSocket)
	}
	st.turn()
	if err, ok := st.handler.closed[s]; !ok || want != errAny && !errors.Is(err, want) {
		st.Errorf("closed %v with %v, want %v", ok, err, want)
	}
	if st.streams.Len() != 0 || st.buffers.Free() != st.buffers.Count() {
		st.Errorf("%d streams, %d of %d buffers free; want none and all", st.streams.Len(), st.buffers.Free(), st.buffers.Count())
	}
}

// A send that was short goes on where it ended; what was given meanwhile leaves
// behind it, by one send.
func TestShortSend(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	s := st.open()
	send := func(text string) {
		t.Helper()
		if err := s.Send([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	send("hello, ")
	send("world")
	st.turn()
	send("! And")
	st.turn()
	send(" more.")
	var left []byte
	for _, n := range []int{3, 1, 8, 0, 11} {
		sent := st.ring.inFlight[st.ring.find(OpSend)].Buffer
		if n == 0 {
			st.ring.complete(OpSend, errno(unix.EAGAIN), 0)
		} else {
			left = append(left, sent[:n]...)
			st.ring.complete(OpSend, n, 0)
		}
		st.turn()
		st.turn()
	}
	if string(left) != "hello, world! And more." || st.ring.has(OpSend) || s.Unsent() != 0 {
		t.Errorf("sent %q, %d bytes left, more in flight: %v", left, s.Unsent(), st.ring.has(OpSend))
	}
	send("x")
	st.turn()
	st.ring.complete(OpSend, 0, 0) // no error, and no progress
	st.turn()
	st.ring.complete(OpReceive, errno(unix.ECANCELED), 0)
	st.turn()
	st.ring.complete(OpCancel, 0, 0)
	st.turn()
	st.wantClosed(s, io.ErrNoProgress)
}

// A receive that has ended is submitted again, whatever its last completion was.
func TestReceiveEnds(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	s := st.open()
	again := func(after string) {
		t.Helper()
		st.turn()
		if !st.ring.has(OpReceive) {
			t.Errorf("no receive in flight after %s", after)
		}
	}
	st.arrive("one, ", CQEMore)
	st.arrive("two, ", 0) // the completion queue was full
	again("bytes without CQEMore")
	for _, e := range []unix.Errno{unix.EAGAIN, unix.EINTR, unix.ECANCELED} {
		st.ring.complete(OpReceive, errno(e), 0)
		st.turn()
		again(e.Error())
	}
	st.arrive("three.", CQEMore)
	if got := string(st.handler.received[s]); got != "one, two, three." {
		t.Errorf("received %q", got)
	}
	// The end of the stream, with a buffer that nothing is in.
	flags, _, _ := st.kernel.take(nil)
	st.ring.complete(OpReceive, 0, flags)
	st.turn()
	st.wantClosed(s, io.EOF)
}

// A receive that found no buffer is submitted again only when one was given back,
// and then by as many streams as there are buffers.
func TestNoBuffers(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	st.handler.keep = true
	s := st.open()
	for range 4 {
		st.arrive("x", CQEMore)
	}
	st.ring.complete(OpReceive, errno(unix.ENOBUFS), 0)
	for range 3 {
		st.turn()
		if st.ring.has(OpReceive) {
			t.Fatal("receive without a buffer")
		}
	}
	// A second stream, for which there is none either.
	st.ring.complete(OpAccept, fakeSocket+1, CQEMore)
	st.turn()
	st.turn()
	st.ring.complete(OpReceive, errno(unix.ENOBUFS), 0)
	st.turn()
	st.handler.giveBack(1)
	st.turn()
	if i := st.ring.find(OpReceive); st.ring.inFlight[i].FD != fakeSocket {
		t.Errorf("receive of %d, want the first one that waits", st.ring.inFlight[i].FD)
	}
	st.arrive("y", CQEMore)
	if got := string(st.handler.received[s]); got != "xxxxy" {
		t.Errorf("received %q", got)
	}
	// The other one was submitted too, as the buffer was not yet seen to be filled.
	for i, q := range st.ring.inFlight {
		if q.Op == OpReceive && q.FD == fakeSocket+1 {
			st.ring.completeAt(i, errno(unix.ENOBUFS), 0)
			break
		}
	}
	st.turn()
	if len(st.streams.starved) != 1 {
		t.Fatalf("%d starved, want the second stream", len(st.streams.starved))
	}
	// It ends while it waits, and is not resumed.
	st.handler.opened[1].End(io.ErrUnexpectedEOF)
	st.turn()
	st.ring.complete(OpClose, 0, 0)
	st.turn()
	st.handler.giveBack(4)
	st.turn()
	st.ring.find(OpReceive) // one, that of the first
	if st.streams.Len() != 1 || len(st.streams.starved) != 0 {
		t.Errorf("%d streams, %d starved; want 1 and none", st.streams.Len(), len(st.streams.starved))
	}
}

// Errors of either direction end the stream; the descriptor is closed when
// nothing is in flight any more, in whatever order that completes.
func TestStreamErrors(t *testing.T) {
	f := func(op Op, result int, want error, order ...Op) {
		t.Helper()
		st := newStreamsTest(t, StreamsOptions{})
		s := st.open()
		if err := s.Send([]byte("abc")); err != nil {
			t.Fatal(err)
		}
		st.turn()
		st.ring.complete(op, result, 0)
		st.turn()
		st.turn()
		for _, op := range order {
			if st.ring.has(OpClose) {
				t.Fatalf("closed with a %v in flight", op)
			}
			switch op {
			case OpCancel:
				st.ring.complete(OpCancel, 0, 0)
			default:
				// Bytes that are nobody's any more, after the cancel.
				flags, n, _ := st.kernel.take([]byte("late"))
				if op == OpReceive {
					st.ring.complete(OpReceive, n, flags|CQEMore)
					st.turn()
				}
				st.ring.complete(op, errno(unix.ECANCELED), 0)
			}
			st.turn()
			st.turn()
		}
		if n := len(st.handler.received[s]); n != 0 {
			t.Errorf("received %d bytes after the end", n)
		}
		st.buffers.free = st.buffers.Count() // the kernel of this test has some
		st.wantClosed(s, want)
	}
	f(OpReceive, errno(unix.ECONNRESET), unix.ECONNRESET, OpSend, OpCancel)
	f(OpReceive, errno(unix.ECONNRESET), unix.ECONNRESET, OpCancel, OpSend)
	f(OpSend, errno(unix.EPIPE), unix.EPIPE, OpReceive, OpCancel)
	f(OpSend, errno(unix.ECONNRESET), unix.ECONNRESET, OpCancel, OpReceive)
	f(OpSend, errno(unix.ETIMEDOUT), unix.ETIMEDOUT, OpCancel, OpReceive)
	f(OpReceive, 5, errAny, OpSend, OpCancel) // bytes, and no buffer
}

// A cancel that came too early is tried again.
func TestCancelAgain(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	s := st.open()
	s.End(io.ErrClosedPipe)
	st.turn()
	for range 3 {
		if c := st.ring.complete(OpCancel, errno(unix.EALREADY), 0); c.Target != s.data(dataReceive) {
			t.Errorf("cancel of %#x, want the receive", c.Target)
		}
		st.turn()
		st.turn()
	}
	st.ring.complete(OpReceive, errno(unix.ECANCELED), 0)
	st.turn()
	st.ring.complete(OpCancel, errno(unix.ENOENT), 0)
	st.turn()
	st.wantClosed(s, io.ErrClosedPipe)
}

// What a peer still has to be sent when it has no more to send is sent.
func TestSendAfterEnd(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	st.handler.echo = true
	s := st.open()
	st.arrive("abc", CQEMore)
	st.ring.complete(OpReceive, 0, 0)
	st.turn()
	st.turn()
	if st.ring.has(OpClose) {
		t.Fatal("closed before all was sent")
	}
	st.ring.complete(OpSend, 2, 0)
	st.turn()
	st.turn()
	if sent := st.ring.complete(OpSend, 1, 0); string(sent.Buffer) != "c" {
		t.Errorf("sent %q last, want c", sent.Buffer)
	}
	st.turn()
	st.wantClosed(s, io.EOF)
	if err := s.Send([]byte("more")); err != nil || st.ring.has(OpSend) {
		t.Errorf("send after the end: %v, want nothing", err)
	}
}

// Nothing is received from a peer that does not read its answers until half of
// them have left.
func TestPause(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{PauseBytes: 100})
	s := st.open()
	st.handler.reply = func(s *Stream) error { return s.Send(make([]byte, 60)) }
	st.arrive("a", CQEMore)
	st.turn()
	if st.ring.has(OpCancel) {
		t.Fatal("paused at 60 bytes of 100")
	}
	st.arrive("b", CQEMore)
	st.turn()
	if c := st.ring.complete(OpCancel, 0, 0); c.Target != s.data(dataReceive) {
		t.Errorf("cancel of %#x, want the receive", c.Target)
	}
	st.arrive("c", CQEMore) // was on its way
	st.ring.complete(OpReceive, errno(unix.ECANCELED), 0)
	st.turn()
	st.turn()
	st.ring.complete(OpSend, 60, 0)
	st.turn()
	st.turn()
	if st.ring.has(OpReceive) || s.Unsent() != 120 {
		t.Fatalf("receive with %d bytes unsent, want none with 120", s.Unsent())
	}
	st.ring.complete(OpSend, 70, 0)
	st.turn()
	st.turn()
	if !st.ring.has(OpReceive) || s.Unsent() != 50 {
		t.Errorf("%d bytes unsent, receive in flight: %v; want 50 and true", s.Unsent(), st.ring.has(OpReceive))
	}
}

// An error of the handler ends its stream and no other.
func TestHandlerRefuses(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	refused := errors.New("refused")
	st.handler.reply = func(*Stream) error { return refused }
	s := st.open()
	st.arrive("abc", CQEMore)
	st.turn()
	st.ring.complete(OpCancel, 0, 0)
	st.ring.complete(OpReceive, errno(unix.ECANCELED), 0)
	st.turn()
	st.wantClosed(s, refused)
}

// An accept that ended goes on, one that found no descriptors does so when a
// connection was closed, and one that cannot go on is an error of Turn.
func TestAcceptEnds(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	s := st.open()
	again := func(after error, want bool) {
		t.Helper()
		st.turn()
		if st.ring.has(OpAccept) != want {
			t.Errorf("accept in flight after %v: %v, want %v", after, !want, want)
		}
	}
	for _, e := range []unix.Errno{unix.ECONNABORTED, unix.EINTR, unix.EAGAIN} {
		st.ring.complete(OpAccept, errno(e), 0)
		st.turn()
		again(e, true)
	}
	st.ring.complete(OpAccept, errno(unix.EMFILE), 0)
	st.turn()
	again(unix.EMFILE, false)
	st.ring.complete(OpReceive, 0, 0)
	st.turn()
	st.wantClosed(s, io.EOF)
	again(unix.EMFILE, true)
	st.ring.complete(OpAccept, errno(unix.EMFILE), 0)
	if err := st.streams.Turn(false); !errors.Is(err, unix.EMFILE) {
		t.Errorf("accept without descriptors and connections: %v, want EMFILE", err)
	}
}

// What finds the submission queue full is submitted later, in its order.
func TestBacklog(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	st.ring.entries, st.ring.room = 2, 4
	st.streams.Listen(fakeListener)
	st.turn()
	for i := range 20 {
		st.ring.complete(OpAccept, fakeSocket+i, CQEMore)
		st.turn()
	}
	st.turn()
	receives := map[int]bool{}
	for _, s := range st.ring.inFlight {
		if s.Op == OpReceive {
			receives[s.FD] = true
		}
	}
	if len(receives) != 20 {
		t.Errorf("receives on %d sockets, want 20", len(receives))
	}

	// Also where there is room again before the backlog had its turn: a cancel that
	// came before what it cancels would find nothing.
	st.ring.inFlight = nil
	for i := range 4 {
		st.streams.push(Nop().With(uint64(i)))
	}
	enter(t, st.ring, 0)
	st.streams.push(Nop().With(4))
	if err := st.streams.pushBacklog(); err != nil {
		t.Fatal(err)
	}
	enter(t, st.ring, 0)
	for i, s := range st.ring.inFlight {
		if s.UserData != uint64(i) || len(st.ring.inFlight) != 5 {
			t.Errorf("submission %d of %d is that of %d", i, len(st.ring.inFlight), s.UserData)
		}
	}
}

// Close cancels all, waits for it, and closes also what is accepted meanwhile.
func TestCloseStreams(t *testing.T) {
	st := newStreamsTest(t, StreamsOptions{})
	s := st.open()
	if err := s.Send([]byte("x")); err != nil {
		t.Fatal(err)
	}
	st.turn()
	late, closed := false, map[int]bool{}
	st.ring.work = func() bool {
		if !late {
			late = true
			st.ring.complete(OpAccept, fakeSocket+1, CQEMore)
			return true
		}
		for i, q := range st.ring.inFlight {
			switch {
			case q.Op == OpCancel:
				st.ring.completeAt(i, 0, 0)
				for i, other := range st.ring.inFlight {
					if other.UserData == q.Target {
						st.ring.completeAt(i, errno(unix.ECANCELED), 0)
						break
					}
				}
				return true
			case q.Op == OpRead:
				st.ring.completeAt(i, 8, 0)
				return true
			case q.Op == OpClose:
				closed[q.FD] = true
				st.ring.completeAt(i, 0, 0)
				return true
			}
		}
		return false
	}
	if err := st.streams.Close(); err != nil {
		t.Fatal(err)
	}
	if len(st.ring.inFlight) != 0 || !closed[fakeSocket] || !closed[fakeSocket+1] {
		t.Errorf("closed %v with %+v in flight", closed, st.ring.inFlight)
	}
	if err := st.handler.closed[s]; len(st.handler.closed) != 1 || !errors.Is(err, os.ErrClosed) {
		t.Errorf("handler was told %v, want one stream closed", st.handler.closed)
	}
}

// Connections of a real ring get back what they send, whatever its size, with few
// buffers and a small queue; Wake ends a wait, Close what is open.
func TestEcho(t *testing.T) {
	for _, o := range []Options{{}, {Entries: 2, Completions: 4}, {AnyThread: true}} {
		t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) { testEcho(t, o) })
	}
}

func testEcho(t *testing.T, o Options) {
	e := newEcho(t, o, newRecorder(t))
	seed := rand.Uint64()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			if err := echoOnce(e.addr, random, 1+random.IntN(300_000)); err != nil {
				t.Errorf("seed %d client %d: %v", seed, i, err)
			}
		})
	}
	idle, err := net.Dial("tcp", e.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer idle.Close()
	if _, err := idle.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(idle, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	e.stop(t)
	eof, closed := 0, 0
	for _, err := range e.handler.closed {
		switch err {
		case io.EOF:
			eof++
		case os.ErrClosed:
			closed++
		default:
			t.Errorf("closed with %v", err)
		}
	}
	if eof != 8 || closed != 1 {
		t.Errorf("%d streams ended by their peers and %d by Close, want 8 and 1", eof, closed)
	}
	if _, err := idle.Read(make([]byte, 1)); err == nil {
		t.Error("the idle connection is still open")
	}
}

// echo is a server on a thread of its own.
type echo struct {
	addr    string
	handler *recorder
	streams *Streams
	end     chan struct{}
	done    chan error
}

func newEcho(t testing.TB, o Options, handler *recorder) *echo {
	t.Helper()
	needRing(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	// A description that the runtime does not poll.
	file, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	e := &echo{addr: ln.Addr().String(), handler: handler, end: make(chan struct{}), done: make(chan error)}
	e.handler.echo = true
	ready := make(chan struct{})
	go func() {
		defer file.Close()
		e.done <- e.run(o, int(file.Fd()), ready)
	}()
	select {
	case <-ready:
	case err := <-e.done:
		t.Fatal(err)
	}
	return e
}

func (e *echo) run(o Options, listener int, ready chan struct{}) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := Open(o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	b, err := NewBuffers(BuffersOptions{Count: 8, Size: 1000})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.Register(r); err != nil {
		return err
	}
	if e.streams, err = NewStreams(r, b, e.handler, StreamsOptions{PauseBytes: 10_000}); err != nil {
		return err
	}
	e.handler.streams = e.streams
	e.streams.Listen(listener)
	close(ready)
	for {
		if err := e.streams.Turn(true); err != nil {
			return err
		}
		select {
		case <-e.end:
			return e.streams.Close()
		default:
		}
	}
}

func (e *echo) stop(t testing.TB) {
	t.Helper()
	close(e.end)
	if err := e.streams.Wake(); err != nil {
		t.Error(err)
	}
	if err := <-e.done; err != nil {
		t.Error(err)
	}
}

// echoOnce sends size bytes and reads them.
func echoOnce(addr string, random *rand.Rand, size int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(random.Uint32())
	}
	go func() {
		for rest := want; len(rest) > 0; {
			n := 1 + random.IntN(min(len(rest), 20_000))
			if _, err := conn.Write(rest[:n]); err != nil {
				return // the reader sees it
			}
			rest = rest[n:]
		}
		conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err == nil && !bytes.Equal(got, want) {
		err = fmt.Errorf("got %d bytes, want the %d that were sent", len(got), len(want))
	}
	return err
}

// How long a small message and its echo take: one connection, and 64 at once.
func BenchmarkEcho(b *testing.B) {
	for _, conns := range []int{1, 64} {
		b.Run(fmt.Sprintf("conns=%d", conns), func(b *testing.B) {
			handler := newRecorder(b)
			handler.received = nil
			e := newEcho(b, Options{}, handler)
			defer e.stop(b)
			message := []byte(strings.Repeat("x", 100))
			all := make([]net.Conn, conns)
			for i := range all {
				var err error
				if all[i], err = net.Dial("tcp", e.addr); err != nil {
					b.Fatal(err)
				}
				defer all[i].Close()
			}
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for i, conn := range all {
				wg.Go(func() {
					p := make([]byte, len(message))
					for range (b.N + i) / conns {
						if _, err := conn.Write(message); err != nil {
							b.Error(err)
							return
						}
						if _, err := io.ReadFull(conn, p); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
		})
	}
}
