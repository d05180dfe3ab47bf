package kafka

import (
	"math"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	// maxSessionPartitions bounds the partitions of all sessions: 100 MiB.
	maxSessionPartitions = 256 << 10
	// sessionEviction is Kafka's min.incremental.fetch.session.eviction.ms: what
	// was not used for so long gives way to anything, and what was made so long
	// ago to what is larger.
	sessionEviction = 2 * time.Minute
)

// fetchSessions are the fetch sessions of a node: a client may go on with one on
// any connection. They may be used concurrently; mu is a leaf.
type fetchSessions struct {
	now func() time.Time

	mu         sync.Mutex
	byID       map[int32]*fetchSession // +checklocks:mu
	partitions int                     // +checklocks:mu — of all of them, as far as known
}

func newFetchSessions() *fetchSessions {
	return &fetchSessions{now: time.Now, byID: map[int32]*fetchSession{}}
}

// get returns the session of that id, or nil.
func (c *fetchSessions) get(id int32) *fetchSession {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.byID[id]
}

// add makes s, which holds what a request has asked for, a session, and gives it
// its id; false if there is no place for it among slots. Under s.mu.
func (c *fetchSessions) add(s *fetchSession, slots int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	size, now := len(s.partitions), c.now()
	for len(c.byID) >= slots || c.partitions+size > maxSessionPartitions {
		if !c.evict(size, now) {
			return false
		}
	}
	id := int32(0)
	for id == 0 || c.byID[id] != nil {
		id = rand.Int32N(math.MaxInt32)
	}
	s.id, s.size, s.created, s.used = id, size, now, now
	s.epoch = nextEpoch(initialEpoch)
	c.byID[id] = s
	c.partitions += size
	return true
}

// evict takes the slot of another session for one of so many partitions, if there
// is one that has to give way: Kafka's rule (FetchSession.scala, tryEvict). It
// looks at all of them, and only when there is no slot.
//
// +checklocks:c.mu
func (c *fetchSessions) evict(size int, now time.Time) bool {
	var stalest, smallest *fetchSession
	for _, s := range c.byID {
		if stalest == nil || s.used.Before(stalest.used) {
			stalest = s
		}
		if now.Sub(s.created) > sessionEviction && (smallest == nil || s.size < smallest.size) {
			smallest = s
		}
	}
	switch {
	case stalest != nil && now.Sub(stalest.used) > sessionEviction:
		c.removeLocked(stalest)
	case smallest != nil && smallest.size < size:
		c.removeLocked(smallest)
	default:
		return false
	}
	return true
}

// remove ends the session of that id, if there is one. Who reads it may end that.
func (c *fetchSessions) remove(id int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.byID[id]; s != nil {
		c.removeLocked(s)
	}
}

// +checklocks:c.mu
func (c *fetchSessions) removeLocked(s *fetchSession) {
	delete(c.byID, s.id)
	c.partitions -= s.size
}

// touch notes that s is used, and how large it is now. One that has grown beyond
// what all may have is none any more: its client has to make another. Under s.mu.
func (c *fetchSessions) touch(s *fetchSession) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.used = c.now()
	if c.byID[s.id] != s {
		return
	}
	grown := len(s.partitions) > s.size
	c.partitions += len(s.partitions) - s.size
	s.size = len(s.partitions)
	if grown && c.partitions > maxSessionPartitions {
		c.removeLocked(s)
	}
}
