package e2e

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/record"
)

// startGroupServer starts a server with a Kafka listener and settings, "name=value".
func startGroupServer(t testing.TB, data string, settings []string, args ...string) *server {
	t.Helper()
	config := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(config, []byte(strings.Join(settings, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return startServer(t, data, append([]string{"--config", config, "--kafka", "127.0.0.1:0"}, args...)...)
}

// groupSettings are a server's with that initial delay. The topic of offsets has
// fewer partitions than by default, which take time to be made, unless it is the
// whole test.
func groupSettings(whole bool, delay time.Duration) []string {
	s := []string{fmt.Sprint("group.initial.rebalance.delay.ms=", delay.Milliseconds())}
	if !whole {
		s = append(s, "offsets.topic.num.partitions=5")
	}
	return s
}

// restartTest has groups of five members read a topic, and knows what they have
// committed.
type restartTest struct {
	*server
	t       *testing.T
	rng     *rand.Rand
	members []*groupMember
	whole   bool // the times are judged
	groups  int
	// By group and partition: the last offset whose commit was answered, and the
	// last that was sent.
	acked, sent [][]int64
}

const (
	membersOfGroup   = 5
	restartSession   = 10 * time.Second
	recordsOfBatch   = 4
	restartedRecords = 40 // in each partition
)

// Groups of five members and what they have committed are there after a clean stop
// and after a kill in the middle of commits: the members go on with their ids
// within their sessions, whether they send a heartbeat or join again, and each
// partition is read on from the last commit, or one that was under way.
// ROLLWAY_GROUPS is how many groups, each of which commits 100 offsets; from 200 on
// the times are judged: `make groups`.
func TestGroupsRestart(t *testing.T) {
	groups, partitions := int(envInt(t, "ROLLWAY_GROUPS", 6)), 20
	whole := groups >= 200
	if whole {
		partitions = 100
	}
	seed := envInt(t, "ROLLWAY_GROUPS_SEED", time.Now().UnixNano())
	t.Logf("ROLLWAY_GROUPS_SEED=%d", seed)
	data := t.TempDir()
	conditions(t, data)
	roomForDescriptors(t, 2*groups*membersOfGroup)
	settings := groupSettings(whole, 100*time.Millisecond)
	r := &restartTest{t: t, rng: rand.New(rand.NewPCG(uint64(seed), 1)), whole: whole, groups: groups}
	r.server = startGroupServer(t, data, settings)
	r.produce(partitions)
	r.members = newMembers(t, r.server, groups, membersOfGroup, partitions, restartSession)
	if err := settleAll(r.members); err != nil {
		t.Fatal(err)
	}
	r.acked, r.sent = make([][]int64, groups), make([][]int64, groups)
	for g := range groups {
		r.acked[g], r.sent[g] = make([]int64, partitions), make([]int64, partitions)
		for p := range partitions {
			r.sent[g][p] = r.rng.Int64N(restartedRecords / 2)
		}
	}
	if err := r.commitAll(); err != nil {
		t.Fatal(err)
	}
	r.stop()
	r.goOn(startGroupServer(t, data, settings), "clean stop")

	// The server dies while all members commit.
	var answered atomic.Int64
	var committing sync.WaitGroup
	for _, m := range r.members {
		committing.Go(func() {
			for r.commitNext(m) == nil {
				answered.Add(1)
			}
		})
	}
	for answered.Load() < int64(len(r.members)/2) {
		time.Sleep(time.Millisecond)
	}
	r.kill()
	committing.Wait()
	t.Logf("killed after %d commits of %d offsets", answered.Load(), partitions/membersOfGroup)
	r.goOn(startGroupServer(t, data, settings), "kill")
	r.server.stop()
}

// produce fills each partition with batches whose records say where they are.
func (r *restartTest) produce(partitions int) {
	r.t.Helper()
	r.run(nil, "topic", "create", groupTopic, "--partitions", strconv.Itoa(partitions))
	c := dialKafka(r.t, r.server)
	for p := range partitions {
		m := kmsg.NewPtrProduceRequest()
		m.Acks, m.TimeoutMillis = -1, 30_000
		for at := 0; at < restartedRecords; at += recordsOfBatch {
			var b record.Builder
			b.Reset(record.BuilderOptions{})
			for i := range recordsOfBatch {
				if err := b.Append(time.Now().UnixMilli(), nil, fmt.Appendf(nil, "%d of %d", at+i, p)); err != nil {
					r.t.Fatal(err)
				}
			}
			batch, err := b.Build(nil)
			if err != nil {
				r.t.Fatal(err)
			}
			m.Topics = []kmsg.ProduceRequestTopic{{Topic: groupTopic, Partitions: []kmsg.ProduceRequestTopicPartition{{Partition: int32(p), Records: batch}}}}
			if a := c.ask(m, 7).(*kmsg.ProduceResponse).Topics[0].Partitions[0]; a.ErrorCode != 0 {
				r.t.Fatalf("produce: error %d", a.ErrorCode)
			}
		}
	}
}

// groupIndex is the number in the name of the member's group.
func (m *groupMember) groupIndex() int {
	n, _ := strconv.Atoi(strings.TrimPrefix(m.group, "group-"))
	return n
}

// commitAll has every member commit what is in sent.
func (r *restartTest) commitAll() error {
	return inParallel(r.members, func(m *groupMember) error { return r.commitSent(m) })
}

// commitSent commits what is in sent for the member's partitions, which are of no
// other.
func (r *restartTest) commitSent(m *groupMember) error {
	g := m.groupIndex()
	offsets := map[int32]int64{}
	for _, p := range m.assigned {
		offsets[p] = r.sent[g][p]
	}
	code, err := m.commit(offsets)
	if err == nil && code != noError {
		err = fmt.Errorf("commit: error %d", code)
	}
	if err != nil {
		return err
	}
	for _, p := range m.assigned {
		r.acked[g][p] = r.sent[g][p]
	}
	return nil
}

// commitNext commits one record more of each of the member's partitions.
func (r *restartTest) commitNext(m *groupMember) error {
	for _, p := range m.assigned {
		if at := &r.sent[m.groupIndex()][p]; *at < restartedRecords {
			*at++
		}
	}
	return r.commitSent(m)
}

// loaded is what a server says when the groups are there.
var loaded = regexp.MustCompile(`offsets of groups are loaded" records=(\d+) took=(\S+)`)

// goOn takes the members to a server that was started anew, half of the groups by
// heartbeats and half by joining again, and has them read what they have not
// committed.
func (r *restartTest) goOn(s *server, after string) {
	t := r.t
	t.Helper()
	ready := time.Now()
	r.server = s
	ids := map[*groupMember]string{}
	generations := map[*groupMember]int32{}
	var beating, joining []*groupMember
	for _, m := range r.members {
		ids[m], generations[m] = m.id, m.generation
		if err := m.reconnect(s); err != nil {
			t.Fatal(err)
		}
		if m.groupIndex()%2 == 0 {
			beating = append(beating, m)
		} else {
			joining = append(joining, m)
		}
	}
	if err := inParallel(beating, (*groupMember).beat); err != nil {
		t.Fatal(err)
	}
	if err := settleAll(joining); err != nil {
		t.Fatal(err)
	}
	back := time.Since(ready)

	var said []string
	for said == nil {
		if time.Since(ready) > startLimit {
			t.Fatalf("groups were not loaded; stderr:\n%s", s.stderr)
		}
		time.Sleep(time.Millisecond)
		said = loaded.FindStringSubmatch(s.stderr.String())
	}
	took, err := time.ParseDuration(said[2])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("after a %s: %s records of groups loaded in %v, %d members back %v after the ready line", after, said[1], took, len(r.members), back.Round(time.Millisecond))
	if r.whole {
		limit(t, "load, s", took.Seconds(), 1)
		limit(t, "members back, s", back.Seconds(), restartSession.Seconds())
	}
	for _, m := range r.members {
		if m.id != ids[m] {
			t.Errorf("a member of %s is %q, and was %q", m.group, m.id, ids[m])
		}
	}
	for _, m := range beating {
		if err := m.beat(); err != nil || m.generation != generations[m] { // it was not loaded before, maybe
			t.Errorf("a member of %s: %v", m.group, err)
		}
	}
	r.checkCommitted()
	r.readOn()
}

// checkCommitted checks that each offset is one that was committed last, or one
// whose commit was not answered, and goes on from there.
func (r *restartTest) checkCommitted() {
	r.t.Helper()
	c := dialKafka(r.t, r.server)
	count := 0
	for g := range r.acked {
		offsets := c.committedOffsets(fmt.Sprint("group-", g))
		count += len(offsets)
		for p := range r.acked[g] {
			at, ok := offsets[int32(p)]
			if !ok || at < r.acked[g][p] || at > r.sent[g][p] {
				r.t.Errorf("group-%d, partition %d: offset %d (%v), committed was %d, sent %d", g, p, at, ok, r.acked[g][p], r.sent[g][p])
			}
			r.acked[g][p], r.sent[g][p] = at, at
		}
	}
	if want := len(r.acked) * len(r.acked[0]); count != want {
		r.t.Errorf("%d offsets are there, want %d", count, want)
	}
}

// readOn has each member read its partitions from what is committed to the end, and
// commit, now and then, where it is.
func (r *restartTest) readOn() {
	r.t.Helper()
	owners := make([][]int, r.groups)
	for g := range owners {
		owners[g] = make([]int, len(r.acked[g]))
	}
	for _, m := range r.members {
		for _, p := range m.assigned {
			owners[m.groupIndex()][p]++
		}
	}
	for g := range owners {
		for p, n := range owners[g] {
			if n != 1 {
				r.t.Fatalf("group-%d: partition %d has %d owners", g, p, n)
			}
		}
	}
	err := inParallel(r.members, func(m *groupMember) error {
		g := m.groupIndex()
		from := map[int32]int64{}
		for _, p := range m.assigned {
			from[p] = r.acked[g][p]
		}
		return m.readAll(from)
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, m := range r.members {
		for _, p := range m.assigned {
			at := &r.sent[m.groupIndex()][p]
			*at += r.rng.Int64N(min(5, restartedRecords-*at+1))
		}
	}
	if err := r.commitAll(); err != nil {
		r.t.Fatal(err)
	}
}

// readAll reads partitions from offsets to their ends, and checks each record.
func (m *groupMember) readAll(from map[int32]int64) error {
	r := kmsg.NewPtrFetchRequest()
	r.MaxWaitMillis, r.MinBytes, r.MaxBytes = 0, 1, 16<<20
	topic := kmsg.NewFetchRequestTopic()
	topic.Topic = groupTopic
	for p, offset := range from {
		partition := kmsg.NewFetchRequestTopicPartition()
		partition.Partition, partition.FetchOffset, partition.PartitionMaxBytes = p, offset, 1<<20
		topic.Partitions = append(topic.Partitions, partition)
	}
	r.Topics = append(r.Topics, topic)
	answer, err := m.tryAsk(r, 11)
	if err != nil {
		return err
	}
	for _, p := range answer.(*kmsg.FetchResponse).Topics[0].Partitions {
		if p.ErrorCode != noError {
			return fmt.Errorf("fetch of partition %d: error %d", p.Partition, p.ErrorCode)
		}
		next := from[p.Partition]
		for rest := p.RecordBatches; len(rest) > 0; {
			var b record.Batch
			if b, rest, err = record.Next(rest); err != nil {
				return err
			}
			for it := b.Iterate(b.Records()); it.Next(); {
				rec := it.Record()
				if int64(rec.Offset) < from[p.Partition] {
					continue // of the batch that the offset is in
				}
				if want := fmt.Sprintf("%d of %d", next, p.Partition); int64(rec.Offset) != next || string(rec.Value) != want {
					return fmt.Errorf("offset %d is %q, want %q", rec.Offset, rec.Value, want)
				}
				next++
			}
		}
		if next != restartedRecords {
			return fmt.Errorf("partition %d ends at %d, want %d", p.Partition, next, restartedRecords)
		}
	}
	return nil
}

// Members that send heartbeats cost little CPU, and memory beside their connections,
// which are open and used before memory is looked at. ROLLWAY_GROUPS_AT_REST is how many
// groups of three, ROLLWAY_IDLE_MS for how long they are watched; from 1,000 groups on
// the figures are judged: `make groups`.
func TestGroupsAtRest(t *testing.T) {
	groups := int(envInt(t, "ROLLWAY_GROUPS_AT_REST", 10))
	idle := time.Duration(envInt(t, "ROLLWAY_IDLE_MS", 200)) * time.Millisecond
	const each, interval = 3, 3 * time.Second
	count := groups * each
	roomForDescriptors(t, count)
	data := t.TempDir()
	conditions(t, data)
	whole := groups >= 1000
	s := startGroupServer(t, data, groupSettings(whole, 100*time.Millisecond),
		"--http", "127.0.0.1:0", "--max-connections", strconv.Itoa(count+100), "--max-open-files", "200")
	s.run(nil, "topic", "create", groupTopic, "--partitions", strconv.Itoa(each))
	members := newMembers(t, s, groups, each, each, time.Minute)
	// A request of each, so that what a connection costs is there.
	if err := inParallel(members, func(m *groupMember) error { _, err := m.heartbeat(); return err }); err != nil {
		t.Fatal(err)
	}
	heap, resident := s.liveMemory(), rss(t, s.pid)
	began := time.Now()
	if err := settleAll(members); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d groups of %d members are stable after %v", groups, each, time.Since(began).Round(time.Millisecond))

	if whole {
		beatFor(t, s, members, each, interval, interval) // what the joins have left to do is done meanwhile
	}
	// Members that were answered at once, in a rebalance, send their heartbeats at
	// once; those who have come one by one do not.
	percent := beatFor(t, s, members, each, interval, idle)
	beatFor(t, s, members, 1, interval, idle)
	heapEach := (s.liveMemory() - heap) / float64(count)
	t.Logf("a member beside its connection: %.2f KiB of heap and stacks that are in use, %.2f KiB of RSS", heapEach/1024, (rss(t, s.pid)-resident)*1024/float64(count))
	if whole {
		limit(t, "CPU, % of a core", percent, 3)
		limit(t, "memory of a member, KiB", heapEach/1024, 8)
	}
	s.stop()
}

// beatFor has each member send a heartbeat in every interval, so many at once and
// evenly otherwise, and returns what the server has used of a core meanwhile, in
// percent.
func beatFor(t *testing.T, s *server, members []*groupMember, atOnce int, interval, idle time.Duration) float64 {
	t.Helper()
	beats, cpu, began := 0, cpuTime(t, s.pid), time.Now()
	for due := began; time.Since(began) < idle; time.Sleep(time.Until(due)) {
		asked := kmsg.NewPtrHeartbeatRequest()
		some := members[beats%len(members):][:atOnce]
		for _, m := range some {
			asked.Group, asked.MemberID, asked.Generation = m.group, m.id, m.generation
			m.send(asked, 4)
		}
		for _, m := range some {
			if a := m.receive(asked).(*kmsg.HeartbeatResponse); a.ErrorCode != noError {
				t.Fatalf("heartbeat of %q: error %d", m.id, a.ErrorCode)
			}
		}
		beats += atOnce
		due = due.Add(interval * time.Duration(atOnce) / time.Duration(len(members)))
	}
	used, took := cpuTime(t, s.pid)-cpu, time.Since(began)
	percent := 100 * used.Seconds() / took.Seconds()
	t.Logf("%d heartbeats, %d at once, in %v (%.0f/s): %v of CPU, %.2f %% of a core, %.1f us each; RSS %.1f MiB",
		beats, atOnce, took.Round(time.Millisecond), float64(beats)/took.Seconds(), used, percent, used.Seconds()*1e6/float64(beats), rss(t, s.pid))
	if want := took.Seconds() * float64(len(members)) / interval.Seconds(); len(members) >= 3000 && float64(beats) < 0.95*want {
		t.Errorf("%d heartbeats were sent, want %.0f: this machine is too busy to measure", beats, want)
	}
	return percent
}

// liveMemory is what the server's heap and stacks have in use, in bytes, when the
// collector finds no more to free: it empties pools and shrinks stacks by steps.
func (s *server) liveMemory() float64 {
	s.t.Helper()
	get := func(path string) string {
		s.t.Helper()
		response, err := http.Get("http://" + s.http + path)
		if err != nil {
			s.t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			s.t.Fatalf("%s: %s, %v", path, response.Status, err)
		}
		return string(body)
	}
	least := math.Inf(1)
	for stable := 0; stable < 3; {
		get("/debug/pprof/heap?gc=1")
		sum := 0.0
		metrics := get("/metrics")
		for _, name := range []string{"go_memstats_heap_alloc_bytes", "go_memstats_stack_inuse_bytes"} {
			_, rest, ok := strings.Cut(metrics, "\n"+name+" ")
			value, _, _ := strings.Cut(rest, "\n")
			n, err := strconv.ParseFloat(value, 64)
			if !ok || err != nil {
				s.t.Fatalf("no %s: %v", name, err)
			}
			sum += n
		}
		if sum > 0.99*least {
			stable++
		}
		least = min(least, sum)
	}
	return least
}

// A rebalance of one large group, over sockets: from the end of the initial delay,
// and from when all members of a stable group have heard that one has come, until
// each has its assignment. ROLLWAY_GROUP_MEMBERS is how many; from 500 on the times
// are judged: `make groups`.
func TestLargeGroup(t *testing.T) {
	count := int(envInt(t, "ROLLWAY_GROUP_MEMBERS", 30))
	delay := 200 * time.Millisecond
	whole := count >= 500
	if whole {
		delay = 3 * time.Second // Kafka's default
	}
	roomForDescriptors(t, count)
	data := t.TempDir()
	conditions(t, data)
	s := startGroupServer(t, data, groupSettings(whole, delay))
	s.run(nil, "topic", "create", groupTopic, "--partitions", strconv.Itoa(count))
	members := newMembers(t, s, 1, count+1, count, 30*time.Second)
	members, late := members[:count], members[count]

	began := time.Now()
	if err := settleAll(members); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	first := took
	for _, m := range members {
		first = min(first, m.answered.Sub(began))
	}
	// As long as members come, the delay begins anew.
	delays := first / delay
	after := took - delays*delay
	t.Logf("%d members: first rebalance %v after the last of %d delays of %v", count, after.Round(time.Millisecond), delays, delay)
	checkShares(t, members, count)

	entered := make(chan error, 1)
	go func() { entered <- late.enter() }()
	for told := false; !told; time.Sleep(time.Millisecond) {
		code, err := members[0].heartbeat()
		if err != nil {
			t.Fatal(err)
		}
		told = code == rebalanceInProgress
	}
	began = time.Now()
	if err := inParallel(members, (*groupMember).enter); err != nil {
		t.Fatal(err)
	}
	if err := <-entered; err != nil {
		t.Fatal(err)
	}
	again := time.Since(began)
	t.Logf("%d members: rebalance of a stable group %v", count+1, again.Round(time.Millisecond))
	checkShares(t, append(members, late), count)
	if whole {
		limit(t, "first rebalance, s", after.Seconds(), 2)
		limit(t, "rebalance, s", again.Seconds(), 2)
	}
	s.stop()
}

// checkShares checks that the members are in one generation, in which each
// partition is one's.
func checkShares(t *testing.T, members []*groupMember, partitions int) {
	t.Helper()
	owners := make([]int, partitions)
	for _, m := range members {
		if m.generation != members[0].generation {
			t.Errorf("member %q is in generation %d, another in %d", m.id, m.generation, members[0].generation)
		}
		for _, p := range m.assigned {
			owners[p]++
		}
	}
	for p, n := range owners {
		if n != 1 {
			t.Errorf("partition %d has %d owners", p, n)
		}
	}
}
