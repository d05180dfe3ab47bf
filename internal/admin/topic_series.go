package admin

import (
	"maps"
	"slices"
	"sync"

	"github.com/rollway/rollway/engine"
)

// otherTopics is the label of topics without series of their own. Topics may be
// called so, too; such a one has none.
const otherTopics = "other"

// topicSeries decides which topics have series of their own, so that their number
// is bounded. A topic keeps its place for as long as it exists: if one moved, the
// counters of both places would jump.
type topicSeries struct {
	most int

	mu     sync.Mutex
	places map[engine.TopicID]*topicPlace // +checklocks:mu
	own    int                            // +checklocks:mu — places with series of their own. Invariant: own <= most
	gone   topicCounts                    // +checklocks:mu — of deleted topics without
}

// topicPlace is what is known of one topic.
type topicPlace struct {
	own  bool
	last topicCounts
}

// topicCounts is what is counted of a topic.
type topicCounts struct{ appendedBytes, appendedRecords, fetchedBytes int64 }

func (c *topicCounts) add(d topicCounts) {
	c.appendedBytes += d.appendedBytes
	c.appendedRecords += d.appendedRecords
	c.fetchedBytes += d.fetchedBytes
}

// namedCounts are those of one series.
type namedCounts struct {
	topic string
	topicCounts
}

func newTopicSeries(most int) *topicSeries {
	return &topicSeries{most: most, places: map[engine.TopicID]*topicPlace{}}
}

// place returns the series of these topics, and how many topics are summed up in
// the last one, which is there only if some are or were. New topics get the places
// that are left in the order of their names.
func (s *topicSeries) place(all map[string]*engine.Topic, counts map[engine.TopicID]topicCounts) (series []namedCounts, folded int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(counts)
	other := s.gone
	for _, name := range slices.Sorted(maps.Keys(all)) {
		id := all[name].ID()
		p := s.places[id]
		if p == nil {
			p = &topicPlace{own: s.own < s.most && name != otherTopics}
			if p.own {
				s.own++
			}
			s.places[id] = p
		}
		p.last = counts[id]
		if p.own {
			series = append(series, namedCounts{name, p.last})
			continue
		}
		folded++
		other.add(p.last)
	}
	if folded > 0 || s.gone != (topicCounts{}) {
		series = append(series, namedCounts{otherTopics, other})
	}
	return series, folded
}

// forget gives back the places of topics that are gone. What was counted of one
// without series stays in the sum, which must not fall.
//
// +checklocks:s.mu
func (s *topicSeries) forget(counts map[engine.TopicID]topicCounts) {
	for id, p := range s.places {
		if _, there := counts[id]; there {
			continue
		}
		if p.own {
			s.own--
		} else {
			s.gone.add(p.last)
		}
		delete(s.places, id)
	}
}
