package clients

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/IBM/sarama"
	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollway/rollway/internal/compat"
	"github.com/rollway/rollway/internal/needs"
)

// startGroupServer starts a server where a new group waits for few more members,
// so that tests do not last.
func startGroupServer(t *testing.T) *server {
	t.Helper()
	config := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(config, []byte("group.initial.rebalance.delay.ms=200\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	return startServer(t, "--config", config)
}

// produceAt writes values by franz-go, in turn to all partitions of a topic. They
// are compressed by gzip, which every client can read.
func produceAt(t *testing.T, s *server, topic string, partitions int, values []string) {
	t.Helper()
	cl := newFranzGo(t, s, kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerBatchCompression(kgo.GzipCompression()))
	var records []*kgo.Record
	for i, v := range values {
		records = append(records, &kgo.Record{Topic: topic, Partition: int32(i % partitions), Value: []byte(v)})
	}
	if err := cl.ProduceSync(limit(t), records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// checkNoLag waits until a group has committed all that there is.
func checkNoLag(t *testing.T, s *server, group string) {
	t.Helper()
	adm := kadm.NewClient(newFranzGo(t, s))
	ctx := limit(t)
	for {
		lags, err := adm.Lag(ctx, group)
		if err != nil {
			t.Fatal(err)
		}
		lag := lags[group]
		if lag.Error() == nil && len(lag.Lag) > 0 && lag.Lag.Total() == 0 {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%+v", lag)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// values are what the members of a group have read, which may be concurrent.
type values struct {
	mu     sync.Mutex
	values map[string]int // how often
}

func (v *values) add(value string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.values == nil {
		v.values = map[string]int{}
	}
	v.values[value]++
}

// missing returns one of want that was not read.
func (v *values) missing(want []string) (value string, missing bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, w := range want {
		if v.values[w] == 0 {
			return w, true
		}
	}
	return "", false
}

// await waits until all of want were read.
func (v *values) await(t *testing.T, want []string) {
	t.Helper()
	ctx := limit(t)
	for {
		value, missing := v.missing(want)
		if !missing {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%q was not read", value)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

// kcatMember is a kcat that reads as a member of a group.
type kcatMember struct {
	cmd    *exec.Cmd
	stderr strings.Builder
	read   values
	ended  chan struct{} // closed when all that it prints was read
}

func startKcatMember(t *testing.T, s *server, path, group, topic string, all *values) *kcatMember {
	t.Helper()
	m := &kcatMember{ended: make(chan struct{})}
	m.cmd = exec.Command(path, "-b", s.kafka, "-d", "all", "-G", group, "-u", "-f", `%s\n`,
		"-X", "session.timeout.ms=6000", "-X", "heartbeat.interval.ms=200", "-X", "auto.commit.interval.ms=100", "-X", "auto.offset.reset=earliest", topic)
	m.cmd.Stderr = &m.stderr
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(m.ended)
		p, rest := make([]byte, 4096), ""
		for {
			n, err := stdout.Read(p)
			lines := strings.SplitAfter(rest+string(p[:n]), "\n")
			rest = lines[len(lines)-1]
			for _, line := range lines[:len(lines)-1] {
				m.read.add(strings.TrimSuffix(line, "\n"))
				all.add(strings.TrimSuffix(line, "\n"))
			}
			if err != nil {
				return
			}
		}
	}()
	return m
}

// end sends a signal and waits for the end.
func (m *kcatMember) end(signal syscall.Signal) error {
	m.cmd.Process.Signal(signal)
	late := time.AfterFunc(hang, func() { m.cmd.Process.Kill() })
	defer late.Stop()
	<-m.ended
	return m.cmd.Wait()
}

// Three kcats share a topic; two take over from one that is killed, and leave
// nothing uncommitted.
func TestKcatGroup(t *testing.T) {
	path := needs.Tool(t, "kcat")
	compat.Report(t, compat.Suite{Client: "kcat", Version: kcatVersion(t, path), What: "consumer groups"})
	s := startGroupServer(t)
	topic, group := createTopic(t, s, 3), unique(t)
	var all values
	var members []*kcatMember
	for range 3 {
		m := startKcatMember(t, s, path, group, topic, &all)
		members = append(members, m)
		defer func() { m.end(syscall.SIGKILL) }()
	}
	hasNone := func(m *kcatMember) bool {
		m.read.mu.Lock()
		defer m.read.mu.Unlock()
		return len(m.read.values) == 0
	}
	first := time.Now()
	for round := 0; round == 0 || slices.ContainsFunc(members, hasNone); round++ {
		if time.Since(first) > hang {
			t.Fatal("a member has read nothing")
		}
		want := texts(fmt.Sprint("round", round), 30)
		produceAt(t, s, topic, 3, want)
		all.await(t, want)
	}
	members[0].end(syscall.SIGKILL)
	want := texts("after the kill", 30)
	produceAt(t, s, topic, 3, want)
	all.await(t, want)
	for _, m := range members[1:] {
		if err := m.end(syscall.SIGTERM); err != nil {
			t.Errorf("kcat: %v\n%s", err, tail(m.stderr.String(), 4000))
		}
		for line := range strings.Lines(m.stderr.String()) {
			if kcatComplaints.MatchString(line) && !kcatExcepted.MatchString(line) {
				t.Errorf("kcat: %s", line)
			}
		}
	}
	checkNoLag(t, s, group)
}

// saramaMember consumes for sarama.
type saramaMember struct{ read *values }

func (saramaMember) Setup(sarama.ConsumerGroupSession) error   { return nil }
func (saramaMember) Cleanup(sarama.ConsumerGroupSession) error { return nil }

func (m saramaMember) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			m.read.add(string(message.Value))
			session.MarkMessage(message, "")
		case <-session.Context().Done():
			return nil
		}
	}
}

// startSaramaMember adds a member; end has it leave.
func startSaramaMember(t *testing.T, s *server, config *sarama.Config, group, topic string, read *values) (end func()) {
	t.Helper()
	g, err := sarama.NewConsumerGroup([]string{s.kafka}, group, config)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		for err := range g.Errors() {
			t.Error(err)
		}
	}()
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := g.Consume(ctx, []string{topic}, saramaMember{read}); err != nil && ctx.Err() == nil {
				t.Error(err)
				return
			}
		}
	}()
	return func() {
		cancel()
		<-done
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	}
}

// sarama's consumer groups share a topic, one goes on when another has left, and
// who comes last goes on where they have committed; its admin sees and deletes
// them.
func TestSaramaGroup(t *testing.T) {
	s := startGroupServer(t)
	for name, version := range map[string]sarama.KafkaVersion{"oldest": sarama.V2_1_0_0, "default": sarama.NewConfig().Version, "newest": sarama.MaxVersion} {
		t.Run(name, func(t *testing.T) {
			inSarama(t, "consumer groups")
			config := saramaConfig(version)
			config.Consumer.Offsets.Initial = sarama.OffsetOldest
			config.Consumer.Offsets.AutoCommit.Interval = 100 * time.Millisecond
			config.Consumer.Group.Session.Timeout = 6 * time.Second
			config.Consumer.Group.Heartbeat.Interval = 50 * time.Millisecond
			topic, group := createTopic(t, s, 4), unique(t)
			var read, late values
			first := startSaramaMember(t, s, config, group, topic, &read)
			second := startSaramaMember(t, s, config, group, topic, &read)
			want := texts("first", 100)
			produceAt(t, s, topic, 4, want)
			read.await(t, want)
			first()
			want = texts("second", 100)
			produceAt(t, s, topic, 4, want)
			read.await(t, want)
			second()
			checkNoLag(t, s, group)
			third := startSaramaMember(t, s, config, group, topic, &late)
			want = texts("third", 100)
			produceAt(t, s, topic, 4, want)
			late.await(t, want)
			if len(late.values) != len(want) {
				t.Errorf("%d records were read anew, want %d", len(late.values), len(want))
			}
			admin, err := sarama.NewClusterAdmin([]string{s.kafka}, config)
			if err != nil {
				t.Fatal(err)
			}
			defer admin.Close()
			described, err := admin.DescribeConsumerGroups([]string{group})
			if err != nil || len(described) != 1 || described[0].State != "Stable" || len(described[0].Members) != 1 {
				t.Errorf("%+v, %v", described, err)
			}
			if listed, err := admin.ListConsumerGroups(); err != nil || listed[group] != "consumer" {
				t.Errorf("%v, %v", listed, err)
			}
			third()
			wantDeleted := int64(75)
			if version.IsAtLeast(sarama.V2_4_0_0) { // where the client knows of it
				wantDeleted = -1
				if err := admin.DeleteConsumerGroupOffset(group, topic, 0); err != nil {
					t.Errorf("delete an offset: %v", err)
				}
			}
			offsets, err := admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0, 1}})
			if err != nil || offsets.GetBlock(topic, 0).Offset != wantDeleted || offsets.GetBlock(topic, 1).Offset != 75 {
				t.Errorf("%+v, %v", offsets, err)
			}
			if err := admin.DeleteConsumerGroup(group); err != nil {
				t.Errorf("delete the group: %v", err)
			}
		})
	}
}

// kafka-go's Reader reads for a group and commits; the next one goes on there, and
// its Client sees and deletes the group.
func TestKafkaGoGroup(t *testing.T) {
	inKafkaGo(t, "consumer groups")
	s := startGroupServer(t)
	topic, group := createTopic(t, s, 2), unique(t)
	all := texts("group", 60)
	produceAt(t, s, topic, 2, all)
	open := func() *kafka.Reader {
		return kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{s.kafka}, GroupID: group, Topic: topic, StartOffset: kafka.FirstOffset, MaxWait: 100 * time.Millisecond,
			SessionTimeout: 6 * time.Second, HeartbeatInterval: 100 * time.Millisecond,
		})
	}
	var read values
	ctx := limit(t)
	for _, n := range []int{25, 35} {
		r := open()
		for range n {
			m, err := r.FetchMessage(ctx)
			if err != nil {
				t.Fatal(err)
			}
			read.add(string(m.Value))
			if err := r.CommitMessages(ctx, m); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if value, missing := read.missing(all); missing || len(read.values) != len(all) {
		t.Errorf("%d records were read, want each of %d; missing %q", len(read.values), len(all), value)
	}
	checkNoLag(t, s, group)
	cl := &kafka.Client{Addr: kafka.TCP(s.kafka)}
	fetched, err := cl.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{topic: {0, 1}}})
	if err != nil || fetched.Error != nil || fetched.Topics[topic][0].CommittedOffset != 30 {
		t.Errorf("%+v, %v", fetched, err)
	}
	described, err := cl.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{group}})
	if err != nil || len(described.Groups) != 1 || described.Groups[0].GroupState != "Empty" {
		t.Errorf("%+v, %v", described, err)
	}
	deleted, err := cl.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{group}})
	if err != nil || deleted.Errors[group] != nil {
		t.Errorf("%+v, %v", deleted, err)
	}
}

// franz-go's admin client commits, fetches, describes, lists and deletes groups
// and offsets.
func TestFranzGoGroupAdmin(t *testing.T) {
	franzGo(t, "administer consumer groups")
	s := startGroupServer(t)
	topic, group := createTopic(t, s, 2), unique(t)
	produceAt(t, s, topic, 2, texts("x", 20))
	adm := kadm.NewClient(newFranzGo(t, s))
	ctx := limit(t)
	var offsets kadm.Offsets
	offsets.Add(kadm.Offset{Topic: topic, Partition: 0, At: 4, LeaderEpoch: -1, Metadata: "why"})
	offsets.Add(kadm.Offset{Topic: topic, Partition: 1, At: 7, LeaderEpoch: -1})
	if err := adm.CommitAllOffsets(ctx, group, offsets); err != nil {
		t.Fatal(err)
	}
	fetched, err := adm.FetchOffsets(ctx, group)
	if got, ok := fetched.Lookup(topic, 0); err != nil || !ok || got.At != 4 || got.Metadata != "why" {
		t.Errorf("%+v, %v", fetched, err)
	}
	lags, err := adm.Lag(ctx, group)
	if lag := lags[group]; err != nil || lag.Lag.Total() != 9 || lag.State != "Empty" {
		t.Errorf("%+v, %v", lag, err)
	}
	if listed, err := adm.ListGroupsByType(ctx, []string{"classic"}, "empty"); err != nil || listed[group].State != "Empty" {
		t.Errorf("%+v, %v", listed, err)
	}
	member := newFranzGo(t, s, kgo.ConsumerGroup(group), kgo.ConsumeTopics(topic), kgo.InstanceID("one"))
	n := 0
	for n < 9 {
		fetches := member.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(err)
		}
		n += fetches.NumRecords()
	}
	described, err := adm.DescribeGroups(ctx, group)
	if d := described[group]; err != nil || d.State != "Stable" || len(d.Members) != 1 || *d.Members[0].InstanceID != "one" || !d.AssignedPartitions().Lookup(topic, 1) {
		t.Errorf("%+v, %v", described, err)
	}
	if deleted, err := adm.DeleteGroup(ctx, group); !errors.Is(errors.Join(err, deleted.Err), kerr.NonEmptyGroup) {
		t.Errorf("delete a group with a member: %+v, %v", deleted, err)
	}
	if left, err := adm.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs("one")); err != nil || left.Error() != nil {
		t.Errorf("%+v, %v", left, err)
	}
	member.Close()
	var some kadm.TopicsSet
	some.Add(topic, 0)
	if deleted, err := adm.DeleteOffsets(ctx, group, some); err != nil || deleted.Error() != nil {
		t.Errorf("%+v, %v", deleted, err)
	}
	fetched, err = adm.FetchOffsets(ctx, group)
	if _, ok := fetched.Lookup(topic, 0); err != nil || ok {
		t.Errorf("%+v, %v", fetched, err)
	}
	if deleted, err := adm.DeleteGroup(ctx, group); err != nil || deleted.Err != nil {
		t.Errorf("%+v, %v", deleted, err)
	}
}
