package node

import (
	"sync"
	"sync/atomic"
)

// Closing tells those who wait for records, maybe for hours, that their
// frontend stops. The zero value is ready. It is safe for concurrent use; its
// lock is a leaf.
type Closing struct {
	begun   atomic.Bool // changes under mu
	mu      sync.Mutex
	waiting map[any]func() // +checklocks:mu — their wakes
}

// HasBegun tells whether the frontend stops.
func (c *Closing) HasBegun() bool { return c.begun.Load() }

// Enroll has wake called when the frontend stops; false if it does already. who
// is a pointer that tells one who waits from another. wake is called under the
// lock.
func (c *Closing) Enroll(who any, wake func()) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.begun.Load() {
		return false
	}
	if c.waiting == nil {
		c.waiting = map[any]func(){}
	}
	c.waiting[who] = wake
	return true
}

// Leave undoes an Enroll.
func (c *Closing) Leave(who any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.waiting, who)
}

// Begin wakes all who wait, once, and whoever comes later is told by Enroll.
func (c *Closing) Begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.begun.Store(true)
	for _, wake := range c.waiting {
		wake()
	}
	c.waiting = nil
}

// Waiting returns how many are enrolled.
func (c *Closing) Waiting() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.waiting)
}
