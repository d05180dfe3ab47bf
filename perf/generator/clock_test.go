package generator

import (
	"context"
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

// A wait ends at the time that was asked for or after it, and alarms are used again.
func TestMachineClock(t *testing.T) {
	c := newMachineClock()
	for _, wait := range []time.Duration{-time.Second, 0, 1, 50 * time.Microsecond, coarse, 2 * coarse} {
		at := c.now() + int64(wait)
		if err := c.sleepUntil(t.Context(), at); err != nil || c.now() < at {
			t.Errorf("a wait of %v: %v, %d ns early", wait, err, at-c.now())
		}
	}
	if len(c.idle) != 1 {
		t.Errorf("%d alarms for waits one after another, want 1", len(c.idle))
	}
	gone, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := c.sleepUntil(gone, c.now()+int64(time.Hour)); !errors.Is(err, cause) {
		t.Errorf("a wait that is over before: %v, want %v", err, cause)
	}
	if skew := time.Since(time.Unix(0, c.now())); skew < -time.Second || skew > time.Second {
		t.Errorf("the clock is %v behind", skew)
	}
	if err := c.close(); err != nil || len(c.idle) != 0 {
		t.Errorf("closed: %v, %d alarms are left", err, len(c.idle))
	}
}

// Who waits for an alarm is parked, as who waits for the network is: it holds no thread
// and keeps nobody from running.
func TestAlarmHoldsNoThread(t *testing.T) {
	a, err := newAlarm()
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- a.wait(time.Hour) }()
	stacks := make([]byte, 1<<20)
	parked := func() bool {
		for one := range strings.SplitSeq(string(stacks[:runtime.Stack(stacks, true)]), "\n\n") {
			if strings.Contains(one, "(*alarm).wait") && strings.Contains(one, "[IO wait") {
				return true
			}
		}
		return false
	}
	for until := time.Now().Add(10 * time.Second); !parked(); time.Sleep(time.Millisecond) {
		if time.Now().After(until) {
			t.Fatal("who waits for an alarm is not parked")
		}
	}
	if err := a.close(); err != nil {
		t.Error(err)
	}
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("a wait for an alarm that was closed: %v, want %v", err, os.ErrClosed)
	}
}
