package generator

import (
	"context"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// clock tells the time and waits. Times are nanoseconds since 1970 that never go back.
type clock interface {
	now() int64
	// sleepUntil waits until t or a little later. It returns the cause of ctx if that
	// ends before; the last milliseconds it may not notice.
	sleepUntil(ctx context.Context, t int64) error
}

// machineClock is the machine's: what it was when it was made, and the monotonic time
// since, so that a step of the wall clock is no latency.
type machineClock struct {
	base  time.Time
	nanos int64
}

func newMachineClock() *machineClock {
	base := time.Now()
	return &machineClock{base: base, nanos: base.UnixNano()}
}

func (c *machineClock) now() int64 { return c.nanos + int64(time.Since(c.base)) }

// coarse is how early a timer has to ring for what follows to be in time: the runtime
// waits for timers in epoll_wait, which counts milliseconds.
const coarse = 2 * time.Millisecond

func (c *machineClock) sleepUntil(ctx context.Context, t int64) error {
	if wait := time.Duration(t - c.now()); wait > coarse {
		timer := time.NewTimer(wait - coarse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if wait := t - c.now(); wait > 0 {
		// nanosleep(2) takes 50 us longer than asked (PR_SET_TIMERSLACK). It may
		// return early on a signal; what is left is waited for by whoever asks next.
		pause := unix.NsecToTimespec(wait)
		unix.Nanosleep(&pause, nil)
	}
	for c.now() < t {
		runtime.Gosched()
	}
	return nil
}
