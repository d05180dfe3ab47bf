package doctor

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/zerocopy"
)

// errUnavailable is what a probe returns for a call that the file system or the
// kernel does not have.
var errUnavailable = errors.New("not available on this file system")

// trySendFile sends the page of f by sendfile(2).
func trySendFile(f *os.File) error {
	return withSocket(func(socket int) error {
		_, handled, err := zerocopy.TrySendFile(socket, f, 0, pageBytes)
		return tried(handled, err)
	})
}

// trySplice sends the page of f by splice(2).
func trySplice(f *os.File) error {
	pool, err := zerocopy.NewPipePool(zerocopy.PipePoolOptions{})
	if err != nil {
		return err
	}
	defer pool.Close()
	pipe, err := pool.Get()
	if err != nil {
		return err
	}
	defer pool.Put(pipe)
	return withSocket(func(socket int) error {
		_, handled, err := pipe.FillFromFile(f, 0, pageBytes)
		if err := tried(handled, err); err != nil {
			return err
		}
		_, handled, err = pipe.DrainToSocket(socket)
		return tried(handled, err)
	})
}

func tried(handled bool, err error) error {
	if err == nil && !handled {
		return errUnavailable
	}
	return err
}

// withSocket calls f with one end of a pair of sockets, socketpair(2), that
// takes a page at once.
func withSocket(f func(socket int) error) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socketpair", err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	return f(pair[0])
}

// tryPipe makes a pipe as a server does and tells how large it became.
func tryPipe() Pipe {
	pool, err := zerocopy.NewPipePool(zerocopy.PipePoolOptions{PipeBytes: wantPipeBytes})
	if err != nil {
		return Pipe{Err: err}
	}
	defer pool.Close()
	pipe, err := pool.Get()
	if err != nil {
		return Pipe{Err: err}
	}
	defer pool.Put(pipe)
	return Pipe{Granted: pipe.Size()}
}
