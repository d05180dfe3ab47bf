package client

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/rollway/rollway/wire"
)

// Options configure a Client. The zero value works.
type Options struct {
	// ClientName and ClientVersion name the program in the server's logs, each
	// 1 to 255 bytes of UTF-8. Default "rollway-client" and "unknown".
	ClientName, ClientVersion string

	// DialTimeout bounds the time for connecting and for the Welcome.
	// Default 10 s; a context may end it earlier.
	DialTimeout time.Duration

	// Dial connects to the address. Default: TCP by net.Dialer.
	Dial func(ctx context.Context, addr string) (net.Conn, error)

	// Congestion is the congestion control algorithm of the connection
	// (TCP_CONGESTION). Default: that of the system. It decides about what the
	// client sends; the server's own setting, about what it receives. It needs
	// a Dial that returns a *net.TCPConn.
	Congestion string

	// MaxFrame is the longest payload in bytes that the client takes, at least
	// wire.MinMaxFrame. A longer one breaks the connection. Default: what the
	// server's Welcome announces, which is also the most.
	MaxFrame int

	// MaxRequests bounds the calls and subscriptions that are unanswered or
	// live at one time; further calls wait. Those whose context has ended
	// count until the server has answered. Batches of producers do not count:
	// ProducerOptions.MaxInFlightBytes bounds them. Default 4096: a goroutine
	// per call would hold about 32 MiB of stacks.
	MaxRequests int

	// Log gets a line when the connection breaks. Default: no log.
	Log *slog.Logger
}

// withDefaults returns o with its zero fields set.
func (o Options) withDefaults() Options {
	setDefault(&o.ClientName, "rollway-client")
	setDefault(&o.ClientVersion, "unknown")
	setDefault(&o.DialTimeout, 10*time.Second)
	setDefault(&o.MaxFrame, wire.MaxFrameCap)
	setDefault(&o.MaxRequests, 4096)
	if o.Dial == nil {
		o.Dial = dialTCP
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

func dialTCP(ctx context.Context, addr string) (net.Conn, error) {
	var dialer net.Dialer
	return dialer.DialContext(ctx, "tcp", addr)
}

// Validate names the first field that is out of range, and the range.
func (o Options) Validate() error {
	o = o.withDefaults()
	switch {
	case o.DialTimeout < 0:
		return fmt.Errorf("client: DialTimeout: %v, want more than 0", o.DialTimeout)
	case o.MaxFrame < wire.MinMaxFrame || o.MaxFrame > wire.MaxFrameCap:
		return fmt.Errorf("client: MaxFrame: %d bytes, want %d..%d", o.MaxFrame, wire.MinMaxFrame, wire.MaxFrameCap)
	case o.MaxRequests < 1:
		return fmt.Errorf("client: MaxRequests: %d, want at least 1", o.MaxRequests)
	}
	hello := o.hello()
	if err := hello.Check(); err != nil {
		return fmt.Errorf("client: ClientName or ClientVersion: %w", err)
	}
	return nil
}

// hello returns the first frame of a connection.
func (o Options) hello() wire.Hello {
	return wire.Hello{
		MinVersion:      wire.Version,
		MaxVersion:      wire.Version,
		Software:        o.ClientName,
		SoftwareVersion: o.ClientVersion,
	}
}

// setDefault sets *field to value if it is zero.
func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
