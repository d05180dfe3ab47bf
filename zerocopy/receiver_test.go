package zerocopy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// everyWay calls f in a subtest with options for splicing and for copying.
func everyWay(t *testing.T, f func(t *testing.T, options ReceiverOptions)) {
	t.Run("splice", func(t *testing.T) {
		f(t, ReceiverOptions{Counters: new(Counters), Pipes: pool(t, PipePoolOptions{})})
	})
	t.Run("copy", func(t *testing.T) {
		f(t, ReceiverOptions{Counters: new(Counters)})
	})
}

// receiver returns a Receiver on conn.
func receiver(t testing.TB, conn *net.TCPConn, options ReceiverOptions) *Receiver {
	t.Helper()
	r, err := NewReceiver(conn, options)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// feed writes p to conn in a goroutine and then closes conn.
func feed(conn *net.TCPConn, p []byte) {
	go func() {
		conn.Write(p)
		conn.Close()
	}()
}

// Each length lands at its position, byte for byte and not one byte more, with
// what came before and after on the connection left in place.
func TestReceiveFileDeliversTheBytes(t *testing.T) {
	data := content(3 << 20)
	lengths := []int64{0, 1, 4095, 4096, 4097, bufferBytes, bufferBytes + 1, 1 << 20, 1<<20 + 1}
	f := func(what string, options ReceiverOptions) {
		t.Helper()
		t.Run(what, func(t *testing.T) {
			options.Counters = new(Counters)
			server, client := connect(t)
			feed(client, data)
			r := receiver(t, server, options)
			file := fileOf(t, nil)
			position, taken := int64(1000), int64(0)
			for _, length := range lengths {
				n, err := r.ReceiveFile(file, position, length)
				if err != nil || n != length {
					t.Fatalf("length %d: %d, %v", length, n, err)
				}
				got := make([]byte, length)
				if _, err := file.ReadAt(got, position); err != nil {
					t.Fatal(err)
				}
				same(t, "file", got, data[taken:taken+length])
				taken += length
				position += length + 11
			}
			rest, err := io.ReadAll(server)
			if err != nil {
				t.Fatal(err)
			}
			same(t, "rest of the connection", rest, data[taken:])
			c := options.Counters.Snapshot()
			if options.Pipes != nil && c.ReceiveSplice.Bytes != taken || options.Pipes == nil && c.ReceiveCopy.Bytes != taken || c.Fallbacks != 0 {
				t.Errorf("counters %+v, want %d bytes, all one way", c, taken)
			}
		})
	}
	f("copy", ReceiverOptions{})
	f("splice", ReceiverOptions{Pipes: pool(t, PipePoolOptions{})})
	f("splice, pipe of one page", ReceiverOptions{Pipes: pool(t, PipePoolOptions{PipeBytes: 4096})})
}

// A peer that closes too early is io.ErrUnexpectedEOF with the exact count.
func TestReceiveFileEarlyEnd(t *testing.T) {
	data := content(100_000)
	everyWay(t, func(t *testing.T, options ReceiverOptions) {
		server, client := connect(t)
		feed(client, data)
		file := fileOf(t, nil)
		n, err := receiver(t, server, options).ReceiveFile(file, 5, 100_001)
		if n != 100_000 || !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d, %v, want 100000, io.ErrUnexpectedEOF", n, err)
		}
		got, err := os.ReadFile(file.Name())
		if err != nil {
			t.Fatal(err)
		}
		same(t, "file", got, append(make([]byte, 5), data...))
	})
}

// A peer that stops sending holds the Receiver until the read deadline; one
// that resets is ErrPeerGone; a closed connection is net.ErrClosed.
func TestReceiveFileStops(t *testing.T) {
	f := func(t *testing.T, options ReceiverOptions, want error, stop func(server, client *net.TCPConn)) {
		t.Helper()
		server, client := connect(t)
		if _, err := client.Write(make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		options.Counters = new(Counters)
		r := receiver(t, server, options)
		file := fileOf(t, nil)
		go func() {
			waiting(options.Counters, 0)
			stop(server, client)
		}()
		n, err := r.ReceiveFile(file, 0, 1<<20)
		if n != 1000 || !errors.Is(err, want) {
			t.Errorf("%d, %v, want 1000, %v", n, err, want)
		}
		if info, err := file.Stat(); err != nil || info.Size() != n {
			t.Errorf("file %v, %v, want %d bytes", info.Size(), err, n)
		}
	}
	everyWay(t, func(t *testing.T, options ReceiverOptions) {
		f(t, options, os.ErrDeadlineExceeded, func(server, _ *net.TCPConn) { server.SetReadDeadline(time.Unix(1, 0)) })
		f(t, options, net.ErrClosed, func(server, _ *net.TCPConn) { server.Close() })
		f(t, options, ErrPeerGone, func(_, client *net.TCPConn) {
			client.SetLinger(0)
			client.Close()
		})
	})
}

// A file that cannot be spliced to gets every byte all the same, those that
// were already in the pipe included.
func TestReceiveFileFallsBack(t *testing.T) {
	data := content(300_000)
	server, client := connect(t)
	feed(client, data)
	path := filepath.Join(t.TempDir(), "appended")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	pipes := pool(t, PipePoolOptions{})
	counters := new(Counters)
	n, err := receiver(t, server, ReceiverOptions{Counters: counters, Pipes: pipes}).ReceiveFile(file, 0, 300_000)
	if err != nil || n != 300_000 {
		t.Fatalf("%d, %v, want 300000, nil", n, err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	same(t, "file", got, data)
	if c := counters.Snapshot(); c.Fallbacks != 1 || c.ReceiveCopy.Bytes != 300_000 || c.ReceiveSplice.Bytes != 0 {
		t.Errorf("counters %+v, want one fallback and 300000 bytes copied", c)
	}
	if open, idle := pipes.Stats(); open != 1 || idle != 1 {
		t.Errorf("%d pipes, %d idle, want 1, 1: the rescue left the pipe empty", open, idle)
	}
}

// Without a pipe to be had the bytes are copied.
func TestReceiveFileWithoutPipe(t *testing.T) {
	pipes := pool(t, PipePoolOptions{MaxPipes: 1})
	lent, err := pipes.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer pipes.Put(lent)
	data := content(1000)
	server, client := connect(t)
	feed(client, data)
	counters := new(Counters)
	file := fileOf(t, nil)
	n, err := receiver(t, server, ReceiverOptions{Counters: counters, Pipes: pipes}).ReceiveFile(file, 0, 1000)
	if err != nil || n != 1000 {
		t.Fatalf("%d, %v, want 1000, nil", n, err)
	}
	if c := counters.Snapshot(); c.Fallbacks != 1 || c.ReceiveCopy.Bytes != 1000 {
		t.Errorf("counters %+v, want one fallback and 1000 bytes copied", c)
	}
}

// A disk that refuses the bytes is a *FileError, not ErrPeerGone, and a pipe
// with bytes in it is not used again.
func TestReceiveFileDiskError(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	everyWay(t, func(t *testing.T, options ReceiverOptions) {
		server, client := connect(t)
		feed(client, make([]byte, 5000))
		n, err := receiver(t, server, options).ReceiveFile(full, 0, 5000)
		var fault *FileError
		if n != 0 || !errors.As(err, &fault) || !errors.Is(err, unix.ENOSPC) || errors.Is(err, ErrPeerGone) {
			t.Errorf("%d, %v, want 0 and a *FileError of ENOSPC", n, err)
		}
	})
	// Spliced to, a file that is open for reading only refuses as well.
	t.Run("splice refused", func(t *testing.T) {
		server, client := connect(t)
		feed(client, make([]byte, 5000))
		file, err := os.Open(fileOf(t, nil).Name())
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		pipes := pool(t, PipePoolOptions{})
		n, err := receiver(t, server, ReceiverOptions{Pipes: pipes}).ReceiveFile(file, 0, 5000)
		var fault *FileError
		if n != 0 || !errors.As(err, &fault) || !errors.Is(err, unix.EBADF) {
			t.Errorf("%d, %v, want 0 and a *FileError of EBADF", n, err)
		}
		if open, _ := pipes.Stats(); open != 0 {
			t.Errorf("%d pipes open, want the one with residue closed", open)
		}
	})
}

// Impossible places are refused before anything is taken from the connection.
func TestReceiveFileRefusesBadPlaces(t *testing.T) {
	server, client := connect(t)
	feed(client, []byte("kept"))
	r := receiver(t, server, ReceiverOptions{})
	file := fileOf(t, nil)
	for _, place := range [][2]int64{{-1, 4}, {0, -4}} {
		if n, err := r.ReceiveFile(file, place[0], place[1]); n != 0 || err == nil {
			t.Errorf("position %d, length %d: %d, %v, want 0 and an error", place[0], place[1], n, err)
		}
	}
	if rest, err := io.ReadAll(server); err != nil || !bytes.Equal(rest, []byte("kept")) {
		t.Errorf("connection: %q, %v, want \"kept\"", rest, err)
	}
}
