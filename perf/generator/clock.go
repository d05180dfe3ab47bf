package generator

import (
	"context"
	"errors"
	"sync"
	"time"
)

// clock tells the time and waits. Times are nanoseconds since 1970 that never go back.
type clock interface {
	now() int64
	// sleepUntil waits until t or a little later, some 0.1 ms. It returns the cause of
	// ctx if that ends before; the last milliseconds it may not notice.
	sleepUntil(ctx context.Context, t int64) error
}

// machineClock is the machine's: what it was when it was made, and the monotonic time
// since, so that a step of the wall clock is no latency.
type machineClock struct {
	base  time.Time
	nanos int64

	mu   sync.Mutex
	idle []*alarm // that nobody waits for. +checklocks:mu
}

func newMachineClock() *machineClock {
	base := time.Now()
	return &machineClock{base: base, nanos: base.UnixNano()}
}

func (c *machineClock) now() int64 { return c.nanos + int64(time.Since(c.base)) }

// coarse is how early a runtime timer has to ring for what follows to be in time: the
// runtime waits for timers in epoll_wait, which counts milliseconds.
const coarse = 2 * time.Millisecond

// grid is what alarms ring in steps of. Who is to be woken within a step is woken
// together: to wake a core that has nothing to do has cost 70 to 110 us of CPU in a
// virtual machine, which comes off what is left for the load.
const grid = int64(100 * time.Microsecond)

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
	now := c.now()
	if t <= now {
		return nil
	}
	a, err := c.alarm()
	if err != nil {
		return err
	}
	defer c.giveBack(a)
	return a.wait(time.Duration((t+grid-1)/grid*grid - now))
}

// alarm returns one that nobody waits for, to be given back.
func (c *machineClock) alarm() (*alarm, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	last := len(c.idle) - 1
	if last < 0 {
		return newAlarm()
	}
	a := c.idle[last]
	c.idle = c.idle[:last]
	return a, nil
}

func (c *machineClock) giveBack(a *alarm) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle = append(c.idle, a)
}

// close takes the alarms away, once nobody waits any more.
func (c *machineClock) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, a := range c.idle {
		errs = append(errs, a.close())
	}
	c.idle = nil
	return errors.Join(errs...)
}
