package kafka

import (
	"time"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/zerocopy"
)

// Address is a host and a port as clients are told them.
type Address struct {
	Host string // name or address, without brackets; "" is not known
	Port int32  // 0 is not known
}

// Options of a listener: what is its own alone. What all listeners of a
// node share is in node.Options. The zero value works.
type Options struct {
	// Name is the listener's name, as in Kafka's listeners setting; it stands in
	// log lines. Default "kafka".
	Name string

	// Advertised is where clients are told to find this node
	// (advertised.listeners). Default: the address that is listened on, or, where
	// that is every address of the host, the one that the client has come to.
	Advertised Address

	// IdleTimeout closes a connection that is silent and waits for no answer. No
	// Fetch waits for longer, whatever it says.
	// Default 10 minutes (connections.max.idle.ms); negative: never.
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

// idle returns IdleTimeout with its default; 0 is never.
func (o Options) idle() time.Duration {
	switch {
	case o.IdleTimeout == 0:
		return 10 * time.Minute
	case o.IdleTimeout < 0:
		return 0
	}
	return o.IdleTimeout
}

// netloop returns the options of the driver of o's listener.
func (o Options) netloop(n *node.Node) netloop.Options {
	name := o.Name
	if name == "" {
		name = "kafka"
	}
	return netloop.Options{
		Limits:        n.ConnectionLimits,
		MaxFrameBytes: n.Limits().MaxFrameBytes + sizeBytes,
		Budget:        n.Budget(),
		FrameTimeout:  o.FrameTimeout,
		IdleTimeout:   o.idle(),
		StallTimeout:  o.StallTimeout,
		Congestion:    o.Congestion,
		NotSentLowat:  o.NotSentLowat,
		SendBuffer:    o.SendBuffer,
		Path:          o.Path,
		CoalesceBelow: o.CoalesceBelow,
		Counters:      n.Counters(),
		Log:           n.Log().With("listener", name),
	}
}
