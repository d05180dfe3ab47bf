package server

import (
	"fmt"
	"math"
	"time"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// Options of a listener: what is its own alone. What all listeners of a
// node share is in node.Options. The zero value works.
type Options struct {
	// MaxSubscriptions is how many subscriptions one connection may have.
	// Default 1,024: a reader of a topic with as many partitions.
	MaxSubscriptions int

	// MaxCredit is the credit in bytes that one subscription may hold. Default
	// wire.DefaultMaxCredit.
	MaxCredit int64

	// IdleTimeout closes a connection that is silent and has neither an
	// unanswered request nor a subscription. Default wire.DefaultIdleTimeout;
	// negative: never.
	IdleTimeout time.Duration

	// FrameTimeout and StallTimeout close a connection that leaves a frame
	// half sent, or does not take its answers. Defaults 30 s and 60 s, those
	// of netloop.Options.
	FrameTimeout, StallTimeout time.Duration

	// Path is how fetched batches go to the socket, and CoalesceBelow the
	// size in bytes below which Path Auto copies. Defaults as in
	// zerocopy.Options.
	Path          zerocopy.Path
	CoalesceBelow int

	// Congestion, NotSentLowat and SendBuffer set the sockets, as in
	// netloop.Options.
	Congestion   string
	NotSentLowat int
	SendBuffer   int
}

// withDefaults returns o with its defaults filled in, or names the field that
// is out of range. What netloop bounds is checked there.
func (o Options) withDefaults() (Options, error) {
	if o.MaxSubscriptions == 0 {
		o.MaxSubscriptions = 1_024
	}
	if o.MaxCredit == 0 {
		o.MaxCredit = wire.DefaultMaxCredit
	}
	switch {
	case o.IdleTimeout == 0:
		o.IdleTimeout = wire.DefaultIdleTimeout
	case o.IdleTimeout < 0:
		o.IdleTimeout = 0
	}
	for _, f := range []struct {
		name     string
		value    int64
		min, max int64
	}{
		{"MaxSubscriptions", int64(o.MaxSubscriptions), 1, 1 << 20},
		{"MaxCredit", o.MaxCredit, 1, math.MaxInt64},
		{"IdleTimeout in ms", o.IdleTimeout.Milliseconds(), 0, math.MaxUint32},
	} {
		if f.value < f.min || f.value > f.max {
			return o, fmt.Errorf("wire server options: %s is %d, want %d to %d", f.name, f.value, f.min, f.max)
		}
	}
	return o, nil
}

// netloop returns the options of the driver of o's listener.
func (o Options) netloop(n *node.Node) netloop.Options {
	return netloop.Options{
		Limits:        n.ConnectionLimits,
		MaxFrameBytes: maxFrame(n) + wire.HeadSize,
		Budget:        n.Budget(),
		FrameTimeout:  o.FrameTimeout,
		IdleTimeout:   o.IdleTimeout,
		StallTimeout:  o.StallTimeout,
		Congestion:    o.Congestion,
		NotSentLowat:  o.NotSentLowat,
		SendBuffer:    o.SendBuffer,
		Path:          o.Path,
		CoalesceBelow: o.CoalesceBelow,
		Counters:      n.Counters(),
		Log:           n.Log().With("listener", "wire"),
	}
}

// maxFrame is the largest payload of a frame on connections of the node.
func maxFrame(n *node.Node) int { return min(n.Limits().MaxFrameBytes, wire.MaxFrameCap) }
