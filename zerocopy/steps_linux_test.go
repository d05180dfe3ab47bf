package zerocopy

import (
	"errors"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// descriptor returns the number inside conn, for tests that keep conn alive.
func descriptor(t testing.TB, conn *net.TCPConn) (fd int) {
	t.Helper()
	if err := control(conn, "none", func(n int) error { fd = n; return nil }); err != nil {
		t.Fatal(err)
	}
	return fd
}

// The steps that an event loop drives: each moves what the socket takes, then
// returns EAGAIN as is, and what was reported as moved is what arrives.
func TestStepsFillTheSocket(t *testing.T) {
	data := content(32 << 20)
	file := fileOf(t, data)
	f := func(what string, step func(socket int, position int64) (int64, error)) {
		t.Helper()
		server, client := connect(t)
		socket := descriptor(t, server)
		var sent int64
		for {
			n, err := step(socket, sent)
			if err == unix.EAGAIN {
				break
			}
			if err != nil || n == 0 {
				t.Fatalf("%s: %d, %v after %d bytes", what, n, err, sent)
			}
			if sent += n; sent == int64(len(data)) {
				t.Fatalf("%s: the socket took all %d bytes, want EAGAIN", what, sent)
			}
		}
		server.Close()
		same(t, what, (<-collect(client)).p, data[:sent])
	}
	f("sendfile", func(socket int, position int64) (int64, error) {
		n, handled, err := TrySendFile(socket, file, position, 1<<20)
		if !handled {
			t.Fatal("sendfile: not handled")
		}
		return n, err
	})
	f("sendmsg", func(socket int, position int64) (int64, error) {
		n, err := TrySend(socket, data[position:min(position+1<<20, int64(len(data)))], false)
		return int64(n), err
	})
	pipes := pool(t, PipePoolOptions{})
	p, err := pipes.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer pipes.Put(p)
	f("splice", func(socket int, position int64) (int64, error) {
		if p.Len() == 0 {
			if _, handled, err := p.FillFromFile(file, position, 1<<20); err != nil || !handled {
				t.Fatalf("splice: %v, %v", handled, err)
			}
		}
		n, handled, err := p.DrainToSocket(socket)
		if !handled {
			t.Fatal("splice: not handled")
		}
		return n, err
	})
}

// A receiving step says EAGAIN while nothing has arrived, and 0 at the end.
func TestStepsOnAnEmptySocket(t *testing.T) {
	pipes := pool(t, PipePoolOptions{})
	p, err := pipes.Get()
	if err != nil {
		t.Fatal(err)
	}
	defer pipes.Put(p)
	server, client := connect(t)
	socket := descriptor(t, server)
	if n, err := TryReceive(socket, make([]byte, 10)); n != 0 || err != unix.EAGAIN {
		t.Errorf("read: %d, %v, want 0, EAGAIN", n, err)
	}
	if n, handled, err := p.FillFromSocket(socket, 10); n != 0 || !handled || err != unix.EAGAIN {
		t.Errorf("splice: %d, %v, %v, want 0, true, EAGAIN", n, handled, err)
	}
	client.Close()
	if rest := <-collect(server); len(rest.p) != 0 || rest.err != nil {
		t.Fatalf("%d bytes, %v, want none", len(rest.p), rest.err)
	}
	if n, err := TryReceive(socket, make([]byte, 10)); n != 0 || err != nil {
		t.Errorf("read: %d, %v, want 0, nil", n, err)
	}
	if n, handled, err := p.FillFromSocket(socket, 10); n != 0 || !handled || err != nil {
		t.Errorf("splice: %d, %v, %v, want 0, true, nil", n, handled, err)
	}
}

// What one step says about a bad argument, with the reason that errno has.
func TestStepErrors(t *testing.T) {
	file := fileOf(t, content(100))
	server, _ := connect(t)
	socket := descriptor(t, server)

	var short *ShortFileError
	if _, handled, err := TrySendFile(socket, file, 100, 5); !handled || !errors.As(err, &short) || short.Position != 100 || short.Wanted != 5 {
		t.Errorf("sendfile at the end: %v, %v, want true and a *ShortFileError", handled, err)
	}
	if _, handled, err := TrySendFile(socket, file, -1, 5); handled || err != nil {
		t.Errorf("sendfile at -1: %v, %v, want not handled", handled, err)
	}
	if _, err := TrySend(int(file.Fd()), []byte("x"), false); !errors.Is(err, unix.ENOTSOCK) || errors.Is(err, ErrPeerGone) {
		t.Errorf("sendmsg to a file: %v, want ENOTSOCK", err)
	}
	if _, err := TryReceive(-1, make([]byte, 1)); !errors.Is(err, unix.EBADF) {
		t.Errorf("read of -1: %v, want EBADF", err)
	}
	if _, err := readFile(file, make([]byte, 5), 100); !errors.As(err, &short) {
		t.Errorf("pread at the end: %v, want a *ShortFileError", err)
	}
	var fault *FileError
	if _, err := writeFile(file, []byte("x"), -1); !errors.As(err, &fault) || !errors.Is(err, unix.EINVAL) {
		t.Errorf("pwrite at -1: %v, want a *FileError of EINVAL", err)
	}
}

// Errors say what happened to which range of which file, and to whom.
func TestErrorTexts(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if err.Error() != want {
			t.Errorf("%q, want %q", err, want)
		}
	}
	f(&ShortFileError{"orders-3/42.log", 8192, 4096, 100}, "orders-3/42.log: file ends inside the range of 4096 bytes at position 8192, of which 100 were sent")
	f(&FileError{"pread", "orders-3/42.log", 8192, unix.EIO}, "pread orders-3/42.log at position 8192: input/output error")
	f(socketError("sendmsg", unix.EPIPE), "sendmsg: zerocopy: peer gone: broken pipe")
	f(socketError("sendmsg", unix.ENOBUFS), "sendmsg: no buffer space available")
}
