package coord

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/rollway/rollway/internal/invariant"
)

// Log is __consumer_offsets as a Coordinator writes it.
type Log interface {
	// Append is to append the records to a partition, in their order and in that
	// of the calls. It is called with the coordinator's lock held: it neither
	// waits nor calls the coordinator. The records are the log's from then on.
	//
	// Each call is settled later by one call of Coordinator.Settle, those of a
	// partition in order: without an error when all its records are durable, with
	// one when they are not, or not all, and never will be. They may be cut into
	// batches anywhere: what a crash leaves is any number of the records from the
	// front.
	Append(partition int32, records []Record)
}

// Options configure a Coordinator. Log is required.
type Options struct {
	Settings
	Log Log
	// NewMemberID makes the id of a member out of its instance id or else its
	// client id; nil: a random UUID behind it. It is called with the coordinator's
	// lock held, and never returns an id twice.
	NewMemberID func(name string) string
	// TopicGone tells whether there is no topic any more of that name and id; of
	// that name, if the id is zero. nil: there are all. It is called with the
	// coordinator's lock held: it neither waits nor calls the coordinator.
	TopicGone func(topic string, id [16]byte) bool
	// Wake, if not nil, tells that Tick is to be called earlier than it has
	// returned. It is called with the coordinator's lock held: it neither waits
	// nor calls the coordinator.
	Wake func()
}

// Coordinator keeps the groups of a node. All methods may be called
// concurrently; they wait for nothing but one another. The times that they are
// given are those of one clock; that a call overtakes another does no harm.
type Coordinator struct {
	settings    Settings
	log         Log
	newMemberID func(name string) string
	topicGone   func(topic string, id [16]byte) bool
	wake        func()

	// mu guards all below, and every group, member, timer and Pending. The methods
	// of those are called with it held.
	mu         sync.Mutex
	partitions []partition // +checklocks:mu
	timers     timers      // +checklocks:mu
	told       time.Time   // +checklocks:mu — when Tick is to be called, as whoever calls it knows
	retention  retention   // +checklocks:mu
	bytes      int64       // +checklocks:mu — of all groups, about
	stats      Stats       // +checklocks:mu
}

// Stats are counts since the coordinator was made, and what there is now.
type Stats struct {
	Groups, Members, PendingMembers, Offsets int
	Bytes                                    int64 // of memory, about
	Joins, Rebalances, SessionsExpired       int64
	Commits, OffsetsExpired, OffsetsGone     int64 // OffsetsGone: with their topics
	WritesFailed                             int64
}

// New returns a coordinator whose partitions are all still to be loaded: until
// Loaded is called for a partition its groups are answered
// CoordinatorLoadInProgress, and for ever if it is Unloadable.
//
// Errors: those of Settings.Validate.
func New(o Options, now time.Time) (*Coordinator, error) {
	if err := o.Settings.Validate(); err != nil {
		return nil, err
	}
	c := &Coordinator{settings: o.Settings.withDefaults(), log: o.Log, newMemberID: o.NewMemberID, topicGone: o.TopicGone, wake: o.Wake}
	if c.newMemberID == nil {
		c.newMemberID = randomMemberID
	}
	if c.topicGone == nil {
		c.topicGone = func(string, [16]byte) bool { return false }
	}
	c.partitions = make([]partition, c.settings.Partitions)
	for i := range c.partitions {
		c.partitions[i] = partition{index: int32(i), groups: map[string]*group{}}
	}
	c.retention.timer.owner = &c.retention
	c.timers.set(&c.retention.timer, now.Add(c.retention.interval(c)))
	return c, nil
}

// randomMemberID puts a random UUID (RFC 9562, version 4) behind name.
func randomMemberID(name string) string {
	var id [16]byte
	rand.Read(id[:]) // never fails
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	h := hex.EncodeToString(id[:])
	return name + "-" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// Tick does what is due at now, and returns when it is to be called again;
// zero: not before Wake.
func (c *Coordinator) Tick(now time.Time) (next time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for {
		t := c.timers.due(now)
		if t == nil {
			break
		}
		t.owner.expire(c, now)
	}
	c.told = c.timers.next()
	return c.told
}

// rouse tells whoever calls Tick if that is to be earlier than it knows.
func (c *Coordinator) rouse() {
	next := c.timers.next()
	if !next.IsZero() && (c.told.IsZero() || next.Before(c.told)) {
		c.told = next
		if c.wake != nil {
			c.wake()
		}
	}
}

// Stats returns what is counted.
func (c *Coordinator) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Bytes = c.bytes
	return s
}

// Close ends the coordinator: every answer that is awaited is NotCoordinator,
// and so is every later one. Appends need not be settled after it.
func (c *Coordinator) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.partitions {
		p := &c.partitions[i]
		p.state = closed
		for _, g := range p.sorted() {
			for _, m := range g.order {
				m.joined.resolve(refuseJoin(NotCoordinator, m.id))
				m.synced.resolve(SyncAnswer{Code: NotCoordinator})
			}
		}
		writes := p.writes
		p.writes, p.groups = nil, map[string]*group{}
		for _, w := range writes {
			if w.lost != nil {
				w.lost()
			}
		}
	}
	c.timers = timers{}
}

// partitionOf returns the partition of a group and whether it is served: any
// other Code than None is the answer.
func (c *Coordinator) partitionOf(group string) (*partition, Code) {
	if len(group) > maxString {
		return nil, InvalidGroupID
	}
	p := &c.partitions[PartitionOf(group, c.settings.Partitions)]
	switch p.state {
	case loading, unloadable:
		return p, CoordinatorLoadInProgress
	case closed:
		return p, NotCoordinator
	}
	return p, None
}

// find returns a group; nil if there is none.
func (c *Coordinator) find(group string) (*group, Code) {
	p, code := c.partitionOf(group)
	if code != None {
		return nil, code
	}
	return p.groups[group], None
}

// room tells whether so many bytes more may be kept.
func (c *Coordinator) room(bytes int) bool { return c.bytes+int64(bytes) <= c.settings.MaxBytes }

// partition is one of the offsets log, with the groups whose records go there.
type partition struct {
	index  int32
	state  partitionState
	groups map[string]*group
	writes []write // not settled, oldest first
}

type partitionState uint8

const (
	loading partitionState = iota
	unloadable
	serving
	closed
)

// write is one Append that is not settled.
type write struct {
	settled func(err error, now time.Time) // may be nil
	lost    func()                         // the coordinator ends before it is settled; may be nil
}

// append gives records to the log. settled is called when they are durable, or
// when they are not.
func (c *Coordinator) append(p *partition, records []Record, w write) {
	p.writes = append(p.writes, w)
	c.log.Append(p.index, records)
}

// Settle ends the oldest Append of a partition that is not settled: err is nil
// when its records are durable.
func (c *Coordinator) Settle(partition int32, err error, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	p := &c.partitions[partition]
	if p.state == closed {
		return
	}
	invariant.Check(len(p.writes) > 0, "settle partition %d of the offsets log: all is settled", partition)
	w := p.writes[0]
	p.writes[0] = write{}
	p.writes = p.writes[1:]
	if err != nil {
		c.stats.WritesFailed++
	}
	if w.settled != nil {
		w.settled(err, now)
	}
	c.rouse()
}

// Protocol is a way to assign partitions that a member offers, and what it says
// to whoever does it. The coordinator does not look into it.
type Protocol struct {
	Name     string
	Metadata []byte
}

// TopicPartitions names partitions of a topic.
type TopicPartitions struct {
	Topic      string
	Partitions []int32
}
