package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// franzMember is a franz-go client that reads a topic as a member of a group, and
// commits only where it is told to.
type franzMember struct {
	cl      *kgo.Client
	topic   string
	stopped chan struct{} // closed when it reads no more

	mu   sync.Mutex
	has  []int32              // its partitions, sorted
	read map[int32][]consumed // what it has read of each
}

func startFranzMember(t *testing.T, s *server, id, group, topic string) *franzMember {
	t.Helper()
	m := &franzMember{topic: topic, stopped: make(chan struct{}), read: map[int32][]consumed{}}
	taken := func(_ context.Context, _ *kgo.Client, taken map[string][]int32) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.has = slices.DeleteFunc(m.has, func(p int32) bool { return slices.Contains(taken[topic], p) })
	}
	m.cl = newFranzGo(t, s, kgo.ClientID(id), kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()), kgo.HeartbeatInterval(100*time.Millisecond), kgo.FetchMaxWait(100*time.Millisecond),
		kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, given map[string][]int32) {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.has = append(m.has, given[topic]...)
			slices.Sort(m.has)
		}),
		kgo.OnPartitionsRevoked(taken), kgo.OnPartitionsLost(taken))
	go func() {
		defer close(m.stopped)
		for {
			fetches := m.cl.PollFetches(context.Background())
			if fetches.IsClientClosed() {
				return
			}
			if err := fetches.Err(); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			m.mu.Lock()
			fetches.EachRecord(func(r *kgo.Record) {
				m.read[r.Partition] = append(m.read[r.Partition], consumed{r.Offset, string(r.Value)})
			})
			m.mu.Unlock()
		}
	}()
	return m
}

// leave has it leave the group.
func (m *franzMember) leave() {
	m.cl.Close()
	<-m.stopped
}

// partitions returns those that it has.
func (m *franzMember) partitions() []int32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.has)
}

// take waits until it has read each partition up to the end of values, and checks
// that it has read them from an offset on, each once. values are those of each
// partition, from offset 0 on.
func (m *franzMember) take(t *testing.T, values map[int32][]string, from int64) {
	t.Helper()
	awaitFor(t, func() string {
		m.mu.Lock()
		defer m.mu.Unlock()
		for p, all := range values {
			if want := len(all) - int(from); len(m.read[p]) < want {
				return fmt.Sprintf("%d records of partition %d were read, want %d", len(m.read[p]), p, want)
			}
		}
		return ""
	})
	m.mu.Lock()
	defer m.mu.Unlock()
	for p, all := range values {
		checkConsumed(t, m.read[p], all[from:], from)
	}
	clear(m.read)
}

// commit commits offsets of the topic's partitions, from 0 on.
func (m *franzMember) commit(t *testing.T, offsets ...int64) {
	t.Helper()
	var last []*kgo.Record // those before
	for p, o := range offsets {
		last = append(last, &kgo.Record{Topic: m.topic, Partition: int32(p), Offset: o - 1, LeaderEpoch: -1})
	}
	if err := m.cl.CommitRecords(limit(t), last...); err != nil {
		t.Fatal(err)
	}
}

// describedGroup is what rollway group describe --json prints, as far as tests
// look at it.
type describedGroup struct {
	Group, State, Protocol string
	ProtocolType           string `json:"protocol_type"`
	Generation             int32
	Members                []struct {
		Member   string
		ClientID string `json:"client_id"`
		Host     string
		Assigned []struct {
			Topic      string
			Partitions []int32
		}
	}
	Offsets []struct {
		Topic               string
		Partition           int32
		Committed, End, Lag int64
		LagMs               int64 `json:"lag_ms"`
		Member              string
	}
}

func (s *server) describeGroup(t *testing.T, group string) (d describedGroup) {
	t.Helper()
	if err := json.Unmarshal([]byte(s.rollway(t, "", "group", "describe", group, "--json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// refused runs a command that must fail with the exit code 1, print nothing and say
// on standard error, in one line, what is wanted.
func (s *server) refused(t *testing.T, want string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, append(args, "--addr", s.wire)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	cmd.Run()
	if cmd.ProcessState.ExitCode() != 1 || stdout.Len() > 0 || !strings.Contains(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
		t.Errorf("rollway %s: %v, printed %q and said %q; want %q", strings.Join(args, " "), cmd.ProcessState, stdout.Bytes(), stderr.Bytes(), want)
	}
}

// writeOld writes values that are an hour old, and returns those of each
// partition.
func writeOld(t *testing.T, s *server, topic string, partitions, each int32) map[int32][]string {
	t.Helper()
	values := map[int32][]string{}
	var records []*kgo.Record
	for i := range partitions * each {
		p, v := i%partitions, fmt.Sprintf("record %d", i)
		values[p] = append(values[p], v)
		records = append(records, &kgo.Record{Topic: topic, Partition: p, Value: []byte(v), Timestamp: time.Now().Add(-time.Hour)})
	}
	cl := newFranzGo(t, s, kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err := cl.ProduceSync(limit(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
	return values
}

// What the program's commands show of a group with Kafka's members is what these
// know of themselves, and how far the group is behind. They leave its offsets alone
// while it has members, also as a reader of their own; when those have left, who
// comes next reads on where the group was reset to, or what the last one has not
// committed.
func TestGroupCommands(t *testing.T) {
	s := startGroupServer(t)
	if s.wire == "" {
		t.Skip("needs our server")
	}
	topic, group := createTopic(t, s, 3), unique(t)
	values := writeOld(t, s, topic, 3, 10)
	members := map[string]*franzMember{}
	for _, id := range []string{"one", "two"} {
		members[id] = startFranzMember(t, s, id, group, topic)
	}
	awaitFor(t, func() string {
		one, two := members["one"].partitions(), members["two"].partitions()
		if len(one) == 0 || len(two) == 0 || len(one)+len(two) != 3 {
			return fmt.Sprintf("the members have %v and %v", one, two)
		}
		return ""
	})
	members["one"].commit(t, 4, 5, 10)

	d := s.describeGroup(t, group)
	_, generation := members["one"].cl.GroupMetadata()
	if d.State != "Stable" || d.ProtocolType != "consumer" || d.Protocol != "cooperative-sticky" || d.Generation != generation || len(d.Members) != 2 {
		t.Errorf("%+v, want generation %d", d, generation)
	}
	owners := map[int32]string{}
	for _, described := range d.Members {
		m := members[described.ClientID]
		if m == nil {
			t.Fatalf("%+v is not a member", described)
		}
		id, _ := m.cl.GroupMetadata()
		a := described.Assigned
		if described.Member != id || described.Host != "/127.0.0.1" || len(a) != 1 || a[0].Topic != topic || !slices.Equal(a[0].Partitions, m.partitions()) {
			t.Errorf("%+v, want %s with %v", described, id, m.partitions())
		}
		for _, p := range m.partitions() {
			owners[p] = id
		}
	}
	if len(d.Offsets) != 3 {
		t.Fatalf("%+v", d.Offsets)
	}
	for i, want := range []int64{4, 5, 10} {
		o := d.Offsets[i]
		if o.Topic != topic || o.Partition != int32(i) || o.Committed != want || o.End != 10 || o.Lag != 10-want || o.Member != owners[int32(i)] {
			t.Errorf("%+v, want partition %d of %s at %d of 10", o, i, owners[int32(i)], want)
		}
		if late := o.LagMs >= time.Hour.Milliseconds(); late != (want < 10) {
			t.Errorf("partition %d at %d is %d ms behind; its records are an hour old", i, want, o.LagMs)
		}
	}
	if list := s.rollway(t, "", "group", "list"); !strings.Contains(list, group+"  Stable  consumer\n") {
		t.Errorf("%s", list)
	}

	const stopThem = "stop them first"
	s.refused(t, "has 2 members, who alone may commit its offsets; "+stopThem, "consume", topic, "--group", group)
	s.refused(t, stopThem, "group", "reset", group, topic, "--to-earliest")
	s.refused(t, stopThem, "group", "reset", group, topic, "--to-earliest", "--dry-run")
	s.refused(t, stopThem, "group", "delete", group)
	s.checkCommitted(t, group, 4, 5, 10)

	for _, m := range members {
		m.leave()
	}
	s.rollway(t, "", "group", "reset", group, topic, "--to-offset", "3")
	s.checkCommitted(t, group, 3, 3, 3)
	next := startFranzMember(t, s, "three", group, topic)
	next.take(t, values, 3)
	next.commit(t, 10, 9, 10)
	next.leave()
	if got, want := s.rollway(t, "", "consume", topic, "--group", group, "--format", `%p %o %v\n`), "1 9 "+values[1][9]+"\n"; got != want {
		t.Errorf("%q was read, want %q", got, want)
	}
	s.rollway(t, "", "group", "delete", group)
	s.refused(t, "unknown group", "group", "describe", group)
}

// checkCommitted fails unless that is where a group is in each partition of its
// topic.
func (s *server) checkCommitted(t *testing.T, group string, want ...int64) {
	t.Helper()
	var got []int64
	for _, o := range s.describeGroup(t, group).Offsets {
		got = append(got, o.Committed)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%v is committed, want %v", got, want)
	}
}

// A reader by the native protocol ends, and says why, when a Kafka member has come
// to its group: it may no longer commit. The member reads on where the reader has
// committed, so what the reader has printed after that is read again, and nothing
// is left out.
func TestKafkaMemberComesToNativeReader(t *testing.T) {
	s := startGroupServer(t)
	if s.wire == "" {
		t.Skip("needs our server")
	}
	topic, group := createTopic(t, s, 3), unique(t)
	values := writeOld(t, s, topic, 3, 10)
	reader := exec.CommandContext(limit(t), program, "consume", topic, "--group", group, "--follow", "--format", `%p %o %v\n`, "--addr", s.wire)
	var stdout, stderr bytes.Buffer // read after the end
	reader.Stdout, reader.Stderr = &stdout, &stderr
	if err := reader.Start(); err != nil {
		t.Fatal(err)
	}
	checkNoLag(t, s, group)
	member := startFranzMember(t, s, "kafka", group, topic)
	awaitFor(t, func() string {
		if has := member.partitions(); len(has) != 3 {
			return fmt.Sprintf("the member has %v", has)
		}
		return ""
	})
	for p, more := range writeOld(t, s, topic, 3, 10) {
		values[p] = append(values[p], more...)
	}
	member.take(t, values, 10)
	reader.Wait()
	if want := "group not empty"; reader.ProcessState.ExitCode() != 1 || !strings.Contains(stderr.String(), want) || !strings.Contains(stderr.String(), "stop them first") {
		t.Errorf("the reader: %v, and said %q; want %q", reader.ProcessState, stderr.Bytes(), want)
	}
	printed := map[string]bool{}
	for line := range strings.Lines(stdout.String()) {
		printed[line] = true
	}
	for p, all := range values {
		for o, v := range all[:10] {
			if line := fmt.Sprintf("%d %d %s\n", p, o, v); !printed[line] {
				t.Errorf("the reader has committed, but not printed %q", line)
			}
		}
	}
	s.checkCommitted(t, group, 10, 10, 10)
	member.commit(t, 20, 20, 20)
	member.leave()
	if got := s.rollway(t, "", "consume", topic, "--group", group); got != "" {
		t.Errorf("%q is left to read", got)
	}
}
