package e2e

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// stint is what one consumer tells of one partition, from when it was assigned
// to when it was revoked or the consumer ended.
type stint struct {
	consumer int
	since    int64 // ms
	events   []verifiableEvent
}

// stintsOf returns the stints of a partition, in their order: a partition is
// assigned when whoever had it has heard that it is revoked, or is gone.
func stintsOf(consumers [][]verifiableEvent, partition int) []stint {
	var stints []stint
	for i, events := range consumers {
		var open *stint
		for _, e := range events {
			at := func(p verifiablePartition) bool { return p.Partition == partition }
			switch {
			case e.Name == "partitions_assigned" && slices.ContainsFunc(e.Partitions, at):
				open = &stint{consumer: i, since: e.Timestamp}
			case open == nil:
			case e.Name == "partitions_revoked" && slices.ContainsFunc(e.Partitions, at):
				stints, open = append(stints, *open), nil
			default:
				open.events = append(open.events, e)
			}
		}
		if open != nil {
			stints = append(stints, *open)
		}
	}
	slices.SortStableFunc(stints, func(a, b stint) int { return cmp.Compare(a.since, b.since) })
	return stints
}

// delivery is how far a group has come in a partition.
type delivery struct {
	next      int64 // the first offset that nobody has consumed
	committed int64 // the last commit that a consumer has heard of
	unheard   int64 // where there may have been one more, otherwise committed
	repeated  int64 // records that were consumed again
}

// deliveryOf follows the consumers of a group, which commit all they have consumed
// before they go on. Each must begin where the group had committed, so no record is
// left out, and none comes again that is known to be committed. Of a consumer
// that is killed it is not known whether its last commit was carried out.
func deliveryOf(consumers [][]verifiableEvent, partition int) (delivery, error) {
	var d delivery
	for _, s := range stintsOf(consumers, partition) {
		position := int64(-1)
		for _, e := range s.events {
			fail := func(format string, args ...any) error {
				return fmt.Errorf("partition %d, consumer %d: %s: %+v", partition, s.consumer, fmt.Sprintf(format, args...), e)
			}
			for _, p := range e.Partitions {
				if p.Partition != partition || e.Name != "records_consumed" {
					continue
				}
				switch begins := p.MinOffset; {
				case p.Count != p.MaxOffset+1-begins:
					return d, fail("%d records", p.Count)
				case position >= 0 && begins != position:
					return d, fail("a jump from %d", position)
				case position < 0 && begins < d.committed:
					return d, fail("again, behind a commit of %d", d.committed)
				case position < 0 && begins != d.committed && begins != d.unheard:
					return d, fail("a gap behind %d", d.committed)
				case position < 0:
					d.committed = begins
				}
				position = p.MaxOffset + 1
				d.repeated += max(0, min(d.next, position)-p.MinOffset)
				d.next, d.unheard = max(d.next, position), position
			}
			for _, p := range e.Offsets {
				switch {
				case p.Partition != partition:
				case !e.Success:
					return d, fail("a commit fails")
				case p.Offset != position:
					return d, fail("a commit, at %d", position)
				default:
					d.committed, d.unheard = p.Offset, p.Offset
				}
			}
		}
	}
	return d, nil
}

// What deliveryOf looks for is found, and what may be is let pass.
func TestDeliveryOf(t *testing.T) {
	clock := int64(0)
	event := func(name string) verifiableEvent {
		clock++
		return verifiableEvent{Timestamp: clock, Name: name}
	}
	partitions := func(name string) verifiableEvent {
		e := event(name)
		e.Partitions = []verifiablePartition{{Partition: 0}, {Partition: 7}}
		return e
	}
	assigned := func() verifiableEvent { return partitions("partitions_assigned") }
	revoked := func() verifiableEvent { return partitions("partitions_revoked") }
	consumed := func(first, last int64) verifiableEvent {
		e := event("records_consumed")
		e.Partitions = []verifiablePartition{{Partition: 1, MinOffset: 1000, MaxOffset: 1000, Count: 1}, {Partition: 7, MinOffset: first, MaxOffset: last, Count: last + 1 - first}}
		return e
	}
	commits := func(offset int64) verifiableEvent {
		e := event("offsets_committed")
		e.Success, e.Offsets = true, []verifiablePartition{{Partition: 7, Offset: offset}}
		return e
	}
	f := func(want string, consumers ...[]verifiableEvent) {
		t.Helper()
		d, err := deliveryOf(consumers, 7)
		got := fmt.Sprintf("%+v", d)
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, want) {
			t.Errorf("%s, want %s", got, want)
		}
	}
	type events = []verifiableEvent
	first := events{assigned(), consumed(0, 4), commits(5), consumed(5, 9)}
	f("next:0 committed:0 unheard:0 repeated:0")
	f("next:10 committed:5 unheard:10 repeated:0", first)
	// Another goes on, whether the commit was carried out or not.
	f("next:15 committed:15 unheard:15 repeated:0", events{assigned(), consumed(10, 14), commits(15)}, first)
	f("next:12 committed:12 unheard:12 repeated:5", first, events{assigned(), consumed(5, 11), commits(12)})
	f("next:10 committed:7 unheard:10 repeated:5", first, events{assigned(), consumed(5, 6), commits(7), consumed(7, 9)})
	f("a gap behind 5", first, events{assigned(), consumed(6, 11)})
	f("a gap behind 5", first, events{assigned(), consumed(11, 11)})
	f("again, behind a commit of 5", first, events{assigned(), consumed(4, 11)})
	f("a jump from 7", first, events{assigned(), consumed(5, 6), commits(7), consumed(8, 9)})
	f("a jump from 7", first, events{assigned(), consumed(5, 6), commits(7), consumed(6, 9)})
	f("a commit, at 7", first, events{assigned(), consumed(5, 6), commits(8)})
	f("a commit fails", first, events{assigned(), consumed(5, 6), {Name: "offsets_committed", Offsets: []verifiablePartition{{Partition: 7, Offset: 7}}}})
	f("4 records", first, events{assigned(), {Name: "records_consumed", Partitions: []verifiablePartition{{Partition: 7, MinOffset: 5, MaxOffset: 9, Count: 4}}}})
	f("next:10 committed:7 unheard:9 repeated:4", first, events{assigned(), consumed(5, 6), commits(7), consumed(7, 8)})
	f("a gap behind 7", first, events{assigned(), consumed(5, 6), commits(7), consumed(7, 8)}, events{assigned(), consumed(10, 11)})
	// What was revoked is settled: there is nothing that may come again.
	second := events{assigned(), consumed(0, 4), commits(5), revoked(), assigned(), consumed(5, 6), commits(7), revoked()}
	f("next:7 committed:7 unheard:7 repeated:0", second)
	f("again, behind a commit of 7", second, events{assigned(), consumed(5, 6)})
	f("a gap behind 7", second, events{assigned(), consumed(8, 9)})
}
