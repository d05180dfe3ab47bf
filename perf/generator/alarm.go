package generator

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// alarm waits as precisely as nanosleep(2) and holds no thread meanwhile: a timerfd
// (timerfd_create(2)) that the runtime's poller looks after. A thread that sleeps in the
// kernel keeps others from running in its place until the runtime's monitor comes
// round, which can be 10 ms later, and a runtime timer rings to the millisecond.
type alarm struct {
	file *os.File
	rung [8]byte // how often, which is what can be read
}

// newAlarm returns an alarm, which is to be closed. It fails when there are no more
// descriptors.
func newAlarm() (*alarm, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("timerfd_create", err)
	}
	return &alarm{file: os.NewFile(uintptr(fd), "timerfd")}, nil
}

// wait returns after d, never before, or with an error when the alarm is closed. One
// goroutine at a time may wait.
func (a *alarm) wait(d time.Duration) error {
	conn, err := a.file.SyscallConn() // Fd would make it block
	if err != nil {
		return err
	}
	// A zero would disarm it.
	at := unix.ItimerSpec{Value: unix.NsecToTimespec(max(1, int64(d)))}
	var setErr error
	if err := conn.Control(func(fd uintptr) { setErr = unix.TimerfdSettime(int(fd), 0, &at, nil) }); err != nil {
		return err
	}
	if setErr != nil {
		return os.NewSyscallError("timerfd_settime", setErr)
	}
	_, err = a.file.Read(a.rung[:])
	return err
}

func (a *alarm) close() error { return a.file.Close() }
