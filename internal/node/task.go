package node

import (
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
)

// Task is work that waits for the disk for longer than a session may: it runs
// on a goroutine of its own, and a netloop.Deferred waits for it. The zero value
// is ready; it is used once.
type Task struct {
	wake atomic.Pointer[func()]
	done atomic.Bool
	err  error // of a panic; written before done
}

// Start runs work on a goroutine of wg. A panic in it becomes the Task's error
// and is logged: it costs the request only, as one in a session costs its
// connection.
func (t *Task) Start(wg *sync.WaitGroup, log *slog.Logger, work func()) {
	wg.Go(func() {
		defer func() {
			if v := recover(); v != nil {
				log.Error("request panicked", "panic", v, "stack", string(debug.Stack()))
				t.err = fmt.Errorf("panic: %v", v)
			}
			t.done.Store(true)
			// Done stores the wake before it looks at done.
			if wake := t.wake.Load(); wake != nil {
				(*wake)()
			}
		}()
		work()
	})
}

// Done tells whether the work is done, and otherwise has wake called when it
// is. What the work wrote may be read when it is true; err is that of a panic.
func (t *Task) Done(wake func()) (done bool, err error) {
	t.wake.Store(&wake)
	if !t.done.Load() {
		return false, nil
	}
	return true, t.err
}
