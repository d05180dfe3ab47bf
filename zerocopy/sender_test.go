package zerocopy

import (
	"errors"
	"io"
	"math"
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// everyPath calls f in a subtest per path, with options for it.
func everyPath(t *testing.T, f func(t *testing.T, options Options)) {
	for _, path := range []Path{Auto, SendFile, Splice, Copy} {
		t.Run(path.String(), func(t *testing.T) {
			options := Options{Path: path}
			if path == Splice {
				options.Pipes = pool(t, PipePoolOptions{})
			}
			f(t, options)
		})
	}
}

// waiting returns once the transfers that report to c have waited for a peer
// more often than n times.
func waiting(c *Counters, n int64) {
	for c.Snapshot().Waits <= n {
		runtime.Gosched()
	}
}

// Every path delivers head and body byte for byte, over sizes and positions
// around every boundary that the code has: coalescing, buffer, chunk, page.
func TestSendDeliversTheBytes(t *testing.T) {
	data := content(2 << 20)
	file := fileOf(t, data)
	heads := []int{0, 1, 50, 5000, bufferBytes / 2, bufferBytes/2 + 1, bufferBytes + 1}
	positions := []int64{0, 1, 4095, 100_001}
	lengths := []int64{0, 1, 4095, 4097, 12<<10 - 1, 12 << 10, bufferBytes - 50, bufferBytes, bufferBytes + 1, 1<<20 - 1, 1<<20 + 1}

	f := func(what string, options Options) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			server, client := connect(t)
			s, _ := sender(t, server, options)
			got := collect(client)
			var want []byte
			for i, position := range positions {
				for j, length := range lengths {
					head := data[:heads[(i*len(lengths)+j)%len(heads)]]
					r := NewRange(file, position, length, nil)
					sent, err := s.Send(head, &r)
					if wantSent := int64(len(head)) + length; err != nil || sent != wantSent {
						t.Fatalf("head %d, position %d, length %d: sent %d, %v, want %d, nil", len(head), position, length, sent, err, wantSent)
					}
					want = append(want, head...)
					want = append(want, data[position:position+length]...)
				}
			}
			server.Close()
			r := <-got
			if r.err != nil {
				t.Fatal(r.err)
			}
			same(t, "received", r.p, want)
		})
	}
	f("auto", Options{})
	f("auto, never coalesced", Options{CoalesceBelow: -1})
	f("sendfile", Options{Path: SendFile})
	f("sendfile, odd chunks", Options{Path: SendFile, ChunkBytes: 100_001})
	f("splice", Options{Path: Splice, Pipes: pool(t, PipePoolOptions{})})
	f("splice, chunks below a page", Options{Path: Splice, ChunkBytes: 3000, Pipes: pool(t, PipePoolOptions{})})
	f("splice, pipe of one page", Options{Path: Splice, Pipes: pool(t, PipePoolOptions{PipeBytes: 4096})})
	f("copy", Options{Path: Copy})
}

// The counters say which way the bytes went, to the byte, and small transfers
// cost exactly the calls that they are meant to cost.
func TestCountersProveThePath(t *testing.T) {
	file := fileOf(t, content(256<<10))
	f := func(what string, options Options, head int, body int64, want Snapshot) {
		t.Helper()
		if options.Path == Splice {
			options.Pipes = pool(t, PipePoolOptions{})
		}
		server, client := connect(t)
		s, counters := sender(t, server, options)
		got := collect(client)
		r := NewRange(file, 0, body, nil)
		if _, err := s.Send(make([]byte, head), &r); err != nil {
			t.Fatal(err)
		}
		server.Close()
		<-got
		if have := counters.Snapshot(); have != want {
			t.Errorf("%s:\n got %+v\nwant %+v", what, have, want)
		}
	}
	f("small body", Options{}, 50, 12<<10-1, Snapshot{Head: Count{50, 0}, Copy: Count{12<<10 - 1, 2}})
	f("body at the bound", Options{}, 50, 12<<10, Snapshot{Head: Count{50, 1}, SendFile: Count{12 << 10, 1}})
	f("bound moved up", Options{CoalesceBelow: 20 << 10}, 50, 16<<10, Snapshot{Head: Count{50, 0}, Copy: Count{16 << 10, 2}})
	f("never coalesced", Options{CoalesceBelow: -1}, 50, 1, Snapshot{Head: Count{50, 1}, SendFile: Count{1, 1}})
	f("head only", Options{}, 50, 0, Snapshot{Head: Count{50, 1}})
	f("body only", Options{}, 0, 32<<10, Snapshot{SendFile: Count{32 << 10, 1}})
	f("nothing", Options{}, 0, 0, Snapshot{})
	f("chunks", Options{ChunkBytes: 8 << 10}, 50, 32<<10, Snapshot{Head: Count{50, 1}, SendFile: Count{32 << 10, 4}})
	f("sendfile, small", Options{Path: SendFile}, 50, 100, Snapshot{Head: Count{50, 1}, SendFile: Count{100, 1}})
	f("splice, small", Options{Path: Splice}, 50, 100, Snapshot{Head: Count{50, 1}, Splice: Count{100, 2}})
	f("copy", Options{Path: Copy}, 50, 32<<10, Snapshot{Head: Count{50, 0}, Copy: Count{32 << 10, 2}})
	f("copy behind a long head", Options{Path: Copy}, bufferBytes/2+1, 1000, Snapshot{Head: Count{bufferBytes/2 + 1, 1}, Copy: Count{1000, 2}})
}

// A peer that stops reading holds the Sender until the write deadline; what
// sent says is then exactly what the peer can still read.
func TestSendDeadline(t *testing.T) {
	data := content(32 << 20) // more than both socket buffers hold
	file := fileOf(t, data)
	f := func(t *testing.T, options Options, head []byte, body Range) {
		t.Helper()
		server, client := connect(t)
		s, counters := sender(t, server, options)
		go func() {
			waiting(counters, 0)
			server.SetWriteDeadline(time.Now().Add(time.Millisecond))
		}()
		sent, err := s.Send(head, &body)
		total := int64(len(head)) + body.Len
		if !errors.Is(err, os.ErrDeadlineExceeded) || sent <= 0 || sent >= total {
			t.Fatalf("sent %d of %d, %v, want part of it and os.ErrDeadlineExceeded", sent, total, err)
		}
		// A deadline in the past sends nothing.
		if again, err := s.Send(head, &body); again != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("after the deadline: sent %d, %v, want 0, os.ErrDeadlineExceeded", again, err)
		}
		server.Close()
		got := <-collect(client)
		want := append(append([]byte{}, head...), data[body.Position:body.Position+body.Len]...)
		same(t, "received", got.p, want[:sent])
	}
	everyPath(t, func(t *testing.T, options Options) {
		f(t, options, []byte("head"), NewRange(file, 1, int64(len(data)-1), nil))
	})
	t.Run("in the head", func(t *testing.T) {
		f(t, Options{}, data, NewRange(file, 0, 1<<20, nil))
	})
}

// A Sender that waits for its peer goes on when the peer reads again, and
// returns when the connection is closed under it.
func TestSendWaits(t *testing.T) {
	data := content(32 << 20)
	file := fileOf(t, data)
	type result struct {
		sent int64
		err  error
	}
	start := func(t *testing.T, options Options) (server, client *net.TCPConn, done chan result) {
		t.Helper()
		server, client = connect(t)
		s, counters := sender(t, server, options)
		done = make(chan result, 1)
		go func() {
			r := NewRange(file, 0, int64(len(data)), nil)
			sent, err := s.Send([]byte("head"), &r)
			done <- result{sent, err}
		}()
		waiting(counters, 0)
		return server, client, done
	}
	everyPath(t, func(t *testing.T, options Options) {
		server, client, done := start(t, options)
		got := collect(client)
		if r := <-done; r.err != nil || r.sent != int64(len(data)+4) {
			t.Fatalf("sent %d, %v, want %d, nil", r.sent, r.err, len(data)+4)
		}
		server.Close()
		same(t, "received", (<-got).p, append([]byte("head"), data...))

		server, _, done = start(t, options)
		server.Close()
		if r := <-done; !errors.Is(r.err, net.ErrClosed) {
			t.Errorf("connection closed: %v, want net.ErrClosed", r.err)
		}
	})
}

// An answer arrives whole when it is sent, on every path: nothing keeps its last
// segment back. A segment that waits for more (MSG_MORE, Nagle) waits 40 to 200 ms,
// for most answers and each time. A busy machine may be as slow now and then, so it
// gets three attempts.
func TestSendDoesNotStall(t *testing.T) {
	const rounds = 50
	file := fileOf(t, content(1<<20))
	everyPath(t, func(t *testing.T, options Options) {
		for _, length := range []int64{0, 1, 4000, 20_000, 70_001, 1<<20 - 7} {
			stalled := rounds
			for attempt := 0; attempt < 3 && stalled > rounds/2; attempt++ {
				stalled = stalls(t, options, file, length, rounds)
			}
			if stalled > rounds/2 {
				t.Errorf("%d of %d answers of %d bytes took 40 ms and more", stalled, rounds, length)
			}
		}
	})
}

// stalls asks so many times for a range of a file and returns how many answers took as
// long as a segment that is kept back.
func stalls(t *testing.T, options Options, file *os.File, length int64, rounds int) (stalled int) {
	t.Helper()
	server, client := connect(t)
	s, _ := sender(t, server, options)
	answers := make(chan error, 1)
	go func() {
		request := make([]byte, 1)
		for range rounds {
			if _, err := io.ReadFull(server, request); err != nil {
				answers <- err
				return
			}
			r := NewRange(file, 7, length, nil)
			if _, err := s.Send([]byte("head"), &r); err != nil {
				answers <- err
				return
			}
		}
		answers <- nil
	}()
	answer := make([]byte, 4+length)
	for range rounds {
		asked := time.Now()
		client.SetDeadline(asked.Add(time.Minute)) // so that a failing test ends
		if _, err := client.Write([]byte("?")); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(client, answer); err != nil {
			t.Fatalf("%d answers of %d bytes: %v", rounds, length, err)
		}
		if time.Since(asked) >= 40*time.Millisecond {
			stalled++
		}
	}
	if err := <-answers; err != nil {
		t.Fatal(err)
	}
	return stalled
}

// A peer that resets the connection is ErrPeerGone, not a fault of the file.
func TestSendToAResetPeer(t *testing.T) {
	data := content(32 << 20)
	file := fileOf(t, data)
	everyPath(t, func(t *testing.T, options Options) {
		server, client := connect(t)
		s, counters := sender(t, server, options)
		go func() {
			waiting(counters, 0)
			client.SetLinger(0)
			client.Close()
		}()
		r := NewRange(file, 0, int64(len(data)), nil)
		sent, err := s.Send([]byte("head"), &r)
		if !errors.Is(err, ErrPeerGone) || sent >= r.Len {
			t.Errorf("sent %d of %d, %v, want part of it and ErrPeerGone", sent, r.Len, err)
		}
		// ECONNRESET was told once; from now on it is EPIPE.
		if sent, err := s.Send([]byte("head"), &r); sent != 0 || !errors.Is(err, ErrPeerGone) {
			t.Errorf("again: sent %d, %v, want 0 and ErrPeerGone", sent, err)
		}
		var fault *FileError
		if errors.As(err, &fault) {
			t.Errorf("%v is a *FileError, want none", err)
		}
	})
}

// A file that ends inside a range is a *ShortFileError with the exact number
// of bytes sent, and no path loops on it. A path that reads ahead notices it
// before the head has left, if nothing of the body exists.
func TestSendShortFile(t *testing.T) {
	data := content(300_000)
	file := fileOf(t, data)
	f := func(t *testing.T, options Options, position, length, wantSent, wantBody int64) {
		t.Helper()
		server, client := connect(t)
		s, _ := sender(t, server, options)
		got := collect(client)
		r := NewRange(file, position, length, nil)
		sent, err := s.Send([]byte("head"), &r)
		var short *ShortFileError
		if !errors.As(err, &short) || !errors.Is(err, io.ErrUnexpectedEOF) || sent != wantSent {
			t.Fatalf("position %d, length %d: sent %d, %v, want %d and a *ShortFileError", position, length, sent, err, wantSent)
		}
		if want := (ShortFileError{file.Name(), position, length, wantBody}); *short != want {
			t.Errorf("position %d, length %d: %+v, want %+v", position, length, *short, want)
		}
		want := append([]byte("head"), data[min(position, int64(len(data))):][:wantBody]...)
		if sent == 0 {
			want = []byte("sorry")
			if err := s.Write(want); err != nil {
				t.Errorf("Write after an error that sent nothing: %v", err)
			}
		}
		server.Close()
		same(t, "received", (<-got).p, want)
	}
	everyPath(t, func(t *testing.T, options Options) {
		sentBefore := int64(0)
		if options.Path == Auto || options.Path == SendFile {
			sentBefore = 4
		}
		f(t, options, 100_000, 1<<20, 200_004, 200_000)
		f(t, options, 300_000, 1<<20, sentBefore, 0)
		f(t, options, 1<<30, 1<<20, sentBefore, 0)
	})
	// Coalesced, the head waits until the whole body is read.
	f(t, Options{}, 299_999, 4096, 5, 1)
	f(t, Options{}, 300_000, 4096, 0, 0)
}

// A file that is truncated while a range of it is on its way ends in a
// *ShortFileError, and sent is what the peer receives.
func TestSendTruncatedUnderway(t *testing.T) {
	everyPath(t, func(t *testing.T, options Options) {
		file := fileOf(t, content(32<<20))
		server, client := connect(t)
		s, counters := sender(t, server, options)
		got := make(chan received, 1)
		go func() {
			waiting(counters, 0)
			if err := file.Truncate(0); err != nil {
				got <- received{nil, err}
				return
			}
			got <- <-collect(client)
		}()
		r := NewRange(file, 0, 32<<20, nil)
		sent, err := s.Send([]byte("head"), &r)
		server.Close()
		var short *ShortFileError
		if !errors.As(err, &short) || short.Sent != sent-4 || sent <= 4 || sent >= 32<<20 {
			t.Errorf("sent %d, %v, want part of it and a *ShortFileError with that less 4", sent, err)
		}
		if r := <-got; r.err != nil || int64(len(r.p)) != sent {
			t.Errorf("received %d bytes, %v, want %d", len(r.p), r.err, sent)
		}
	})
}

// A file that sendfile and splice cannot read is copied, and counted as a
// fallback. /proc/self/mem is such a file; its position is an address.
func TestSendFallsBackToCopy(t *testing.T) {
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	data := content(300_000)
	everyPath(t, func(t *testing.T, options Options) {
		server, client := connect(t)
		s, counters := sender(t, server, options)
		got := collect(client)
		r := NewRange(mem, int64(uintptr(unsafe.Pointer(unsafe.SliceData(data)))), int64(len(data)), nil)
		sent, err := s.Send([]byte("head"), &r)
		if err != nil || sent != r.Len+4 {
			t.Fatalf("sent %d, %v, want %d, nil", sent, err, r.Len+4)
		}
		wantFallbacks := int64(1)
		if options.Path == Copy {
			wantFallbacks = 0
		}
		if c := counters.Snapshot(); c.Fallbacks != wantFallbacks || c.Copy.Bytes != r.Len || c.SendFile.Bytes != 0 || c.Splice.Bytes != 0 {
			t.Errorf("counters %+v, want %d fallbacks and every body byte copied", c, wantFallbacks)
		}

		// Page 0 is never mapped: the read fails with EIO, as of a bad disk.
		r = NewRange(mem, 0, 1<<20, nil)
		sent, err = s.Send([]byte("head"), &r)
		var fault *FileError
		if !errors.As(err, &fault) || !errors.Is(err, unix.EIO) || fault.Path != mem.Name() || errors.Is(err, ErrPeerGone) {
			t.Errorf("sent %d, %v, want a *FileError of EIO", sent, err)
		}
		server.Close()
		if n := int64(len((<-got).p)); n != int64(len(data))+4+sent {
			t.Errorf("received %d bytes, want %d", n, int64(len(data))+4+sent)
		}
	})
	runtime.KeepAlive(data)
}

// Without a pipe to be had, Splice sends by sendfile and does not wait.
func TestSpliceWithoutPipe(t *testing.T) {
	data := content(100_000)
	file := fileOf(t, data)
	pipes := pool(t, PipePoolOptions{MaxPipes: 1})
	lent, err := pipes.Get()
	if err != nil {
		t.Fatal(err)
	}
	server, client := connect(t)
	s, counters := sender(t, server, Options{Path: Splice, Pipes: pipes})
	got := collect(client)
	r := NewRange(file, 0, 100_000, nil)
	if _, err := s.Send(nil, &r); err != nil {
		t.Fatal(err)
	}
	pipes.Put(lent)
	if _, err := s.Send(nil, &r); err != nil {
		t.Fatal(err)
	}
	server.Close()
	same(t, "received", (<-got).p, append(data[:len(data):len(data)], data...))
	c := counters.Snapshot()
	if c.Fallbacks != 1 || c.SendFile.Bytes != 100_000 || c.Splice.Bytes != 100_000 {
		t.Errorf("counters %+v, want one fallback, 100000 bytes by sendfile and 100000 by splice", c)
	}
}

// A socket that cannot be spliced to costs no byte: what the pipe held is read
// from the file again, and the pipe is not used again. No TCP socket is like
// that; a file that is open O_APPEND stands in for one.
func TestDrainPipeFallsBack(t *testing.T) {
	data := content(50_000)
	file := fileOf(t, data)
	appending, err := os.OpenFile(file.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer appending.Close()
	pipes := pool(t, PipePoolOptions{})
	transfer := transfer{options: Options{Path: Splice, Pipes: pipes}.withDefaults()}
	r := NewRange(file, 10, 40_000, nil)
	transfer.begin(nil, &r)
	if err := transfer.fillPipe(); err != nil || transfer.unread != 0 {
		t.Fatalf("fill: %v, %d bytes unread, want 0", err, transfer.unread)
	}
	if err := transfer.drainPipe(int(appending.Fd())); err != nil {
		t.Fatal(err)
	}
	if transfer.path != Copy || transfer.position != 10 || transfer.unread != 40_000 {
		t.Errorf("path %v, position %d, unread %d, want copy, 10, 40000", transfer.path, transfer.position, transfer.unread)
	}
	if open, _ := pipes.Stats(); open != 0 {
		t.Errorf("%d pipes open, want the one with residue closed", open)
	}
	transfer.end()
}

// What a stalled transfer left in its pipe never reaches another connection.
func TestPipeResidueIsNeverReused(t *testing.T) {
	data := content(32 << 20)
	file := fileOf(t, data)
	pipes := pool(t, PipePoolOptions{MaxPipes: 1})
	stalled, _ := connect(t)
	s, counters := sender(t, stalled, Options{Path: Splice, Pipes: pipes})
	r := NewRange(file, 0, int64(len(data)), nil)
	go func() {
		waiting(counters, 0)
		stalled.SetWriteDeadline(time.Now())
	}()
	if _, err := s.Send(nil, &r); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("%v, want os.ErrDeadlineExceeded", err)
	}
	if c := counters.Snapshot(); c.Splice.Bytes == 0 || c.Fallbacks != 0 {
		t.Fatalf("counters %+v, want splice only", c)
	}
	if open, _ := pipes.Stats(); open != 0 {
		t.Fatalf("%d pipes open after a transfer that left bytes in its pipe, want 0", open)
	}

	server, client := connect(t)
	s, _ = sender(t, server, Options{Path: Splice, Pipes: pipes})
	got := collect(client)
	r = NewRange(file, 1<<20, 100_000, nil)
	if _, err := s.Send(nil, &r); err != nil {
		t.Fatal(err)
	}
	server.Close()
	same(t, "received", (<-got).p, data[1<<20:][:100_000])
}

// Many connections share a pool with fewer pipes and one set of counters; all
// bytes arrive, and the counters add up.
func TestSendersShareAPool(t *testing.T) {
	const connections, rounds, length = 8, 20, 200_000
	data := content(1 << 20)
	file := fileOf(t, data)
	pipes := pool(t, PipePoolOptions{MaxPipes: 3})
	counters := new(Counters)
	var wg sync.WaitGroup
	for c := range connections {
		server, client := connect(t)
		s, _ := sender(t, server, Options{Path: Splice, Pipes: pipes, Counters: counters})
		got := collect(client)
		wg.Go(func() {
			var want []byte
			for i := range rounds {
				position := int64(c*10_000 + i*17)
				r := NewRange(file, position, length, nil)
				if sent, err := s.Send([]byte{byte(c)}, &r); err != nil || sent != length+1 {
					t.Errorf("connection %d: sent %d, %v, want %d, nil", c, sent, err, length+1)
				}
				want = append(append(want, byte(c)), data[position:position+length]...)
			}
			server.Close()
			same(t, "received", (<-got).p, want)
		})
	}
	wg.Wait()
	c := counters.Snapshot()
	if c.Splice.Bytes+c.SendFile.Bytes != connections*rounds*length || c.Head.Bytes != connections*rounds {
		t.Errorf("counters %+v, want %d body bytes and %d head bytes", c, connections*rounds*length, connections*rounds)
	}
	if (c.SendFile.Bytes > 0) != (c.Fallbacks > 0) {
		t.Errorf("counters %+v, want sendfile exactly when there were fallbacks", c)
	}
	if open, _ := pipes.Stats(); open > 3 {
		t.Errorf("%d pipes open, want at most 3", open)
	}
}

// A range that is closed or impossible is refused before anything leaves.
func TestSendRefusesBadRanges(t *testing.T) {
	file := fileOf(t, content(100))
	server, client := connect(t)
	s, _ := sender(t, server, Options{})
	f := func(what string, r Range, want error) {
		t.Helper()
		sent, err := s.Send([]byte("head"), &r)
		if sent != 0 || err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: sent %d, %v, want 0 and an error (%v)", what, sent, err, want)
		}
	}
	closed := NewRange(file, 0, 100, nil)
	closed.Close()
	f("closed", closed, os.ErrClosed)
	f("negative position", Range{File: file, Position: -1, Len: 10}, nil)
	f("negative length", Range{File: file, Position: 1, Len: -10}, nil)
	gone, err := os.Open(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	f("file closed by its owner", Range{File: gone, Len: 10}, unix.EBADF)
	got := collect(client)
	server.Close()
	same(t, "received", (<-got).p, nil)
}

// Validate names the field.
func TestOptionsValidate(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		err := o.Validate()
		if got := text(err); got != want {
			t.Errorf("%+v: %q, want %q", o, got, want)
		}
		if want != "" {
			if _, err := NewSender(nil, o); err == nil {
				t.Errorf("NewSender(%+v): nil, want %q", o, want)
			}
		}
	}
	pipes := pool(t, PipePoolOptions{})
	f(Options{}, "")
	f(Options{Path: Splice, Pipes: pipes}, "")
	f(Options{CoalesceBelow: math.MinInt}, "")
	f(Options{Path: 9}, "zerocopy: Options.Path 9, want Auto, SendFile, Splice or Copy")
	f(Options{Path: Splice}, "zerocopy: Options.Pipes is nil, want a pool for Path Splice")
	f(Options{CoalesceBelow: 65537}, "zerocopy: Options.CoalesceBelow 65537, want at most 65536")
	f(Options{ChunkBytes: -1}, "zerocopy: Options.ChunkBytes -1, want 0 (default 1 MiB) or more")
}

// text returns the text of err, "" for nil.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
