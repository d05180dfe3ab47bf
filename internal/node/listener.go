package node

import (
	"context"
	"net"
	"sync"

	"github.com/rollway/rollway/internal/netloop"
)

// Serving is what the sessions of one listener share whatever its protocol: the
// word that it stops, and the goroutines of their tasks. The zero value is ready.
type Serving struct {
	Closing Closing
	Tasks   sync.WaitGroup
}

// Listener is a frontend at work. All methods may be called concurrently.
type Listener struct {
	serving *Serving
	loop    *netloop.Server
}

// NewListener returns the Listener of sessions of s that loop drives.
func NewListener(s *Serving, loop *netloop.Server) *Listener { return &Listener{s, loop} }

// Addr is the address that is listened on.
func (l *Listener) Addr() net.Addr { return l.loop.Addr() }

// Stats counts connections and bytes since the Listener began.
func (l *Listener) Stats() netloop.Stats { return l.loop.Stats() }

// Shutdown accepts and receives nothing more, answers what has begun, tells
// whoever waits for records or for others that the server stops, and closes each
// connection when its last answer has left, all of them when ctx ends. Its error
// is then netloop.ErrServerClosed, with ctx's. Nothing of the Listener runs any
// more when it returns.
func (l *Listener) Shutdown(ctx context.Context) error {
	return l.stop(func() error { return l.loop.Shutdown(ctx) })
}

// Close ends all connections at once. Nothing of the Listener runs any more when
// it returns. It may be called again, also after Shutdown.
func (l *Listener) Close() error { return l.stop(l.loop.Close) }

func (l *Listener) stop(end func() error) error {
	l.serving.Closing.Begin()
	err := end()
	l.serving.Tasks.Wait()
	return err
}
