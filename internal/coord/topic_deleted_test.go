package coord

import (
	"testing"
	"time"
)

// topicLab is a lab with topics, by name; a commit names the id that is there.
type topicLab struct {
	*lab
	topics map[string][16]byte
}

func newTopicLab(t *testing.T, s Settings) *topicLab {
	l := &topicLab{topics: map[string][16]byte{"t": {1}, "u": {2}}}
	l.lab = &lab{t: t, now: time.Unix(1_700_000_000, 0), log: map[int32][]Record{}}
	l.gone = func(topic string, id [16]byte) bool {
		there, ok := l.topics[topic]
		return !ok || id != [16]byte{} && id != there
	}
	l.start(s)
	return l
}

// commitStart begins to commit offsets of a group without members.
func (l *topicLab) commitStart(group string, offsets ...string) (*CommitRequest, *Pending[Code]) {
	l.t.Helper()
	r := commitRequest(l.t, group, "", -1, offsets...)
	for i := range r.Topics {
		r.Topics[i].TopicID = l.topics[r.Topics[i].Topic]
	}
	return r, l.c.Commit(r, l.now)
}

func (l *topicLab) mustCommit(group string, offsets ...string) {
	l.t.Helper()
	_, p := l.commitStart(group, offsets...)
	l.run()
	if code := is(l.lab, p); code != None {
		l.t.Fatal(code)
	}
}

// wants checks what is fetched of groups, pairs of a group and its offsets.
func (l *topicLab) wants(pairs ...string) {
	l.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := l.fetched(pairs[i]); got != pairs[i+1] {
			l.t.Errorf("%s: fetched %q, want %q", pairs[i], got, pairs[i+1])
		}
	}
}

// What was committed for a topic goes with it: at once for who asks, and from the
// log, whatever of that a crash leaves. The groups stay, and another topic of the
// name begins without offsets.
func TestTopicDeleted(t *testing.T) {
	l := newTopicLab(t, Settings{})
	ids, generation := l.group(1)
	r := commitRequest(t, "g", ids[0], generation, "t 0 1", "t 1 1", "u 0 7")
	for i := range r.Topics {
		r.Topics[i].TopicID = l.topics[r.Topics[i].Topic]
	}
	l.c.Commit(r, l.now)
	l.run()
	l.mustCommit("simple", "t 0 2", "u 0 3")
	r.Topics[0].TopicID, r.Topics[1].TopicID = [16]byte{}, [16]byte{} // as an older Kafka has written it
	r.Group, r.MemberID, r.Generation = "old", "", -1
	l.c.Commit(r, l.now)
	l.run()
	written := map[int32]int{}
	for p, records := range l.log {
		written[p] = len(records)
	}

	l.held = true
	delete(l.topics, "t")
	l.c.TopicDeleted("t")
	left := []string{"g", "u 0 7", "simple", "u 0 3", "old", "u 0 7"}
	l.wants(left...)
	l.c.TopicDeleted("t") // it is under way
	l.topics["t"] = [16]byte{3}
	l.wants(left[:4]...)
	l.held = false
	l.run()
	if s := l.c.Stats(); s.Offsets != 3 || s.OffsetsGone != 5 {
		t.Errorf("%+v", s)
	}
	l.state(Stable, 1)
	l.mustCommit("simple", "t 0 9")
	l.wants("g", "u 0 7", "simple", "t 0 9, u 0 3", "old", "u 0 7")

	// A start removes what the log did not get to.
	whole := l.log
	delete(l.topics, "t")
	for cut := 0; ; cut++ {
		l.log = map[int32][]Record{}
		more := false
		for p, records := range whole {
			l.log[p] = records[:min(len(records), written[p]+cut):len(records)]
			more = more || written[p]+cut < len(records)
		}
		l.restart()
		l.wants(left...)
		l.run()
		if s := l.c.Stats(); s.Offsets != 3 {
			t.Errorf("%d records of the removal: %d offsets", cut, s.Offsets)
		}
		l.state(Stable, 1)
		l.gone = nil // what is in the log
		l.restart()
		l.wants(left...)
		l.gone = func(topic string, _ [16]byte) bool { return topic == "t" }
		if !more {
			break
		}
	}
}

// A commit that meets the deletion of its topic is refused or removed, and one for
// the next topic of that name is neither.
func TestTopicDeletedMeetsCommit(t *testing.T) {
	l := newTopicLab(t, Settings{})
	l.held = true
	_, before := l.commitStart("g", "t 0 1")
	delete(l.topics, "t")
	l.c.TopicDeleted("t")
	late := commitRequest(t, "g", "", -1, "t 0 2", "u 0 2")
	late.Topics[0].TopicID = [16]byte{1}
	pending := l.c.Commit(late, l.now)
	l.held = false
	l.run()
	if a, b := is(l.lab, before), is(l.lab, pending); a != None || b != None || late.Topics[0].Partitions[0].Code != UnknownTopicOrPartition || late.Topics[1].Partitions[0].Code != None {
		t.Errorf("%v, %v, %+v", a, b, late.Topics)
	}
	l.wants("g", "u 0 2")
	if s := l.c.Stats(); s.Offsets != 1 {
		t.Errorf("%d offsets, want what is fetched", s.Offsets)
	}

	// Deleted and made again before the coordinator hears of it.
	l.topics["t"] = [16]byte{3}
	l.mustCommit("g", "t 0 3")
	l.topics["t"] = [16]byte{4}
	l.held = true
	_, next := l.commitStart("g", "t 0 4")
	l.c.TopicDeleted("t")
	l.held = false
	l.run()
	if code := is(l.lab, next); code != None {
		t.Error(code)
	}
	l.wants("g", "t 0 4, u 0 2")
	l.restart()
	l.wants("g", "t 0 4, u 0 2")
}

// A removal that cannot be written is tried again, and a group of which nothing is
// left, here or in the log, is none.
func TestTopicDeletedNotWritten(t *testing.T) {
	l := newTopicLab(t, Settings{RetentionCheck: time.Minute})
	l.mustCommit("g", "t 0 1")
	l.held = true
	delete(l.topics, "t")
	l.c.TopicDeleted("t")
	l.settle(errBad)
	l.held = false
	l.wants("g", "")
	l.state(Empty, 0)
	l.advance(2 * time.Minute)
	if s := l.c.Stats(); s.Offsets != 0 || s.OffsetsGone != 2 || s.OffsetsExpired != 0 {
		t.Errorf("%+v", s)
	}
	l.state(Dead, 0)
}
