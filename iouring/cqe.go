package iouring

import "golang.org/x/sys/unix"

// CQE is a completion: what became of a submission. It is struct io_uring_cqe.
type CQE struct {
	UserData uint64 // of the submission
	Result   int32  // as of the system call; an errno if negative
	Flags    CQEFlags
}

// Err returns the errno as an unix.Errno, nil if there is none.
func (c CQE) Err() error {
	if c.Result < 0 {
		return unix.Errno(-c.Result)
	}
	return nil
}

// More tells whether the submission stays in flight. Only multishot operations
// do; when one comes to an end, this is the only sign of it: the result may be
// that of any other completion.
func (c CQE) More() bool { return c.Flags&CQEMore != 0 }

// BufferID returns the number of the provided buffer that the kernel has filled:
// it is the program's until it is given back, whatever the result says.
func (c CQE) BufferID() (id uint16, ok bool) {
	return uint16(c.Flags >> cqeBufferShift), c.Flags&CQEBuffer != 0
}
