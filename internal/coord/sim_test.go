package coord

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a history is made of.
const (
	simTopic      = "t"
	simPartitions = 4 // of the topic
	simSession    = 10 * time.Second
	simRetention  = time.Hour
)

var simGroups = []string{"a", "b"}

// sim runs a history: clients that keep to the protocol, or break off, duplicate
// and come back, against a coordinator over a log that settles when the history
// says so. All it does is chosen by one seed. What must hold is checked after
// each step against a model that knows only requests, answers and the log, which
// it reads with kmsg.
type sim struct {
	rand *rand.Rand
	// rebalanceTimeout is shorter or longer than a session.
	rebalanceTimeout time.Duration

	now  time.Time
	c    *Coordinator
	log  *simLog
	next time.Time // when to tick

	clients []*simClient
	ids     int // member ids given out
	woken   bool

	seq int // of commits and deletions
	// topic is the id of the topic that is there, and deleted the number of the last
	// deletion of the one before it.
	topic   [16]byte
	deleted int
	offsets map[simKey]*simOffset
	groups  map[string]*simGroup
	asked   bool // a client has asked for what is being called
	waits   []*simWait

	trace     []string
	violation error
}

// simKey is a partition that offsets are committed for.
type simKey struct {
	group     string
	partition int32
}

// simOffset is what was promised of an offset. Commits and deletions are numbered
// in the order in which they were asked for; a commit has its number as metadata.
type simOffset struct {
	acked        int // the last that was acknowledged
	ackedDeleted bool
	deleted      int // the last deletion that may have been carried out
}

// simGroup is what was told of a group.
type simGroup struct {
	group       *group    // as the coordinator has it; nil: none
	incarnation int       // how often it was gone
	told        int32     // the highest generation that a member was told, and the log does not contradict
	busy        time.Time // when it had members
	owners      map[simOwned]string
	// heard is when a member was last heard of, or answered, by its id; gone are
	// those that must not be known any more.
	heard map[string]time.Time
	gone  map[string]string
}

type simOwned struct {
	incarnation int
	generation  int32
	partition   int32
}

// simClient is a consumer.
type simClient struct {
	name, group, instance string
	old                   bool // JoinGroup 3: no member id is required
	protocols             []Protocol

	memberID   string
	generation int32
	leader     bool
	members    []JoinMember
	owns       []int32
	state      simState

	dead   bool // does nothing any more
	frozen bool // for now
	join   *simWait
	sync   *simWait
	beat   time.Time // the last heartbeat

	late *CommitRequest // of an assignment that it had before; nil: none
	had  []int32        // that assignment
}

type simState uint8

const (
	out     simState = iota
	joined           // has the generation
	running          // has its assignment
)

// simWait is a request without an answer.
type simWait struct {
	client *simClient // nil: an admin's
	what   string
	id     string             // the member id that was sent
	poll   func() (done bool) // takes the answer, too
	cancel func()
}

// simLog is the log of offsets, whose appends wait to be settled.
type simLog struct {
	sim     *sim
	durable map[int32][]Record
	queue   map[int32][][]Record
	// What durable says, as kmsg reads it.
	offsets map[simKey]kmsg.OffsetCommitValue
	groups  map[string]*kmsg.GroupMetadataValue
}

func newSim(seed uint64) *sim {
	s := &sim{
		rand:    rand.New(rand.NewPCG(seed, 6)),
		now:     time.Unix(1_700_000_000, 0),
		offsets: map[simKey]*simOffset{},
		groups:  map[string]*simGroup{},
		topic:   [16]byte{1},
	}
	s.rebalanceTimeout = []time.Duration{6 * time.Second, 30 * time.Second}[s.rand.IntN(2)]
	for _, g := range simGroups {
		s.groups[g] = &simGroup{owners: map[simOwned]string{}, heard: map[string]time.Time{}, gone: map[string]string{}, busy: s.now}
	}
	s.log = &simLog{
		sim: s, durable: map[int32][]Record{}, queue: map[int32][][]Record{},
		offsets: map[simKey]kmsg.OffsetCommitValue{}, groups: map[string]*kmsg.GroupMetadataValue{},
	}
	s.start()
	return s
}

// start starts a coordinator over what is durable.
func (s *sim) start() {
	delay := time.Duration(s.rand.IntN(3)-1) * 3 * time.Second
	c, err := New(Options{
		Settings: Settings{
			Partitions: 2, InitialRebalanceDelay: delay, MaxGroupSize: 2 + s.rand.IntN(5),
			OffsetRetention: simRetention, RetentionCheck: 10 * time.Minute, MaxMetadata: 8,
		},
		Log: s.log,
		NewMemberID: func(name string) string {
			s.ids++
			return fmt.Sprintf("%s-%d", name, s.ids)
		},
		TopicGone: func(topic string, id [16]byte) bool { return topic != simTopic || id != s.topic },
		Wake:      func() { s.woken = true },
	}, s.now)
	if err != nil {
		panic(err)
	}
	s.c = c
	for p := range c.settings.Partitions {
		for _, r := range s.log.durable[p] {
			if err := c.Replay(p, r.Key, r.Value); err != nil {
				s.fail("replay: %v", err)
			}
		}
		c.Loaded(p, s.now)
	}
	s.next = c.Tick(s.now)
}

func (s *sim) fail(format string, args ...any) {
	if s.violation == nil {
		s.violation = fmt.Errorf(format, args...)
	}
}

func (s *sim) note(format string, args ...any) {
	s.trace = append(s.trace, s.now.UTC().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// Append implements Log.
func (l *simLog) Append(partition int32, records []Record) {
	l.queue[partition] = append(l.queue[partition], records)
	s := l.sim
	for _, r := range records {
		key := kmsg.NewOffsetCommitKey()
		if r.Value != nil || s.asked || key.ReadFrom(r.Key) != nil || key.Version != offsetKeyVersion {
			continue
		}
		k := simKey{key.Group, key.Partition}
		if int(l.offsets[k].Offset) <= s.deleted {
			continue // it goes with its topic
		}
		// Nobody has asked for that.
		age := s.now.Sub(time.UnixMilli(l.offsets[k].CommitTimestamp))
		if idle := s.now.Sub(s.groups[key.Group].busy); idle < simRetention && s.groups[key.Group].group.protocolType != "" || age < simRetention {
			s.fail("offset of %v expires %v after its commit, its group had members %v ago", k, age, idle)
		}
		s.seq++
		s.offset(k).deleted = s.seq
	}
}

// apply takes records into what is durable.
func (l *simLog) apply(partition int32, records []Record) {
	l.durable[partition] = append(l.durable[partition], records...)
	for _, r := range records {
		if r.Key[1] == groupKeyVersion {
			key := kmsg.NewGroupMetadataKey()
			value := kmsg.NewGroupMetadataValue()
			if err := key.ReadFrom(r.Key); err != nil {
				l.sim.fail("kmsg: %v", err)
			}
			if r.Value == nil {
				delete(l.groups, key.Group)
			} else if err := value.ReadFrom(r.Value); err != nil {
				l.sim.fail("kmsg: %v", err)
			} else {
				l.groups[key.Group] = &value
			}
			continue
		}
		key := kmsg.NewOffsetCommitKey()
		value := kmsg.NewOffsetCommitValue()
		if err := key.ReadFrom(r.Key); err != nil {
			l.sim.fail("kmsg: %v", err)
		}
		k := simKey{key.Group, key.Partition}
		if r.Value == nil {
			delete(l.offsets, k)
		} else if err := value.ReadFrom(r.Value); err != nil {
			l.sim.fail("kmsg: %v", err)
		} else {
			l.offsets[k] = value
		}
	}
}

// settle settles the oldest append of a partition, if there is one.
func (l *simLog) settle(partition int32, err error) bool {
	queue := l.queue[partition]
	if len(queue) == 0 {
		return false
	}
	l.queue[partition] = queue[1:]
	if err == nil {
		l.apply(partition, queue[0])
	}
	l.sim.c.Settle(partition, err, l.sim.now)
	return true
}

func (s *sim) offset(k simKey) *simOffset {
	if s.offsets[k] == nil {
		s.offsets[k] = &simOffset{}
	}
	return s.offsets[k]
}

// step does one thing at random.
func (s *sim) step() {
	switch n := s.rand.IntN(100); {
	case n < 45:
		s.anyClient((*sim).act)
	case n < 65:
		s.settleSome()
	case n < 78:
		s.advance(time.Duration(s.rand.Int64N(int64(simSession))))
	case n < 79:
		s.advance(time.Duration(s.rand.Int64N(int64(2 * simRetention))))
	case n < 84:
		s.spawn()
	case n < 87:
		s.anyClient((*sim).die)
	case n < 89:
		s.anyClient((*sim).freeze)
	case n < 93:
		s.anyClient((*sim).duplicate)
	case n < 96:
		s.admin()
	case n < 98:
		s.anyClient((*sim).leave)
	default:
		s.restart(s.rand.IntN(8))
	}
	s.after()
}

// anyClient lets one that lives do something.
func (s *sim) anyClient(do func(s *sim, c *simClient)) {
	live := slices.DeleteFunc(slices.Clone(s.clients), func(c *simClient) bool { return c.dead })
	if len(live) == 0 {
		s.spawn()
		return
	}
	do(s, live[s.rand.IntN(len(live))])
}

// spawn starts a client; one in three is static, perhaps with the instance id of
// another that is still there.
func (s *sim) spawn() {
	if len(s.clients) > 12 {
		return
	}
	c := &simClient{
		name:  fmt.Sprintf("c%d", len(s.clients)),
		group: simGroups[s.rand.IntN(len(simGroups))],
		old:   s.rand.IntN(4) == 0,
		protocols: [][]Protocol{
			{{"range", []byte("r")}, {"sticky", nil}},
			{{"sticky", nil}, {"range", nil}},
			{{"range", []byte{byte(len(s.clients))}}},
		}[s.rand.IntN(3)],
	}
	if s.rand.IntN(3) == 0 {
		c.instance = fmt.Sprintf("i%d", s.rand.IntN(2))
	}
	s.note("%s starts in group %s, instance %q", c.name, c.group, c.instance)
	s.clients = append(s.clients, c)
	s.act(c)
}

// act has a client do what is next.
func (s *sim) act(c *simClient) {
	c.frozen = false
	switch {
	case c.join != nil || c.sync != nil:
		if c.state == running && s.rand.IntN(2) == 0 {
			s.heartbeat(c)
		}
	case c.state == out:
		c.join = s.join(c)
	case c.state == joined && s.rand.IntN(4) == 0:
		s.heartbeat(c)
	case c.state == joined:
		c.sync = s.sync(c)
	case s.rand.IntN(8) == 0: // the partitions have changed, or a poll was late
		c.join = s.join(c)
	case s.rand.IntN(2) == 0 && len(c.owns) > 0:
		s.commit(c)
	default:
		s.heartbeat(c)
	}
}

// heard notes that the coordinator has heard of a member.
func (s *sim) heard(group, id string) {
	if id != "" {
		s.groups[group].heard[id] = s.now
	}
}

// wait keeps an answer until it is taken. take is called with it once.
func wait[T any](s *sim, c *simClient, what string, p *Pending[T], take func(answer T, atOnce bool)) *simWait {
	w := &simWait{client: c, what: what}
	if c != nil {
		w.id = c.memberID
	}
	first := true
	w.poll = func() bool {
		answer, done := p.Poll(func() {})
		if done {
			s.busy()
			if w.id != "" {
				s.heard(c.group, w.id)
			}
			take(answer, first)
		}
		first = false
		return done
	}
	w.cancel = func() { p.Cancel(s.now) }
	if !w.poll() {
		s.waits = append(s.waits, w)
		return w
	}
	return nil
}

// join sends JoinGroup. It returns nil if it was answered at once.
func (s *sim) join(c *simClient) *simWait {
	if s.rand.IntN(6) == 0 { // it has subscribed to something else
		c.protocols = slices.Clone(c.protocols)
		c.protocols[0].Metadata = []byte{byte(s.rand.IntN(3))}
	}
	r := &JoinRequest{
		Group: c.group, MemberID: c.memberID, Instance: c.instance, ClientID: c.name, ClientHost: "/127.0.0.1",
		SessionTimeout: simSession, RebalanceTimeout: s.rebalanceTimeout,
		ProtocolType: "consumer", Protocols: slices.Clone(c.protocols),
		RequireMemberID: !c.old, SkipAssignment: s.rand.IntN(2) == 0,
	}
	id := c.memberID
	s.note("%s joins as %q", c.name, id)
	s.heard(c.group, id)
	if len(c.owns) > 0 {
		c.late = &CommitRequest{Group: c.group, MemberID: c.memberID, Instance: c.instance, Generation: c.generation}
		c.had = c.owns
	}
	c.state, c.owns = out, nil
	var w *simWait
	w = wait(s, c, "join", s.c.Join(r, s.now), func(a JoinAnswer, atOnce bool) {
		s.note("%s: join as %q: %v, member %q, generation %d, leader %q", c.name, id, a.Code, a.MemberID, a.Generation, a.Leader)
		current := c.join == w || atOnce
		if current {
			c.join = nil
		}
		if !atOnce && a.Code == UnknownMemberID && s.groups[c.group].gone[id] == "" {
			s.fail("%s waits for its join as %q and is answered %v", c.name, id, a.Code)
		}
		s.takeJoin(c, &a, current)
	})
	return w
}

// takeJoin takes the answer to a join. One that is not current is another
// connection's: it tells of a generation all the same.
func (s *sim) takeJoin(c *simClient, a *JoinAnswer, current bool) {
	g := s.groups[c.group]
	if a.Code == None {
		if a.Generation < g.told {
			s.fail("%s is told generation %d after %d", c.name, a.Generation, g.told)
		}
		g.told = a.Generation
		s.heard(c.group, a.MemberID)
		if c.instance != "" {
			s.checkStatic(c, a)
		}
	}
	if !current {
		return
	}
	switch a.Code {
	case None:
		c.memberID, c.generation, c.members = a.MemberID, a.Generation, a.Members
		c.leader = a.Leader == a.MemberID && !a.SkipAssignment
		if c.leader && len(a.Members) == 0 {
			s.fail("%s leads and is not told the members", c.name)
		}
		c.state = joined
	case MemberIDRequired:
		c.memberID = a.MemberID
		s.heard(c.group, a.MemberID)
	case UnknownMemberID:
		c.memberID = ""
	case FencedInstanceID, GroupMaxSizeReached, InconsistentGroupProtocol:
		c.dead = true
	case RebalanceInProgress, CoordinatorNotAvailable:
	default:
		s.fail("%s: join: %v", c.name, a.Code)
	}
}

// checkStatic fences whoever had the instance id of a member that was told of a
// generation.
func (s *sim) checkStatic(c *simClient, a *JoinAnswer) {
	for _, other := range s.clients {
		if other != c && other.group == c.group && other.instance == c.instance && other.memberID != "" && other.memberID != a.MemberID {
			s.groups[c.group].gone[other.memberID] = "fenced by " + c.name
		}
	}
}

// sync sends SyncGroup.
func (s *sim) sync(c *simClient) *simWait {
	r := &SyncRequest{Group: c.group, MemberID: c.memberID, Instance: c.instance, Generation: c.generation}
	if c.leader {
		parts := map[string][]byte{}
		for p := range simPartitions {
			// Every leader deals another way.
			m := c.members[(p+s.rand.IntN(2))%len(c.members)]
			parts[m.ID] = append(parts[m.ID], byte(p))
		}
		for _, m := range c.members {
			r.Assignments = append(r.Assignments, Assignment{m.ID, parts[m.ID]})
		}
	}
	s.note("%s syncs as %q generation %d, leads: %v", c.name, c.memberID, c.generation, c.leader)
	s.heard(c.group, c.memberID)
	id, generation := c.memberID, c.generation
	var w *simWait
	w = wait(s, c, "sync", s.c.Sync(r, s.now), func(a SyncAnswer, atOnce bool) {
		s.note("%s: sync of %q: %v %v", c.name, id, a.Code, a.Assignment)
		if a.Code == None {
			s.checkOwners(c, id, generation, a.Assignment)
		}
		if !atOnce && a.Code == UnknownMemberID && s.groups[c.group].gone[id] == "" {
			s.fail("%s waits for its assignment as %q and is answered %v", c.name, id, a.Code)
		}
		if c.sync == w || atOnce {
			c.sync = nil
			s.takeSync(c, &a)
		}
	})
	return w
}

func (s *sim) takeSync(c *simClient, a *SyncAnswer) {
	switch a.Code {
	case None:
		c.state, c.owns, c.beat = running, nil, s.now
		for _, p := range a.Assignment {
			c.owns = append(c.owns, int32(p))
		}
	default:
		s.told(c, "sync", a.Code)
	}
}

// told has a client do what an error tells it.
func (s *sim) told(c *simClient, what string, code Code) {
	switch code {
	case None, CoordinatorNotAvailable:
	case RebalanceInProgress:
		c.state = out
	case UnknownMemberID:
		c.state, c.memberID = out, ""
	case IllegalGeneration:
		c.state = out
	case FencedInstanceID:
		c.dead = true
	default:
		s.fail("%s: %s: %v", c.name, what, code)
	}
}

// checkOwners checks an assignment that was handed out: it is what the log has,
// durably, and nobody else has a part of it in that generation.
func (s *sim) checkOwners(c *simClient, id string, generation int32, assignment []byte) {
	g, durable := s.groups[c.group], s.log.groups[c.group]
	if durable == nil || durable.Generation != generation {
		s.fail("%s has an assignment of generation %d that is not in the log", c.name, generation)
		return
	}
	for _, m := range durable.Members {
		if m.MemberID == id && !bytes.Equal(m.Assignment, assignment) {
			s.fail("%s has assignment %v, the log %v", c.name, assignment, m.Assignment)
		}
	}
	owner := id
	if c.instance != "" {
		owner = "instance " + c.instance
	}
	for _, p := range assignment {
		key := simOwned{g.incarnation, generation, int32(p)}
		if before := g.owners[key]; before != "" && before != owner {
			s.fail("partition %d in generation %d is of %s and of %s", p, generation, before, owner)
		}
		g.owners[key] = owner
	}
}

// checkAccepted checks that who was answered well is a member.
func (s *sim) checkAccepted(c *simClient, what, id string, generation int32) {
	g := s.groups[c.group]
	if why := g.gone[id]; why != "" {
		s.fail("%s: %s of %q accepted: %s", c.name, what, id, why)
	}
	if generation < g.told {
		s.fail("%s: %s of generation %d accepted after %d", c.name, what, generation, g.told)
	}
	parked := slices.ContainsFunc(s.waits, func(w *simWait) bool { return w.client == c && w.id == id })
	if silent := s.now.Sub(g.heard[id]); silent > simSession && !parked {
		s.fail("%s: %s of %q accepted after a silence of %v", c.name, what, id, silent)
	}
}

func (s *sim) heartbeat(c *simClient) {
	code := s.c.Heartbeat(&HeartbeatRequest{c.group, c.memberID, c.instance, c.generation}, s.now)
	s.note("%s: heartbeat of %q generation %d: %v", c.name, c.memberID, c.generation, code)
	if code == None || code == RebalanceInProgress {
		s.checkAccepted(c, "heartbeat", c.memberID, c.generation)
	}
	s.heard(c.group, c.memberID)
	c.beat = s.now
	if c.join == nil && c.sync == nil {
		s.told(c, "heartbeat", code)
	}
}

// commit commits all that a client owns.
func (s *sim) commit(c *simClient) {
	r := &CommitRequest{Group: c.group, MemberID: c.memberID, Instance: c.instance, Generation: c.generation}
	s.send(c, r, c.owns, func(code Code) { s.told(c, "commit", code) })
}

// send sends an OffsetCommit; a client of nil commits for nobody's generation.
func (s *sim) send(c *simClient, r *CommitRequest, partitions []int32, told func(code Code)) {
	s.seq++
	seq := s.seq
	t := CommitTopic{Topic: simTopic, TopicID: s.topic}
	if s.rand.IntN(10) == 0 {
		t.TopicID[0]-- // looked up before it was deleted
	}
	for _, p := range partitions {
		t.Partitions = append(t.Partitions, CommitPartition{Partition: p, Offset: int64(seq), LeaderEpoch: -1, Metadata: strconv.Itoa(seq)})
	}
	r.Topics = []CommitTopic{t}
	name := "admin"
	if c != nil {
		name = c.name
	}
	id, generation := r.MemberID, r.Generation
	s.note("%s commits %d for %v as %q generation %d", name, seq, partitions, id, generation)
	p := s.c.Commit(r, s.now)
	if code, done := p.Poll(nil); c != nil && (!done || code == None) {
		s.checkAccepted(c, "commit", id, generation)
	}
	if c != nil {
		s.heard(c.group, id)
	}
	wait(s, c, "commit", p, func(code Code, atOnce bool) {
		s.note("%s: commit %d: %v", name, seq, code)
		if code == None {
			for _, part := range t.Partitions {
				if o := s.offset(simKey{r.Group, part.Partition}); part.Code == None && seq > o.acked {
					o.acked, o.ackedDeleted = seq, false
				}
			}
		}
		if told != nil && c.memberID == id && c.generation == generation && c.state == running {
			told(code)
		}
	})
}

// duplicate sends again, on another connection, what a client waits for, or a
// commit; or a commit arrives late.
func (s *sim) duplicate(c *simClient) {
	switch {
	case c.late != nil && s.rand.IntN(2) == 0:
		late := *c.late
		s.note("%s, late:", c.name)
		s.send(c, &late, c.had, nil)
	case c.join != nil && c.memberID != "":
		s.note("%s again:", c.name)
		c.join = s.join(c)
	case c.sync != nil:
		s.note("%s again:", c.name)
		c.sync = s.sync(c)
	case c.state == running && len(c.owns) > 0:
		s.commit(c)
		s.commit(c)
	}
}

// die ends a client; its connections end too, or only later.
func (s *sim) die(c *simClient) {
	s.note("%s dies", c.name)
	c.dead = true
	if s.rand.IntN(2) == 0 {
		s.disconnect(c)
	}
}

// disconnect ends the connections of a client.
func (s *sim) disconnect(c *simClient) {
	s.waits = slices.DeleteFunc(s.waits, func(w *simWait) bool {
		if w.client != c {
			return false
		}
		s.note("%s: its %s is cancelled", c.name, w.what)
		w.cancel()
		s.heard(c.group, w.id)
		return true
	})
	c.join, c.sync = nil, nil
}

// freeze has a client do nothing for so long that its session may end. What it
// does first after that is a commit, if it owns anything.
func (s *sim) freeze(c *simClient) {
	s.note("%s is frozen", c.name)
	if s.rand.IntN(2) == 0 {
		s.disconnect(c)
	}
	s.advance(time.Duration(s.rand.Int64N(int64(2 * simSession))))
	if c.state == running && len(c.owns) > 0 {
		s.commit(c)
	}
}

// leave takes a client out of its group, as itself or, by its instance id, as an
// admin does.
func (s *sim) leave(c *simClient) {
	r := &LeaveRequest{Group: c.group, Members: []LeavingMember{{MemberID: c.memberID, Instance: c.instance}}}
	if c.instance != "" && s.rand.IntN(2) == 0 {
		r.Members[0].MemberID = ""
	}
	g := s.groups[c.group]
	// What waits may be answered before the call returns.
	known := slices.ContainsFunc(s.clients, func(o *simClient) bool { return o != c && o.memberID == c.memberID })
	var taken []string
	for _, o := range s.clients {
		if o == c && !known || o.group == c.group && r.Members[0].MemberID == "" && o.instance == c.instance {
			taken = append(taken, o.memberID)
		}
	}
	code := s.c.Leave(r, s.now)
	s.note("%s leaves as %q: %v %v", c.name, r.Members[0].MemberID, code, r.Members[0].Code)
	if code == None && r.Members[0].Code == None {
		for _, id := range taken {
			if id != "" {
				g.gone[id] = "left"
			}
		}
		// A static member in the middle of being replaced has an id that nobody was
		// told.
		for _, w := range s.waits {
			if w.client != nil && w.client.group == c.group && w.client.instance == c.instance && c.instance != "" {
				g.gone[w.id] = "left"
			}
		}
	}
	delete(g.gone, "")
	if r.Members[0].MemberID == "" && c.instance != "" {
		for _, w := range s.waits {
			if w.client != nil && w.client.group == c.group && w.client.instance == c.instance && w.id == "" {
				w.client.memberID = ""
				g.gone[""] = "left"
			}
		}
		s.collect()
		delete(g.gone, "")
	}
	s.disconnect(c)
	c.dead = true
}

// admin does what an administrator does.
func (s *sim) admin() {
	group := simGroups[s.rand.IntN(len(simGroups))]
	partition := int32(s.rand.IntN(simPartitions))
	s.asked = true
	defer func() { s.asked = false }()
	switch s.rand.IntN(5) {
	case 0:
		s.send(nil, &CommitRequest{Group: group, Generation: -1}, []int32{partition}, nil)
	case 1:
		s.seq++
		seq := s.seq
		r := &DeleteOffsetsRequest{Group: group, Topics: []DeleteOffsetsTopic{{Topic: simTopic, Partitions: []int32{partition}}}}
		s.deletes(group, seq, []int32{partition}, s.c.DeleteOffsets(r, s.now), func() bool { return r.Topics[0].Code == None })
	case 2:
		s.seq++
		seq := s.seq
		s.deletes(group, seq, []int32{0, 1, 2, 3}, s.c.DeleteGroup(group, s.now), func() bool { return true })
	case 3:
		if _, code := s.c.Describe(group); code != None {
			s.fail("describe: %v", code)
		}
		if _, code := s.c.List(nil, []string{"Classic"}); code != None {
			s.fail("list: %v", code)
		}
	case 4:
		s.asked = false
		s.deleteTopic()
	}
}

// deleteTopic has another topic of the same name; the coordinator does not always
// hear of it.
func (s *sim) deleteTopic() {
	s.seq++
	s.deleted = s.seq
	s.topic[0]++
	for _, group := range simGroups {
		for p := range int32(simPartitions) {
			s.offset(simKey{group, p}).deleted = s.seq
		}
	}
	told := s.rand.IntN(3) > 0
	s.note("the topic is deleted as %d and made anew; the coordinator is told: %v", s.seq, told)
	if told {
		s.c.TopicDeleted(simTopic)
	}
}

// deletes notes a deletion of offsets.
func (s *sim) deletes(group string, seq int, partitions []int32, p *Pending[Code], carried func() bool) {
	if code, done := p.Poll(nil); !done || code == None && carried() {
		s.note("admin deletes %v of %s as %d", partitions, group, seq)
		for _, part := range partitions {
			s.offset(simKey{group, part}).deleted = seq
		}
	}
	wait(s, nil, "deletion", p, func(code Code, atOnce bool) {
		s.note("admin: deletion %d: %v", seq, code)
		if code != None || !carried() {
			return
		}
		for _, part := range partitions {
			if o := s.offset(simKey{group, part}); seq > o.acked {
				o.acked, o.ackedDeleted = seq, true
			}
		}
	})
}

// settleSome settles a few appends; one in twenty fails.
func (s *sim) settleSome() {
	for range 1 + s.rand.IntN(4) {
		var err error
		if s.rand.IntN(20) == 0 {
			err = errors.New("no space left on device")
		}
		p := int32(s.rand.IntN(int(s.c.settings.Partitions)))
		if s.log.settle(p, err) {
			s.note("settled an append of partition %d: %v", p, err)
			s.collect()
		}
	}
}

// advance lets time pass, and what is due happen when it is.
func (s *sim) advance(d time.Duration) {
	to := s.now.Add(d)
	for !s.next.IsZero() && !s.next.After(to) {
		if s.next.After(s.now) {
			s.now = s.next
		}
		s.busy()
		s.next = s.c.Tick(s.now)
		if !s.next.IsZero() && !s.next.After(s.now) {
			s.fail("Tick at %v wants to be called again at %v", s.now, s.next)
			return
		}
		s.collect()
		s.tickEarlier()
	}
	s.now = to
	s.note("time passes")
}

// tickEarlier ticks earlier if the coordinator wants it.
func (s *sim) tickEarlier() {
	if s.woken {
		s.woken = false
		s.c.mu.Lock()
		s.next = s.c.told
		s.c.mu.Unlock()
	}
}

// restart kills the coordinator, with so many of the records that are not settled
// still in each partition, and starts another.
func (s *sim) restart(keep int) {
	s.note("restart, with %d records more", keep)
	for p, queue := range s.log.queue {
		var left []Record
		for _, records := range queue {
			left = append(left, records...)
		}
		s.log.apply(p, left[:min(keep, len(left))])
	}
	clear(s.log.queue)
	s.waits = nil
	for _, c := range s.clients {
		c.join, c.sync = nil, nil
	}
	s.woken = false
	s.start()
	for name, g := range s.groups {
		g.told, g.group, g.busy = 0, nil, time.Time{}
		clear(g.gone) // what was told and is not durable is forgotten
		if durable := s.log.groups[name]; durable != nil {
			g.told, g.busy = durable.Generation, time.UnixMilli(durable.CurrentStateTimestamp)
			for _, m := range durable.Members {
				g.heard[m.MemberID] = s.now
			}
		} else {
			g.incarnation++
		}
	}
}

// busy notes which groups have members.
func (s *sim) busy() {
	for name, g := range s.groups {
		d, _ := s.c.Describe(name)
		if len(d.Members) > 0 || d.State == PreparingRebalance {
			g.busy = s.now
		}
		if now := s.c.partitions[PartitionOf(name, s.c.settings.Partitions)].groups[name]; now != g.group {
			if g.group != nil {
				g.incarnation++
				g.told = 0
			}
			g.group = now
		}
	}
}

// collect takes the answers that are there.
func (s *sim) collect() {
	for again := true; again; {
		again = false
		for i, w := range s.waits {
			if w.poll() {
				s.waits = slices.Delete(s.waits, i, i+1)
				again = true
				break
			}
		}
	}
}

// after checks what must hold after each step.
func (s *sim) after() {
	s.busy()
	s.tickEarlier()
	if !s.next.After(s.now) {
		s.next = s.c.Tick(s.now)
		s.busy()
	}
	s.collect()
	s.busy()
	if err := s.c.check(); err != nil {
		s.fail("%w", err)
	}
	for _, group := range simGroups {
		s.checkOffsets(group)
	}
}

// checkOffsets fetches all offsets of a group: they are what the log has for the
// topic that is there, and none is older than what was acknowledged.
func (s *sim) checkOffsets(group string) {
	fetched, code := s.c.FetchOffsets(group, []TopicPartitions{{simTopic, []int32{0, 1, 2, 3}}})
	if code != None {
		s.fail("fetch: %v", code)
		return
	}
	for _, f := range fetched[0].Partitions {
		k := simKey{group, f.Partition}
		durable, there := s.log.offsets[k]
		there = there && int(durable.Offset) > s.deleted
		if there != (f.Offset >= 0) || there && (durable.Offset != f.Offset || durable.Metadata != f.Metadata) {
			s.fail("offset of %v: %d %q, the log has %d (%v)", k, f.Offset, f.Metadata, durable.Offset, there)
		}
		promised := s.offset(k)
		switch seq := int(f.Offset); {
		case f.Offset < 0 && promised.acked > 0 && !promised.ackedDeleted && promised.deleted < promised.acked:
			s.fail("offset of %v is gone: %d was acknowledged", k, promised.acked)
		case f.Offset >= 0 && (seq < promised.acked || seq == promised.acked && promised.ackedDeleted):
			s.fail("offset of %v goes back to %d: %d was acknowledged", k, seq, promised.acked)
		}
	}
}

// rest lets the clients that live do what the protocol asks of them, and nothing
// go wrong: after a while every partition of a group with members has one owner,
// and no answer is awaited.
func (s *sim) rest() {
	s.note("from here on nothing goes wrong")
	for _, c := range s.clients {
		if c.dead {
			s.disconnect(c)
		}
	}
	for end := s.now.Add(2*s.rebalanceTimeout + 6*simSession); s.now.Before(end) && s.violation == nil; {
		for p := range s.c.settings.Partitions {
			for s.log.settle(p, nil) {
				s.collect()
			}
		}
		for _, c := range s.clients {
			switch {
			case c.dead || c.join != nil || c.sync != nil:
			case c.state == out:
				c.join = s.join(c)
			case c.state == joined:
				c.sync = s.sync(c)
			case s.now.Sub(c.beat) >= simSession/5:
				s.heartbeat(c)
			}
		}
		s.after()
		if s.settled() == nil {
			return
		}
		s.advance(time.Second)
	}
	if err := s.settled(); err != nil {
		s.fail("does not come to rest: %w", err)
	}
}

// settled returns what is not at rest.
func (s *sim) settled() error {
	if len(s.waits) > 0 {
		return fmt.Errorf("%d answers are awaited", len(s.waits))
	}
	for _, group := range simGroups {
		d, _ := s.c.Describe(group)
		owners, live := map[int32]int{}, 0
		for _, c := range s.clients {
			if c.dead || c.group != group {
				continue
			}
			live++
			if c.state != running || c.generation != d.Generation {
				return fmt.Errorf("%s has no assignment of generation %d", c.name, d.Generation)
			}
			for _, p := range c.owns {
				owners[p]++
			}
		}
		switch {
		case live == 0 && len(d.Members) > 0:
			return fmt.Errorf("group %s has %d members, all of them dead", group, len(d.Members))
		case live > 0 && (d.State != Stable || len(d.Members) != live):
			return fmt.Errorf("group %s in %v has %d members, %d live", group, d.State, len(d.Members), live)
		}
		for p := int32(0); live > 0 && p < simPartitions; p++ {
			if owners[p] != 1 {
				return fmt.Errorf("partition %d of group %s has %d owners", p, group, owners[p])
			}
		}
	}
	return nil
}

// run runs a history of so many steps, and returns what was violated. At step
// restartAt it restarts the coordinator with keep records that were not settled.
func (s *sim) run(steps, restartAt, keep int) error {
	for i := 0; i < steps && s.violation == nil; i++ {
		if i == restartAt {
			s.restart(keep)
			s.after()
		}
		s.step()
	}
	if s.violation == nil {
		s.rest()
	}
	return s.violation
}

// tail is the end of the trace.
func (s *sim) tail() string {
	return strings.Join(s.trace[max(0, len(s.trace)-60):], "\n")
}
