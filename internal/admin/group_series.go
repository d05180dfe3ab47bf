package admin

import (
	"sync"
	"unicode/utf8"
)

// otherGroups is the label of what has no series of its own. A group may be called
// so: its partitions have numbers, the sum has none.
const otherGroups = "other"

// groupSeries decides which partitions of which groups have series of their own,
// so that their number is bounded, and with it what a scrape looks up on the disk.
// A partition keeps its place for as long as the group has something committed
// there: series that come and go are of no use.
type groupSeries struct {
	most int

	mu  sync.Mutex
	own map[groupPartition]bool // +checklocks:mu — Invariant: at most most
}

// groupPartition names a partition that a group reads.
type groupPartition struct {
	group, topic string
	partition    int32
}

// groupOffset is what a group has committed.
type groupOffset struct {
	groupPartition
	offset int64
}

func newGroupSeries(most int) *groupSeries { return &groupSeries{most: most} }

// place splits what is committed into that with series of its own and that
// without, both in the order of all. New partitions get the places that are left
// in that order. A name that is not UTF-8 cannot be a label.
func (s *groupSeries) place(all []groupOffset) (own, folded []groupOffset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	kept := make(map[groupPartition]bool, min(len(all), s.most))
	for _, o := range all {
		if s.own[o.groupPartition] {
			kept[o.groupPartition] = true
		}
	}
	for _, o := range all {
		if !kept[o.groupPartition] && len(kept) < s.most && utf8.ValidString(o.group) && utf8.ValidString(o.topic) {
			kept[o.groupPartition] = true
		}
		if kept[o.groupPartition] {
			own = append(own, o)
		} else {
			folded = append(folded, o)
		}
	}
	s.own = kept
	return own, folded
}
