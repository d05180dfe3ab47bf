package server

import (
	"sync"
	"sync/atomic"
)

// closing tells those who wait for records, maybe for hours, that the server
// stops. The zero value is ready.
type closing struct {
	begun   atomic.Bool // changes under mu
	mu      sync.Mutex
	waiting map[*highWatermarkWait]func() // +checklocks:mu — their wakes
}

// hasBegun tells whether the server stops.
func (c *closing) hasBegun() bool { return c.begun.Load() }

// enroll has wake called when the server stops; false if it does already.
func (c *closing) enroll(w *highWatermarkWait, wake func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun.Load() {
		return false
	}
	if c.waiting == nil {
		c.waiting = map[*highWatermarkWait]func(){}
	}
	c.waiting[w] = wake
	return true
}

// leave undoes an enroll.
func (c *closing) leave(w *highWatermarkWait) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, w)
}

// begin wakes all who wait, once, and whoever comes later is told by enroll.
func (c *closing) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun.Store(true)
	for _, wake := range c.waiting {
		wake()
	}
	c.waiting = nil
}
