package admin

import (
	"net"
	"sync"
	"sync/atomic"
)

// listener bounds the connections of a TCP listener: one more is closed as soon as
// it is accepted, so that it is told at once and not left waiting.
type listener struct {
	net.Listener
	most int

	mu   sync.Mutex
	open int // +checklocks:mu — Invariant: 0 <= open <= most

	accepted, refused atomic.Int64
	received          atomic.Int64 // bytes
}

// Accept implements net.Listener.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.enter() {
			l.accepted.Add(1)
			return &conn{Conn: c, listener: l}, nil
		}
		l.refused.Add(1)
		c.Close()
	}
}

func (l *listener) enter() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open == l.most {
		return false
	}
	l.open++
	return true
}

func (l *listener) leave() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
}

func (l *listener) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// conn is a connection that was counted.
type conn struct {
	net.Conn
	listener *listener
	once     sync.Once
}

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.listener.received.Add(int64(n))
	return n, err
}

// Close implements net.Conn. Package http calls it more than once.
func (c *conn) Close() error {
	c.once.Do(c.listener.leave)
	return c.Conn.Close()
}
