package kafka

import (
	"bytes"
	"math"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// inSession makes m a request of a fetch session.
func inSession(m *kmsg.FetchRequest, id, epoch int32) *kmsg.FetchRequest {
	m.SessionID, m.SessionEpoch, m.MinBytes = id, epoch, 0
	return m
}

// A fetch session tells what is new and nothing else, takes changes of what is
// read, and puts those last that had data.
func TestFetchSession(t *testing.T) {
	f := openFrontend(t, node.Options{})
	topic := createTopic(t, f, "t", 3)
	log := appendAll(t, topic.Partitions()[0], batchOf(t, "x"))
	c := dial(t, f)
	for _, version := range []int16{7, 12, 13, 17} {
		high := int64(topic.Partitions()[0].Offsets().HighWatermark)
		response, got := c.fetched(inSession(fetchOf(f, wantedOf{topic: "t", offset: high - 1}, wantedOf{topic: "t", index: 1}, wantedOf{topic: "none"}), 0, 0), version)
		id, epoch := response.SessionID, int32(0)
		if id == 0 || len(got) != 3 || !bytes.Equal(got[0].RecordBatches, log[len(log)-len(batchOf(t, "x")):]) {
			t.Fatalf("version %d: session %d, %+v", version, id, got)
		}
		next := func(m *kmsg.FetchRequest) []kmsg.FetchResponseTopicPartition {
			t.Helper()
			epoch++
			response, got := c.fetched(inSession(m, id, epoch), version)
			if response.ErrorCode != 0 || response.SessionID != id {
				t.Fatalf("version %d, epoch %d: error %d, session %d, want %d", version, epoch, response.ErrorCode, response.SessionID, id)
			}
			return got
		}
		expect := func(got []kmsg.FetchResponseTopicPartition, want ...code) {
			t.Helper()
			if len(got) != len(want) {
				t.Fatalf("version %d, epoch %d: %d partitions, want %d: %+v", version, epoch, len(got), len(want), got)
			}
			for i, p := range got {
				if code(p.ErrorCode) != want[i] {
					t.Errorf("version %d, epoch %d: partition %d: error %d, want %d", version, epoch, i, p.ErrorCode, want[i])
				}
			}
		}
		unknown := codeUnknownTopicOrPartition
		if version >= 13 {
			unknown = codeUnknownTopicID
		}
		// The record was not taken: it comes again, and so does the error.
		got = next(fetchOf(f))
		expect(got, codeNone, unknown)
		// Now it was taken: only the error is new, ever.
		expect(next(fetchOf(f, wantedOf{topic: "t", offset: high})), unknown)
		m := fetchOf(f)
		m.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "none", Partitions: []int32{0}}}
		expect(next(m))
		expect(next(fetchOf(f)))
		// A high watermark that has moved is news, also without the records.
		appendAll(t, topic.Partitions()[0], batchOf(t, "x"))
		got = next(fetchOf(f, wantedOf{topic: "t", offset: high, maxBytes: 1 << 20}))
		expect(got, codeNone)
		if got[0].HighWatermark != high+1 || len(got[0].RecordBatches) == 0 {
			t.Errorf("version %d: %+v", version, got[0])
		}
		// One more joins, and one that had data goes last.
		appendAll(t, topic.Partitions()[1], batchOf(t, "y"))
		got = next(fetchOf(f, wantedOf{topic: "t", index: 2}))
		expect(got, codeNone, codeNone, codeNone)
		if got[0].Partition != 1 || got[1].Partition != 0 || got[2].Partition != 2 {
			t.Errorf("version %d: order %d, %d, %d, want the one that had data behind the other", version, got[0].Partition, got[1].Partition, got[2].Partition)
		}
		// An offset that is not there is told each time.
		got = next(fetchOf(f, wantedOf{topic: "t", offset: high + 100}, wantedOf{topic: "t", index: 1, offset: 100}))
		expect(got, codeOffsetOutOfRange, codeOffsetOutOfRange)
		m = fetchOf(f, wantedOf{topic: "t", offset: high + 1})
		m.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", TopicID: topic.ID(), Partitions: []int32{1}}}
		got = next(m)
		expect(got, codeNone)
		if got[0].Partition != 0 || got[0].HighWatermark != high+1 {
			t.Errorf("version %d: after an error everything is news: %+v", version, got[0])
		}
		expect(next(fetchOf(f)))
		// Without a partition it is none any more.
		m = fetchOf(f)
		m.ForgottenTopics = []kmsg.FetchRequestForgottenTopic{{Topic: "t", TopicID: topic.ID(), Partitions: []int32{0, 2}}}
		epoch++
		if response, got := c.fetched(inSession(m, id, epoch), version); response.SessionID != 0 || len(got) != 0 || response.ErrorCode != 0 {
			t.Errorf("version %d, an empty session: %+v", version, response)
		}
		epoch++
		if response, _ := c.fetched(inSession(fetchOf(f), id, epoch), version); code(response.ErrorCode) != codeFetchSessionIDNotFound {
			t.Errorf("version %d, a session that ended: error %d", version, response.ErrorCode)
		}
		// The next version has a topic made anew.
		if err := f.engine.DeleteTopic("t"); err != nil {
			t.Fatal(err)
		}
		topic = createTopic(t, f, "t", 3)
		log = appendAll(t, topic.Partitions()[0], batchOf(t, "x"))
	}
}

// Sessions are refused as a whole by what KIP-227 says, and a full request ends
// the old one.
func TestFetchSessionErrors(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 1)
	c := dial(t, f)
	begin := func(version int16) int32 {
		t.Helper()
		response, _ := c.fetched(inSession(fetchOf(f, wantedOf{topic: "t"}), 0, 0), version)
		if response.SessionID == 0 {
			t.Fatal("no session")
		}
		return response.SessionID
	}
	check := func(name string, id, epoch int32, version int16, want code) {
		t.Helper()
		response, got := c.fetched(inSession(fetchOf(f, wantedOf{topic: "t"}), id, epoch), version)
		if code(response.ErrorCode) != want || (want != codeNone) != (len(got) == 0 && response.SessionID == 0) {
			t.Errorf("%s: error %d, session %d, %d partitions, want error %d", name, response.ErrorCode, response.SessionID, len(got), want)
		}
	}
	id := begin(12)
	check("an epoch twice", id, 2, 12, codeInvalidFetchSessionEpoch)
	check("no session", id+1, 1, 12, codeFetchSessionIDNotFound)
	check("session 0", 0, 1, 12, codeFetchSessionIDNotFound)
	check("ids in one of names", id, 1, 13, codeFetchSessionTopicIDError)
	response, _ := c.fetched(inSession(fetchOf(f, wantedOf{topic: "t"}), id, -1), 12)
	if response.SessionID != 0 || response.ErrorCode != 0 {
		t.Errorf("the end of a session: %+v", response)
	}
	check("a session that ended", id, 1, 12, codeFetchSessionIDNotFound)
	id = begin(13)
	check("names in one of ids", id, 1, 12, codeFetchSessionTopicIDError)
	response, _ = c.fetched(inSession(fetchOf(f, wantedOf{topic: "t"}), id, 0), 13)
	if response.SessionID == 0 || response.SessionID == id {
		t.Errorf("a session made anew: %d, before %d", response.SessionID, id)
	}
	check("the old one", id, 1, 13, codeFetchSessionIDNotFound)

	if got := nextEpoch(math.MaxInt32); got != 1 {
		t.Errorf("epoch %d after the last, want 1", got)
	}
	set := f.fetchSessions.get(response.SessionID)
	set.mu.Lock() // the request that made it may not have let go of it
	set.epoch = math.MaxInt32
	set.mu.Unlock()
	for _, epoch := range []int32{math.MaxInt32, 1, 2} {
		if again, _ := c.fetched(inSession(fetchOf(f), response.SessionID, epoch), 13); again.ErrorCode != 0 {
			t.Errorf("epoch %d: error %d", epoch, again.ErrorCode)
		}
	}
}

// A topic that is made anew is found by its name, and not by its old id.
func TestFetchSessionOfTopicMadeAnew(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	for version, want := range map[int16]code{12: codeNone, 13: codeUnknownTopicID} {
		createTopic(t, f, "t", 1)
		response, _ := c.fetched(inSession(fetchOf(f, wantedOf{topic: "t"}), 0, 0), version)
		id := response.SessionID
		if err := f.engine.DeleteTopic("t"); err != nil {
			t.Fatal(err)
		}
		log := appendAll(t, createTopic(t, f, "t", 1).Partitions()[0], batchOf(t, "new"))
		_, got := c.fetched(inSession(fetchOf(f), id, 1), version)
		if len(got) != 1 || code(got[0].ErrorCode) != want || want == codeNone && !bytes.Equal(got[0].RecordBatches, log) {
			t.Errorf("version %d: %+v, want error %d", version, got, want)
		}
		if err := f.engine.DeleteTopic("t"); err != nil {
			t.Fatal(err)
		}
	}
}

// The next request of a session, on another connection, ends the wait of the one
// before.
func TestFetchSessionTakenOver(t *testing.T) {
	f := openFrontend(t, node.Options{})
	p := createTopic(t, f, "t", 1).Partitions()[0]
	c := dial(t, f)
	response, _ := c.fetched(inSession(fetchOf(f, wantedOf{topic: "t"}), 0, 0), 12)
	m := inSession(fetchOf(f), response.SessionID, 1)
	m.MinBytes, m.MaxWaitMillis = 1, 3_600_000
	old := newPoll(t, f, m, 12)
	m.SessionEpoch = 2
	next := newPoll(t, f, m, 12)
	if !old.wakes() {
		t.Fatal("the old request waits on")
	}
	old.answer()
	m.SessionEpoch = 1
	answer, _ := readAnswer(t, old.out.Buf, m, 1)
	if got := answer.(*kmsg.FetchResponse); code(got.ErrorCode) != codeInvalidFetchSessionEpoch {
		t.Errorf("the old request: %+v", got)
	}
	log := appendAll(t, p, batchOf(t, "x"))
	if !next.wakes() || next.answer() != int64(len(log)) {
		t.Error("the new request was not answered")
	}
}

// What has to give way to a new session is what Kafka's rule says.
func TestFetchSessionEviction(t *testing.T) {
	now := time.Now()
	c := newFetchSessions()
	c.now = func() time.Time { return now }
	sized := func(n int) *fetchSession {
		return &fetchSession{partitions: make([]*fetchedPartition, n)}
	}
	const slots = 3
	add := func(name string, n int, want bool) *fetchSession {
		t.Helper()
		s := sized(n)
		if got := c.add(s, slots); got != want || (s.id != 0) != want {
			t.Errorf("%s: added %v, id %d, want %v", name, got, s.id, want)
		}
		return s
	}
	gone := func(name string, s *fetchSession) {
		t.Helper()
		if c.get(s.id) != nil || len(c.byID) != slots-1 && len(c.byID) != slots {
			t.Errorf("%s: still there, of %d", name, len(c.byID))
		}
	}
	a, b, d := add("a", 5, true), add("b", 2, true), add("d", 9, true)
	add("none is old", 100, false)
	now = now.Add(sessionEviction + 1)
	c.touch(a)
	c.touch(b)
	e := add("in the place of d, which was not used", 1, true)
	gone("d", d)
	add("not larger than b, the smallest of the old", 2, false)
	g := add("larger than b", 3, true)
	gone("b", b)
	add("larger than a", 6, true)
	gone("a", a)
	add("all are young", 100, false)
	if c.get(e.id) != e || c.get(g.id) != g {
		t.Error("a young session had to give way")
	}
	c.remove(e.id)
	c.remove(e.id)
	if c.partitions != 3+6 {
		t.Errorf("%d partitions, want 9", c.partitions)
	}
	add("more partitions than are kept", maxSessionPartitions, false)
	h := add("in the place of the one that was removed", 1, true)
	h.partitions = make([]*fetchedPartition, maxSessionPartitions)
	c.touch(h)
	gone("grown beyond all bounds", h)
	if c.partitions != 3+6 {
		t.Errorf("%d partitions, want 9", c.partitions)
	}
	if c.add(sized(1), 0) {
		t.Error("a session where there are no slots")
	}
}
