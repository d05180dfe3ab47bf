package kafka

import (
	"math"
	"slices"
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
)

// Epochs of requests that are not of a fetch session yet, or any more (KIP-227).
const (
	initialEpoch = 0  // makes one, or makes it anew
	finalEpoch   = -1 // ends one, or wants none
)

// nextEpoch is the epoch of the request after that of epoch, from 1 on.
func nextEpoch(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return 1
	}
	return epoch + 1
}

// fetchSession are the partitions that a client fetches from, in the order in
// which they are read: those of a fetch session (KIP-227), of which its requests
// name only what changes, or those of a single request.
type fetchSession struct {
	// What fetchSessions knows of it, under its mu; id never changes once it is
	// given.
	id      int32 // 0: of a single request
	size    int   // partitions
	created time.Time
	used    time.Time

	mu         sync.Mutex // before fetchSessions.mu and what the engine locks
	ids        bool       // topics are named by their ids
	epoch      int32      // of the next request
	user       *fetch     // that is being answered, or waits
	partitions []*fetchedPartition
	byKey      map[partitionKey]*fetchedPartition // nil for a single request
	chosen     []*fetchedPartition                // for the answer that is being made
}

// want takes in what a request says of partitions: those that are there are
// changed, others come last. Under mu, or before anybody else knows s.
func (s *fetchSession) want(f *frontend, topics []fetchTopic) {
	for i := range topics {
		t := &topics[i]
		unknown := "" // its name as a string, once it is needed
		for j := range t.partitions {
			w := &t.partitions[j]
			if s.byKey != nil {
				if p := s.byKey[partitionKey{string(t.name), t.id, w.index}]; p != nil {
					p.wants = *w
					continue
				}
			}
			p := s.add(w)
			p.key = partitionKey{id: t.id, index: w.index}
			p.partition, _ = f.partition(t.name, t.id, s.ids, w.index) // the look at it says why not
			switch {
			case s.ids:
			case p.partition != nil:
				p.key.name = p.partition.Topic() // not a new string
			default:
				if unknown == "" {
					unknown = string(t.name)
				}
				p.key.name = unknown
			}
			if s.byKey != nil {
				s.byKey[p.key] = p
			}
		}
	}
}

// add puts a partition, whose key is to be set, behind the others.
func (s *fetchSession) add(w *wantedPartition) *fetchedPartition {
	n := len(s.partitions)
	if n < cap(s.partitions) {
		s.partitions = s.partitions[:n+1]
	} else {
		s.partitions = append(s.partitions, nil)
	}
	if s.partitions[n] == nil {
		s.partitions[n] = new(fetchedPartition)
	}
	p := s.partitions[n]
	p.wants, p.toldHighWatermark, p.toldLogStart = *w, -1, -1
	return p
}

// forget drops partitions. Under mu.
func (s *fetchSession) forget(topics []forgottenTopic) {
	if len(topics) == 0 {
		return
	}
	for i := range topics {
		t := &topics[i]
		for _, index := range t.partitions {
			delete(s.byKey, partitionKey{string(t.name), t.id, index})
		}
	}
	s.partitions = slices.DeleteFunc(s.partitions, func(p *fetchedPartition) bool { return s.byKey[p.key] != p })
}

// displace ends the wait of a request whose answer will not be waited for: the
// client has sent the next one, on another connection. Under mu.
func (s *fetchSession) displace() {
	if s.user == nil {
		return
	}
	wake := s.user.wake
	s.leave()
	if wake != nil {
		wake() // to say so
	}
}

// leave ends what a request held. Under mu.
func (s *fetchSession) leave() {
	s.drop()
	for _, p := range s.partitions {
		p.wait.Forget()
	}
	s.user = nil
}

// drop gives up the bytes that were cut and not sent. Under mu.
func (s *fetchSession) drop() {
	for _, p := range s.partitions {
		p.drop()
	}
}

// choose picks the partitions for an answer, all or only those of which there is
// news, and returns how many topics they are, one behind the other. Under mu.
func (s *fetchSession) choose(news bool) (topics int) {
	s.chosen = s.chosen[:0]
	for _, p := range s.partitions {
		p.gave = false
		if !news || p.isNews() {
			s.chosen = append(s.chosen, p)
		}
	}
	for rest := s.chosen; len(rest) > 0; topics++ {
		rest = rest[ofOneTopic(rest):]
	}
	return topics
}

// ofOneTopic returns how many partitions at the start of list are of one topic.
func ofOneTopic(list []*fetchedPartition) int {
	first := &list[0].key
	n := 1
	for n < len(list) && list[n].key.id == first.id && list[n].key.name == first.name {
		n++
	}
	return n
}

// told notes what the client was told by the answer of what was chosen. rotate
// puts the partitions that had data last, so that the others have their turn when
// an answer is too small for all. Under mu.
func (s *fetchSession) told(rotate bool) {
	for _, p := range s.chosen {
		p.told()
	}
	if !rotate {
		return
	}
	full := s.chosen[:0] // is used no more
	rest := s.partitions[:0]
	for _, p := range s.partitions {
		if p.gave {
			full = append(full, p)
		} else {
			rest = append(rest, p)
		}
	}
	s.partitions = append(rest, full...)
}

// reuse empties s for another request, unless it is too large to be kept.
func (s *fetchSession) reuse() bool {
	if cap(s.partitions) > maxPooledPartitions {
		return false
	}
	for _, p := range s.partitions {
		p.partition, p.cursor, p.key = nil, engine.Cursor{}, partitionKey{}
	}
	s.partitions, s.byKey, s.user = s.partitions[:0], nil, nil
	return true
}
