package netloop

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/rollway/rollway/zerocopy"
)

// Options of a Server. The zero value works.
type Options struct {
	// Limits returns how many connections may be open; one more is closed as
	// soon as it is accepted. It is asked for each that comes, so that the bounds
	// may change while the Server runs, and must not block. Default: always
	// 10,000, and 1,000 of one address.
	Limits func() ConnectionLimits

	// InFlightBytes bounds the bytes of answers that one connection has in
	// memory or in Ranges and not yet sent. At the bound nothing more is
	// received from it; the answers to what was received before may exceed it
	// by one. Default 4 MiB.
	InFlightBytes int64

	// MaxQueuedAnswers bounds, likewise, the Deferreds in order and the
	// Ranges. Default 1,024. Streams are not bounded here: how many a peer
	// may open is the protocol's to say.
	MaxQueuedAnswers int

	// MaxFrameBytes bounds the receive buffer of one connection: a session
	// that needs more to complete one frame loses its connection. At least
	// 256 KiB; a power of two, or rounded up to one, and then at most half of
	// the Budget. Default half of the Budget.
	MaxFrameBytes int

	// Budget bounds the memory that connections receive into. Default: one of
	// 256 MiB that all Servers of the process share which name no other.
	Budget *Budget

	// FrameTimeout closes a connection of which a frame stays incomplete: not
	// before this time, and before twice that. A bound on who sends a byte
	// now and then, so it covers the frame as a whole. Default 30 s.
	FrameTimeout time.Duration

	// IdleTimeout closes a connection on which nothing was received or sent
	// while it had no answer to come and no stream: not before this time, and
	// before twice that, or FrameTimeout later. Default 0: never.
	IdleTimeout time.Duration

	// StallTimeout closes a connection whose peer accepts not one byte of
	// what is to be sent: not before this time, and before twice that. The
	// kernel is told twice this for bytes that are sent and never
	// acknowledged (TCP_USER_TIMEOUT). It also bounds how long answers may
	// take that stand before the one that ends a connection. Default 60 s.
	StallTimeout time.Duration

	// Congestion is the congestion control algorithm, such as "cubic". Default:
	// the system's. It matters even on loopback, see zerocopy.SetCongestion.
	Congestion string

	// NotSentLowat bounds the bytes that wait unsent in one socket
	// (TCP_NOTSENT_LOWAT). Default 256 KiB; negative: the system's.
	NotSentLowat int

	// SendBuffer fixes the bytes of one socket's send buffer (SO_SNDBUF).
	// Default 0: the kernel tunes it, which a distant reader needs: at 5 ms
	// 256 KiB cap it to 50 MB/s.
	SendBuffer int

	// KeepAlive is how long a connection is silent before the kernel probes
	// it, and the time between probes. Default: what the listener sets, in Go
	// 15 s. Negative: no probes.
	KeepAlive time.Duration

	// Path is the way of Ranges to the socket, and CoalesceBelow the size in
	// bytes below which Path Auto copies, as in zerocopy.Options.
	Path          zerocopy.Path
	CoalesceBelow int

	// Pipes lends the pipes of Path Splice. Default: a pool of the Server's own.
	Pipes *zerocopy.PipePool

	// Counters are told what was sent which way. Default: nobody is.
	Counters *zerocopy.Counters

	// Log gets a line for each connection that is closed for an error and,
	// at most once a second, for refused ones. Default slog.Default().
	Log *slog.Logger
}

// Validate returns an error that names the field, its value and its range.
func (o Options) Validate() error {
	budget := o.Budget
	if budget == nil {
		budget = processBudget()
	}
	for _, f := range []struct {
		name     string
		value    int64
		min, max int64
	}{
		{"InFlightBytes", o.InFlightBytes, 0, 1 << 40},
		{"MaxQueuedAnswers", int64(o.MaxQueuedAnswers), 0, 1 << 20},
		{"MaxFrameBytes", int64(o.MaxFrameBytes), 0, budget.Limit() / 2},
		{"SendBuffer", int64(o.SendBuffer), 0, 1 << 30},
		{"NotSentLowat", int64(o.NotSentLowat), -1, 1 << 30},
	} {
		if f.value < f.min || f.value > f.max {
			return fmt.Errorf("netloop: Options.%s %d, want %d to %d", f.name, f.value, f.min, f.max)
		}
	}
	for _, f := range []struct {
		name  string
		value time.Duration
	}{
		{"FrameTimeout", o.FrameTimeout},
		{"IdleTimeout", o.IdleTimeout},
		{"StallTimeout", o.StallTimeout},
	} {
		if f.value < 0 || f.value > 24*time.Hour {
			return fmt.Errorf("netloop: Options.%s %v, want 0 to 24h", f.name, f.value)
		}
	}
	sender := o.sender()
	if o.Path == zerocopy.Splice && o.Pipes == nil {
		sender.Pipes = new(zerocopy.PipePool) // Serve makes one
	}
	return sender.Validate()
}

// withDefaults returns o with what its zero values stand for, except Pipes.
func (o Options) withDefaults() Options {
	if o.Limits == nil {
		o.Limits = defaultConnectionLimits
	}
	if o.InFlightBytes == 0 {
		o.InFlightBytes = 4 << 20
	}
	if o.MaxQueuedAnswers == 0 {
		o.MaxQueuedAnswers = 1_024
	}
	if o.Budget == nil {
		o.Budget = processBudget()
	}
	if o.MaxFrameBytes == 0 {
		o.MaxFrameBytes = int(o.Budget.Limit() / 2)
	}
	if o.FrameTimeout == 0 {
		o.FrameTimeout = 30 * time.Second
	}
	if o.StallTimeout == 0 {
		o.StallTimeout = time.Minute
	}
	if o.NotSentLowat == 0 {
		o.NotSentLowat = 256 << 10
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// sender returns the options of a connection's Sender.
func (o Options) sender() zerocopy.Options {
	return zerocopy.Options{
		Path:          o.Path,
		CoalesceBelow: o.CoalesceBelow,
		Counters:      o.Counters,
		Pipes:         o.Pipes,
	}
}
