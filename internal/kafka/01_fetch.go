package kafka

import (
	"sync"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/zerocopy"
)

// Fetch (key 1), versions 4 to 17: what some partitions have from an offset on,
// as it lies in their files.
//
// Version 5 has the start of the log, 7 incremental sessions (KIP-227), 9 leader
// epochs, 11 a rack; 12 is flexible and has the epoch of what was fetched last,
// by whose end a reader notices that its log was cut; 13 names topics by their
// ids; 15 moves the replica id, 17 the directory id to tagged fields. Versions
// differ in what zstd or older formats are turned into, which nothing here is.
//
// There are no transactions, so read_committed sees what read_uncommitted does.
var fetchAPI = &api{
	key: 1, name: "Fetch", min: 4, max: 17, flexible: 12,
	access: access{topicResource, readOperation},
	handle: (*session).fetch,
}

// fetch is one Fetch, from its decoding to its answer. Its memory is used again.
type fetch struct {
	session *session
	header  header

	maxWait   time.Duration
	minBytes  int64 // Invariant: minBytes <= maxBytes, after open
	maxBytes  int64
	sessionID int32
	epoch     int32
	topics    []fetchTopic
	forgotten []forgottenTopic

	code    code          // why it is refused as a whole
	reads   *fetchSession // the partitions that are read: a fetch session's, or own
	own     *fetchSession // nil once it has become one
	creates bool          // own is to become a fetch session

	// While it waits for records.
	parked   bool
	deadline time.Time
	enrolled bool
	wake     func() // nil before the first Poll
}

// fetchTopic is a topic of a request.
type fetchTopic struct {
	name       []byte         // a view of the request; nil from version 13 on
	id         engine.TopicID // from version 13 on
	partitions []wantedPartition
}

// wantedPartition is what a request says of a partition.
type wantedPartition struct {
	offset           engine.Offset
	index            int32
	leaderEpoch      int32 // as the client knows it; -1 is not known
	lastFetchedEpoch int32 // -1 is not known
	maxBytes         int32
}

// forgottenTopic is a topic of which partitions leave a fetch session.
type forgottenTopic struct {
	name       []byte
	id         engine.TopicID
	partitions []int32
}

// maxTopicNameBytes is Kafka's bound (Topic.MAX_NAME_LENGTH).
const maxTopicNameBytes = 249

var fetches = sync.Pool{New: func() any { return new(fetch) }}

// fetch answers a Fetch, or lets it wait.
func (s *session) fetch(r *request, out *netloop.Out) error {
	f := fetches.Get().(*fetch)
	if err := f.read(&r.body, r.version); err != nil {
		f.forgetViews()
		f.recycle()
		return err
	}
	f.session, f.header = s, r.header
	f.open()
	f.forgetViews()
	f.reads.mu.Lock()
	defer f.reads.mu.Unlock()
	if f.look() {
		f.answer(out)
		f.release()
		return nil
	}
	f.reads.drop()
	f.parked = true
	f.deadline = time.Now().Add(f.maxWait)
	if s.longestWait > 0 {
		// Meanwhile nobody notices when the client is gone.
		f.deadline = time.Now().Add(min(f.maxWait, s.longestWait))
	}
	s.waits = true
	s.inFlight += f.header.bytes
	out.Defer(f)
	out.Hold()
	return nil
}

// read decodes a request. Nothing is allocated once f has the memory.
func (f *fetch) read(r *reader, version int16) error {
	if version < 15 {
		r.int32() // the replica id
	}
	f.maxWait = time.Duration(max(0, r.int32())) * time.Millisecond
	f.minBytes = int64(r.int32())
	f.maxBytes = int64(max(0, r.int32()))
	r.int8() // the isolation level
	f.sessionID, f.epoch = 0, finalEpoch
	if version >= 7 {
		f.sessionID, f.epoch = r.int32(), r.int32()
	}
	least := 6
	switch {
	case version >= 13:
		least = 18
	case version >= 12:
		least = 3
	}
	f.topics = resized(f.topics, r.array(least, sizeOf(fetchTopic{})))
	for i := range f.topics {
		f.topics[i].read(r, version)
		if r.err != nil {
			break
		}
	}
	f.forgotten = f.forgotten[:0]
	if version >= 7 {
		f.forgotten = resized(f.forgotten, r.array(least, sizeOf(forgottenTopic{})))
	}
	for i := range f.forgotten {
		t := &f.forgotten[i]
		t.name, t.id = readTopic(r, version)
		t.partitions = resized(t.partitions, r.array(4, sizeOf(int32(0))))
		for j := range t.partitions {
			t.partitions[j] = r.int32()
		}
		r.tags()
		if r.err != nil {
			break
		}
	}
	if version >= 11 && r.view() == nil {
		r.fail("no rack")
	}
	r.tags()
	return r.end()
}

// read decodes a topic.
func (t *fetchTopic) read(r *reader, version int16) {
	t.name, t.id = readTopic(r, version)
	// A fetch session also has a map of them.
	memory := sizeOf(wantedPartition{}) + sizeOf(fetchedPartition{}) + sizeOf(partitionKey{}) + 2*sizeOf(&fetchedPartition{})
	t.partitions = resized(t.partitions, r.array(16, memory))
	for i := range t.partitions {
		p := &t.partitions[i]
		*p = wantedPartition{index: r.int32(), leaderEpoch: -1, lastFetchedEpoch: -1}
		if version >= 9 {
			p.leaderEpoch = r.int32()
		}
		p.offset = engine.Offset(r.int64())
		if version >= 12 {
			p.lastFetchedEpoch = r.int32()
		}
		if version >= 5 {
			r.int64() // the start of a follower's log
		}
		p.maxBytes = r.int32()
		r.tags()
	}
	r.tags()
}

// readTopic decodes what names a topic: its id from version 13 on.
func readTopic(r *reader, version int16) (name []byte, id engine.TopicID) {
	if version >= 13 {
		return nil, r.uuid()
	}
	switch name = r.view(); {
	case name == nil:
		r.fail("topic without a name")
	case len(name) > maxTopicNameBytes:
		// No topic has it, and a fetch session would keep it.
		r.fail("topic with a name of %d bytes, want at most %d", len(name), maxTopicNameBytes)
	}
	return name, id
}

// open finds out what f reads, or why it is refused as a whole.
func (f *fetch) open() {
	s := f.session
	f.maxBytes = min(f.maxBytes, int64(s.node.Settings().FetchMaxBytes()), maxFetchBytes)
	f.minBytes = min(f.minBytes, f.maxBytes)
	if f.own == nil {
		f.own = new(fetchSession)
	}
	f.own.ids = f.ids()
	f.own.user = f
	f.reads = f.own
	if f.epoch != initialEpoch && f.epoch != finalEpoch {
		f.resume()
		return
	}
	if f.sessionID != 0 {
		s.fetchSessions.remove(f.sessionID)
	}
	if f.creates = f.epoch == initialEpoch; f.creates {
		f.own.byKey = map[partitionKey]*fetchedPartition{}
	}
	f.own.want(s.frontend, f.topics)
}

// resume goes on with a fetch session.
func (f *fetch) resume() {
	s := f.session
	found := s.fetchSessions.get(f.sessionID)
	if found == nil {
		f.code = codeFetchSessionIDNotFound
		return
	}
	found.mu.Lock()
	defer found.mu.Unlock()
	switch {
	case found.epoch != f.epoch:
		f.code = codeInvalidFetchSessionEpoch
		return
	case found.ids != f.ids():
		f.code = codeFetchSessionTopicIDError
		return
	}
	found.displace()
	found.forget(f.forgotten)
	found.want(s.frontend, f.topics)
	if len(found.partitions) == 0 {
		s.fetchSessions.remove(f.sessionID)
		return
	}
	found.epoch = nextEpoch(found.epoch)
	found.user = f
	s.fetchSessions.touch(found)
	f.reads = found
}

// forgetViews drops what lies in the request: it is the driver's again when f
// waits.
func (f *fetch) forgetViews() {
	for i := range f.topics {
		f.topics[i].name = nil
	}
	for i := range f.forgotten {
		f.forgotten[i].name = nil
	}
}

// ids tells whether topics are named by their ids.
func (f *fetch) ids() bool { return f.header.version >= 13 }

// incremental tells whether the answer leaves out what the client knows.
func (f *fetch) incremental() bool { return f.reads != f.own && !f.creates }

// look looks at the partitions that may have something new, in order, and tells
// whether that is enough for an answer. Under reads.mu.
func (f *fetch) look() (enough bool) {
	if f.reads.user != f {
		f.code = codeInvalidFetchSessionEpoch // who took over has raised it
	}
	if f.code != codeNone {
		return true
	}
	enough = f.maxWait == 0 || len(f.reads.partitions) == 0
	left, got := f.maxBytes, int64(0)
	for _, p := range f.reads.partitions {
		if p.isQuiet() {
			continue
		}
		p.look(f, left, got == 0)
		got += p.data.Len
		left = max(0, left-p.data.Len)
		// What does not reach the end of the log will not become more by a wait.
		enough = enough || p.code != codeNone || p.diverges() || !p.atEnd
	}
	return enough || got >= f.minBytes
}

// Poll implements netloop.Deferred.
func (f *fetch) Poll(out *netloop.Out, wake func()) (done bool) {
	f.reads.mu.Lock()
	defer f.reads.mu.Unlock()
	closing := &f.session.Closing
	if !f.enrolled {
		f.enrolled = closing.Enroll(f, wake)
		f.wake = wake
	}
	over := closing.HasBegun() || !time.Now().Before(f.deadline)
	for !f.look() && !over {
		f.reads.drop()
		if f.await() {
			return false
		}
	}
	f.answer(out)
	f.release()
	return true
}

// await has wake called when something new comes to one of the partitions, and is
// false if that has happened already. Under reads.mu.
func (f *fetch) await() bool {
	for _, p := range f.reads.partitions {
		if p.wait.Armed() {
			continue
		}
		p.wait.Reset(p.partition)
		if !p.wait.Await(p.offsets.HighWatermark+1, f.wake) && f.session.engine.Failure() == nil {
			return false
		}
	}
	return true
}

// Deadline implements netloop.Deferred.
func (f *fetch) Deadline() time.Time { return f.deadline }

// Cancel implements netloop.Deferred.
func (f *fetch) Cancel() {
	f.reads.mu.Lock()
	defer f.reads.mu.Unlock()
	f.release()
}

// answer appends the answer: heads and ranges of files in turn. Under reads.mu.
//
//	throttle time, ms  int32
//	error code         int16  from version 7 on
//	session id         int32  from version 7 on; 0 is none
//	topics             array: name or id, array of partitions
//	tagged fields             from version 12 on
func (f *fetch) answer(out *netloop.Out) {
	version := f.header.version
	id, topics := int32(0), 0
	if f.code == codeNone {
		if f.creates && f.session.fetchSessions.add(f.own, f.session.node.Settings().FetchSessionSlots()) {
			f.own = nil
		}
		id = f.reads.id
		topics = f.reads.choose(f.incremental())
	}
	buf, start := f.header.begin(out.Buf)
	a := appender{p: buf, flexible: f.header.flexible()}
	a.int32(0)
	if version >= 7 {
		a.int16(int16(f.code))
		a.int32(id)
	}
	a.array(topics)
	beside := int64(0)
	if topics > 0 {
		beside = f.appendTopics(&a, out)
	}
	a.noTags()
	out.Buf = finish(a.p, start, beside)
	f.session.count(&f.header, f.firstError())
	if id != 0 {
		f.reads.told(f.incremental())
	}
}

// firstError returns the first code of the answer that is not success. Under
// reads.mu.
func (f *fetch) firstError() code {
	if f.code != codeNone {
		return f.code
	}
	for _, p := range f.reads.chosen {
		if p.code != codeNone {
			return p.code
		}
	}
	return codeNone
}

// appendTopics appends what was chosen, and returns how many bytes of it are in
// Ranges.
func (f *fetch) appendTopics(a *appender, out *netloop.Out) (beside int64) {
	version := f.header.version
	for rest := f.reads.chosen; len(rest) > 0; {
		n := ofOneTopic(rest)
		if key := &rest[0].key; f.ids() {
			a.uuid(key.id)
		} else {
			a.name(key.name)
		}
		a.array(n)
		for _, p := range rest[:n] {
			p.appendHead(a, version)
			if p.data.Len > 0 {
				beside += p.data.Len
				p.partition.CountFetched(p.data.Len)
				out.Buf = a.p
				out.Range(p.data)
				a.p = out.Buf
				p.data, p.gave = zerocopy.Range{}, true
			}
			p.appendTail(a)
		}
		a.noTags()
		rest = rest[n:]
	}
	return beside
}

// release ends f and gives its memory back. Under reads.mu.
func (f *fetch) release() {
	s := f.session
	if f.parked {
		s.waits = false
		s.inFlight -= f.header.bytes
	}
	if f.enrolled {
		s.Closing.Leave(f)
	}
	if f.reads.user == f {
		f.reads.leave()
	}
	f.recycle()
}

// recycle gives the memory of f back.
func (f *fetch) recycle() {
	if f.own != nil && !f.own.reuse() {
		f.own = nil
	}
	topics, forgotten := f.topics[:0], f.forgotten[:0]
	if cap(topics) > maxPooledTopics {
		topics = nil
	}
	if cap(forgotten) > maxPooledTopics {
		forgotten = nil
	}
	*f = fetch{own: f.own, topics: topics, forgotten: forgotten}
	fetches.Put(f)
}

// cursorOf is where the reader of p is: that of the fetch session, or else of the
// connection.
func (f *fetch) cursorOf(p *fetchedPartition) *engine.Cursor {
	if f.incremental() || f.creates {
		return &p.cursor
	}
	return f.session.cursors.Of(p.partition)
}
