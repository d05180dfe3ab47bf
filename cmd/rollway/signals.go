package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// A signalError says which signal ended a command. It is the cause of the
// context that withSignals makes.
type signalError struct{ signal syscall.Signal }

func (e signalError) Error() string { return fmt.Sprintf("stopped by %v", e.signal) }

// exitCode is what a shell reports of a process that the signal killed.
func (e signalError) exitCode() int { return 128 + int(e.signal) }

// withSignals returns a context that ends, with a signalError as its cause,
// when SIGINT or SIGTERM arrives. A second one calls exit at once. stop ends
// the watching.
func withSignals(exit func(code int)) (ctx context.Context, stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	arrived := make(chan os.Signal, 2) // so that a second one is not lost
	signal.Notify(arrived, syscall.SIGINT, syscall.SIGTERM)
	stopped := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for first := true; ; first = false {
			select {
			case s := <-arrived:
				err := signalError{s.(syscall.Signal)}
				if !first {
					exit(err.exitCode())
				}
				cancel(err)
			case <-stopped:
				return
			}
		}
	})
	return ctx, func() {
		signal.Stop(arrived)
		close(stopped)
		watching.Wait()
		cancel(nil)
	}
}
