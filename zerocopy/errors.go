package zerocopy

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrPeerGone is wrapped, beside the errno, by errors that say that the
	// other end or the way to it is lost. Only the connection is affected.
	ErrPeerGone = errors.New("zerocopy: peer gone")

	// ErrNoPipe is returned by PipePool.Get when the pool has lent as many
	// pipes as it may, was closed, or was refused a pipe by the system.
	ErrNoPipe = errors.New("zerocopy: no pipe free")
)

// ShortFileError says that a file ended inside a range. A range promises bytes
// that exist, so this is damage or a bug, never something to wait for. When
// any byte has left, the receiver was promised a length that cannot be kept:
// close the connection. It unwraps to io.ErrUnexpectedEOF.
type ShortFileError struct {
	Path     string // of the file
	Position int64  // of the range in the file, in bytes
	Wanted   int64  // bytes of the range
	Sent     int64  // bytes of the range that the socket accepted
}

func (e *ShortFileError) Error() string {
	return fmt.Sprintf("%s: file ends inside the range of %d bytes at position %d, of which %d were sent",
		e.Path, e.Wanted, e.Position, e.Sent)
}

// Unwrap returns io.ErrUnexpectedEOF.
func (e *ShortFileError) Unwrap() error { return io.ErrUnexpectedEOF }

// FileError is an error of a file or its disk, as opposed to the connection.
type FileError struct {
	Op       string // the system call
	Path     string // of the file
	Position int64  // in bytes, where the call that failed began
	Err      error  // the errno
}

func (e *FileError) Error() string {
	return fmt.Sprintf("%s %s at position %d: %v", e.Op, e.Path, e.Position, e.Err)
}

// Unwrap returns the errno.
func (e *FileError) Unwrap() error { return e.Err }
