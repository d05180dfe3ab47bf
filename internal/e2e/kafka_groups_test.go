package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/record"
)

const (
	consumerGroupCommand = "org.apache.kafka.tools.consumer.group.ConsumerGroupCommand"
	rangeAssignor        = "org.apache.kafka.clients.consumer.RangeAssignor"
	cooperativeAssignor  = "org.apache.kafka.clients.consumer.CooperativeStickyAssignor"
)

// startGroupTools is startJavaTools with a server where a new group waits for few
// more members, so that tests do not last.
func startGroupTools(t *testing.T, what string) *javaTools {
	t.Helper()
	return startJavaTools(t, what, shortJoins(t)...)
}

// shortJoins are the arguments of such a server.
func shortJoins(t *testing.T) []string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "server.properties")
	if err := os.WriteFile(file, []byte("group.initial.rebalance.delay.ms=200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{"--config", file}
}

// await waits until it is so.
func await(t *testing.T, what string, so func() bool) {
	t.Helper()
	for deadline := time.Now().Add(javaLimit); !so(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v", what, javaLimit)
		}
	}
}

// describedGroup is what the native protocol tells of a group.
type describedGroup struct {
	State, Protocol string
	Generation      int32
	Members         []struct{ Member, Instance string }
	Offsets         []struct {
		Partition      int
		Committed, End int64
	}
}

func (s *server) describeGroup(group string) (d describedGroup) {
	s.t.Helper()
	if err := json.Unmarshal(s.run(nil, "group", "describe", group, "--json"), &d); err != nil {
		s.t.Fatal(err)
	}
	return d
}

// committed is what a group has committed in each partition of a topic; -1 is
// nothing.
func (s *server) committed(group, topic string, partitions int) []int64 {
	s.t.Helper()
	m := kmsg.NewPtrOffsetFetchRequest()
	m.Group = group
	m.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: topic}}
	for p := range partitions {
		m.Topics[0].Partitions = append(m.Topics[0].Partitions, int32(p))
	}
	answer := dialKafka(s.t, s).ask(m, 7).(*kmsg.OffsetFetchResponse)
	if answer.ErrorCode != 0 || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != partitions {
		s.t.Fatalf("offsets of %s: %+v", group, answer)
	}
	offsets := make([]int64, partitions)
	for _, p := range answer.Topics[0].Partitions {
		offsets[p.Partition] = p.Offset
	}
	return offsets
}

// commit commits offsets of the first partitions of a topic for a group without
// members.
func (s *server) commit(group, topic string, offsets ...int64) {
	s.t.Helper()
	m := kmsg.NewPtrOffsetCommitRequest()
	m.Group, m.Generation = group, -1
	m.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic}}
	for p, offset := range offsets {
		m.Topics[0].Partitions = append(m.Topics[0].Partitions, kmsg.OffsetCommitRequestTopicPartition{Partition: int32(p), Offset: offset, LeaderEpoch: 5})
	}
	for _, p := range dialKafka(s.t, s).ask(m, 8).(*kmsg.OffsetCommitResponse).Topics[0].Partitions {
		if p.ErrorCode != 0 {
			s.t.Fatalf("commit of %s: %+v", group, p)
		}
	}
}

// produceLines puts so many records into each partition of a topic.
func (s *server) produceLines(topic string, partitions, count int) {
	s.t.Helper()
	for p := range partitions {
		s.run(numberedLines(fmt.Sprint(p), count), "produce", topic, "--partition", strconv.Itoa(p))
	}
}

// The console consumer goes on where its group has committed, also when the
// server was killed, and consumes nothing twice. ConsumerPerformance leaves
// nothing for its group to read.
func TestKafkaConsoleGroup(t *testing.T) {
	what := "console consumer with a group, ConsumerPerformance"
	needsKafka(t, what)
	data, flags := filepath.Join(t.TempDir(), "data"), append(shortJoins(t), "--kafka", "127.0.0.1:0")
	j := &javaTools{startServer(t, data, flags...)}
	const partitions, count = 3, 100
	j.server.run(nil, "topic", "create", "console", "--partitions", strconv.Itoa(partitions))
	j.produceLines("console", partitions, count)
	var want []string
	for p := range partitions {
		want = append(want, slices.Collect(strings.Lines(string(j.server.run(nil, "consume", "console", "--partition", strconv.Itoa(p)))))...)
	}
	var got []string
	consume := func(count int, args ...string) {
		t.Helper()
		out := j.run(t, "", consoleConsumer, append([]string{"--topic", "console", "--group", "readers", "--max-messages", strconv.Itoa(count)}, args...)...)
		lines := slices.Collect(strings.Lines(out))
		if len(lines) != count {
			t.Errorf("%d lines were consumed, want %d", len(lines), count)
		}
		got = append(got, lines...)
		sum := int64(0)
		for _, offset := range j.committed("readers", "console", partitions) {
			sum += max(0, offset)
		}
		if sum != int64(len(got)) {
			t.Errorf("%d records are committed, want %d", sum, len(got))
		}
	}
	// Without --from-beginning a group that has committed nothing begins at the end.
	consume(70, "--from-beginning")
	j.kill()
	j.server = startServer(t, data, flags...)
	consume(110, "--from-beginning")
	consume(120)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%d lines were consumed, not each of %d once", len(got), len(want))
	}

	j.server.run(nil, "topic", "create", "performance", "--partitions", strconv.Itoa(partitions))
	j.produceLines("performance", partitions, 10_000)
	// It prints a head, and one row.
	out := j.run(t, "", "org.apache.kafka.tools.ConsumerPerformance", "--topic", "performance", "--group", "measured", "--num-records", "30000", "--timeout", "120000")
	rows := strings.Split(strings.TrimSpace(out), "\n")
	fields := strings.Split(rows[len(rows)-1], ", ")
	if len(rows) != 2 || len(fields) < 6 || fields[4] != "30000" {
		t.Errorf("ConsumerPerformance: %s", out)
	}
	if got := j.committed("measured", "performance", partitions); !slices.Equal(got, []int64{10_000, 10_000, 10_000}) {
		t.Errorf("ConsumerPerformance has committed %v", got)
	}
}

// checkDelivered checks what the consumers of a group tell against what is in the
// partitions of a topic: all was consumed, and is committed, and nothing came
// again that was committed. It returns how many records did.
func checkDelivered(t *testing.T, j *javaTools, group string, partitions int, consumers ...*verifiable) (repeated int64) {
	t.Helper()
	var told [][]verifiableEvent
	for _, c := range consumers {
		told = append(told, c.all())
	}
	offsets := j.describeGroup(group).Offsets
	if len(offsets) != partitions {
		t.Fatalf("the group has %+v, want offsets of %d partitions", offsets, partitions)
	}
	for _, o := range offsets {
		d, err := deliveryOf(told, o.Partition)
		if err != nil {
			t.Error(err)
		}
		if o.End == 0 || d.next != o.End || d.committed != o.End || o.Committed != o.End {
			t.Errorf("partition %d: %+v; %d is committed, the end is %d", o.Partition, d, o.Committed, o.End)
		}
		repeated += d.repeated
	}
	return repeated
}

// share waits until consumers have so many partitions each.
func share(t *testing.T, count int, consumers ...*verifiable) {
	t.Helper()
	await(t, fmt.Sprintf("%d partitions each", count), func() bool {
		return !slices.ContainsFunc(consumers, func(c *verifiable) bool { return len(c.owned()) != count })
	})
}

// Three consumers share a topic that is written to; when one is killed the
// others take over from its last commit: no record is left out, and none comes
// again that was committed.
func TestKafkaGroupSurvivesKill(t *testing.T) {
	j := startJavaTools(t, "VerifiableConsumer x 3, one killed")
	const partitions = 6
	j.server.run(nil, "topic", "create", "orders", "--partitions", strconv.Itoa(partitions))
	var consumers []*verifiable
	for range 3 {
		consumers = append(consumers, j.startConsumer(t, "orders", "billing", "--session-timeout", "10000"))
	}
	producer := j.startVerifiable(t, verifiableProducer, "--topic", "orders", "--throughput", "1000", "--repeating-keys", "50", "--acks", "-1")
	share(t, partitions/3, consumers...)
	await(t, "records for all", func() bool {
		return !slices.ContainsFunc(consumers, func(c *verifiable) bool { return len(c.ends()) == 0 })
	})
	victim, others := consumers[0], consumers[1:]
	victim.killAt(t, "records_consumed")
	share(t, partitions/2, others...)
	orphans := victim.owned()
	await(t, "records behind those of the killed one", func() bool {
		return !slices.ContainsFunc(orphans, func(p int) bool {
			return !slices.ContainsFunc(others, func(c *verifiable) bool { return c.ends()[p] > victim.ends()[p] })
		})
	})
	producer.stop(t)
	acked := map[int]int64{} // records, by partition
	for _, e := range producer.all() {
		if e.Name == "producer_send_success" {
			acked[e.Partition] = max(acked[e.Partition], e.Offset+1)
		}
	}
	await(t, "all that was produced", func() bool {
		for _, o := range j.describeGroup("billing").Offsets {
			if o.Committed < max(o.End, acked[o.Partition]) {
				return false
			}
		}
		return true
	})
	for _, c := range others {
		c.stop(t)
	}
	victim.checkQuiet(t)
	repeated := checkDelivered(t, j, "billing", partitions, consumers...)
	if d := j.describeGroup("billing"); d.State != "Empty" {
		t.Errorf("the group is %s without members", d.State)
	}
	t.Logf("%d records were produced, %d came again", producer.count("producer_send_success"), repeated)
}

// Static members that end and come back within their session, stopped or killed,
// leader or not, have their partitions again in the same generation, and the other
// member hears nothing of it. A second one of the same name fences the first.
func TestKafkaStaticMembers(t *testing.T) {
	j := startGroupTools(t, "static members")
	const partitions = 4
	j.server.run(nil, "topic", "create", "orders", "--partitions", strconv.Itoa(partitions))
	start := func(instance string) *verifiable {
		return j.startConsumer(t, "orders", "static", "--session-timeout", "600000", "--group-instance-id", instance)
	}
	all := []*verifiable{start("a"), start("b")}
	current := map[string]*verifiable{"a": all[0], "b": all[1]}
	share(t, partitions/2, all...)
	before := j.describeGroup("static")
	if before.State != "Stable" || len(before.Members) != 2 {
		t.Fatalf("%+v, want a stable group of two", before)
	}
	heard := func(v *verifiable) int { return v.count("partitions_assigned") + v.count("partitions_revoked") }
	count := 0
	replace := func(instance string, end func(v *verifiable)) {
		t.Helper()
		old := current[instance]
		owned, other := old.owned(), current[map[string]string{"a": "b", "b": "a"}[instance]]
		told := heard(other)
		end(old)
		j.produceLines("orders", partitions, 50)
		current[instance] = start(instance)
		all = append(all, current[instance])
		share(t, len(owned), current[instance])
		j.produceLines("orders", partitions, 50)
		count += 100
		await(t, "what came to the one that is back", func() bool {
			return !slices.ContainsFunc(owned, func(p int) bool { return current[instance].ends()[p] != int64(count) })
		})
		await(t, "what came to the other", func() bool {
			return !slices.ContainsFunc(other.owned(), func(p int) bool { return other.ends()[p] != int64(count) })
		})
		if got := current[instance].owned(); !slices.Equal(got, owned) {
			t.Errorf("%s has partitions %v, and had %v", instance, got, owned)
		}
		if got := heard(other); got != told {
			t.Errorf("the other member was told of %d rebalances when %s came back", got-told, instance)
		}
		if d := j.describeGroup("static"); d.State != "Stable" || d.Generation != before.Generation || len(d.Members) != 2 {
			t.Errorf("%+v when %s came back, want generation %d", d, instance, before.Generation)
		}
	}
	stop := func(v *verifiable) {
		v.stop(t)
		// It tells that its partitions are revoked, and does not leave.
		if d := j.describeGroup("static"); d.State != "Stable" || len(d.Members) != 2 {
			t.Errorf("%+v when a static member has ended", d)
		}
	}
	replace("b", stop)
	replace("a", stop)
	replace("a", (*verifiable).kill)
	replace("b", (*verifiable).kill)
	fenced := current["b"]
	replace("b", func(*verifiable) {})
	select {
	case <-fenced.ended:
		wants(t, fenced.stderr.String(), `FencedInstanceIdException`)
	case <-time.After(javaLimit):
		t.Error("the first of two with one name goes on")
	}
	current["a"].stop(t)
	current["b"].stop(t)
	checkDelivered(t, j, "static", partitions, all...)
}

// A group of the cooperative assignor takes from a member only what another is to
// have; one of the range assignor, which the client lists first, takes all. A
// member that leaves gives back what it had.
func TestKafkaAssignors(t *testing.T) {
	j := startGroupTools(t, "cooperative and eager rebalances")
	const partitions = 4
	f := func(group, assignors, protocol string, revoked int) {
		t.Helper()
		j.server.run(nil, "topic", "create", group, "--partitions", strconv.Itoa(partitions))
		start := func() *verifiable {
			return j.startConsumer(t, group, group, "--session-timeout", "60000", "--assignment-strategy", assignors)
		}
		first := start()
		share(t, partitions, first)
		j.produceLines(group, partitions, 100)
		second := start()
		share(t, partitions/2, first, second)
		if got := revokedOf(first); len(got) != revoked {
			t.Errorf("%s: partitions %v were revoked, want %d", group, got, revoked)
		}
		if both := slices.Sorted(slices.Values(slices.Concat(first.owned(), second.owned()))); !slices.Equal(both, []int{0, 1, 2, 3}) {
			t.Errorf("%s: the members have %v and %v", group, first.owned(), second.owned())
		}
		if d := j.describeGroup(group); d.Protocol != protocol {
			t.Errorf("%s: the assignor is %q, want %q", group, d.Protocol, protocol)
		}
		j.produceLines(group, partitions, 100)
		await(t, "its share", func() bool {
			return !slices.ContainsFunc(second.owned(), func(p int) bool { return second.ends()[p] != 200 })
		})
		second.stop(t)
		share(t, partitions, first)
		j.produceLines(group, partitions, 100)
		await(t, "all", func() bool {
			return slices.Equal(j.committed(group, group, partitions), []int64{300, 300, 300, 300})
		})
		first.stop(t)
		checkDelivered(t, j, group, partitions, first, second)
	}
	f("cooperative", cooperativeAssignor, "cooperative-sticky", partitions/2)
	f("default", rangeAssignor+","+cooperativeAssignor, "range", partitions)
}

// revokedOf returns the partitions that were revoked at a consumer's first
// rebalance.
func revokedOf(v *verifiable) (partitions []int) {
	for _, e := range v.all() {
		if e.Name == "partitions_revoked" && len(e.Partitions) > 0 {
			for _, p := range e.Partitions {
				partitions = append(partitions, p.Partition)
			}
			break
		}
	}
	return partitions
}

// A consumer of the protocol that is not there is told so, and ends.
func TestKafkaConsumerProtocol(t *testing.T) {
	j := startGroupTools(t, "refusal of group.protocol=consumer")
	j.server.run(nil, "topic", "create", "orders")
	said := j.runRefused(t, consoleConsumer, "--topic", "orders", "--group", "new", "--command-property", "group.protocol=consumer")
	wants(t, said, `UnsupportedVersionException: The cluster does not support the new CONSUMER group protocol\. Set group\.protocol=classic`,
		`The node does not support CONSUMER_GROUP_HEARTBEAT`, `Processed a total of 0 messages`)
}

// groupCommand runs kafka-consumer-groups.
type groupCommand struct {
	*javaTools
	t *testing.T
}

func (g groupCommand) run(args ...string) string {
	g.t.Helper()
	return g.javaTools.run(g.t, "", consumerGroupCommand, args...)
}

// rows are the words of each line of the tables that are printed, but for their
// heads. They are sorted.
func (g groupCommand) rows(args ...string) (rows []string) {
	g.t.Helper()
	for line := range strings.Lines(g.run(args...)) {
		fields := strings.Fields(line)
		if len(fields) > 0 && !slices.Contains([]string{"GROUP", "TOPIC", "Consumer", "Request"}, fields[0]) {
			rows = append(rows, strings.Join(fields, " "))
		}
	}
	slices.Sort(rows)
	return rows
}

// want runs a command that prints a table, which has to have rows that match.
func (g groupCommand) want(args string, rows ...string) {
	g.t.Helper()
	got := g.rows(strings.Fields(args)...)
	if len(got) != len(rows) {
		g.t.Errorf("%s: %q, want %q", args, got, rows)
		return
	}
	for i, row := range rows {
		wants(g.t, got[i], "^"+row+"$")
	}
}

// refused runs a command that is refused, with a text.
func (g groupCommand) refused(args, pattern string) {
	g.t.Helper()
	wants(g.t, g.runRefused(g.t, consumerGroupCommand, strings.Fields(args)...), pattern)
}

// startGroupCommand starts a server with a topic "t": two partitions of 100 records
// of now, and one of 10 of five hours ago, 20 of three, and 20 of ten minutes. The
// group "idle" has committed 40, 50 and 5 of them and has no members, and "live" has
// one that has read all.
func startGroupCommand(t *testing.T, what string) (g groupCommand, live *verifiable) {
	t.Helper()
	g = groupCommand{startGroupTools(t, what), t}
	g.server.run(nil, "topic", "create", "t", "--partitions", "3")
	g.produceLines("t", 2, 100)
	c := dialKafka(t, g.server)
	for _, some := range []struct {
		ago   time.Duration
		count int
	}{{5 * time.Hour, 10}, {3 * time.Hour, 20}, {10 * time.Minute, 20}} {
		m := produceTo("t", batchAt(t, time.Now().Add(-some.ago), some.count))
		m.Topics[0].Partitions[0].Partition = 2
		if answer := c.ask(m, 7).(*kmsg.ProduceResponse); answer.Topics[0].Partitions[0].ErrorCode != 0 {
			t.Fatalf("produce: %+v", answer)
		}
	}
	g.commit("idle", "t", 40, 50, 5)
	live = g.startConsumer(t, "t", "live", "--session-timeout", "60000")
	await(t, "commits of all", func() bool { return slices.Equal(g.committed("live", "t", 3), []int64{100, 100, 50}) })
	return g, live
}

// batchAt is a batch of records of one time.
func batchAt(t *testing.T, at time.Time, count int) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	for range count {
		if err := b.Append(at.UnixMilli(), nil, []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return batch
}

// Groups are listed and described, by state and type, with their members and
// offsets. What a live group forbids is refused.
func TestKafkaGroupsDescribed(t *testing.T) {
	g, live := startGroupCommand(t, "kafka-consumer-groups: list and describe; kafka-groups")
	g.commit("other", "t", 1)
	if got := strings.Fields(g.run("--list")); !slices.Equal(slices.Sorted(slices.Values(got)), []string{"idle", "live", "other"}) {
		t.Errorf("list: %q", got)
	}
	g.want("--list --state", "idle Empty", "live Stable", "other Empty")
	g.want("--list --state stable,dead", "live Stable")
	g.want("--list --type", "idle Classic", "live Classic", "other Classic")
	g.want("--list --type classic --state Empty", "idle Classic Empty", "other Classic Empty")
	g.want("--list --type consumer")
	wants(t, g.javaTools.run(t, "", "org.apache.kafka.tools.GroupsCommand", "--list"), `(?m)^live Classic consumer $`, `(?m)^idle Classic`)

	const member = `consumer-live-1-\S{36}`
	g.want("--describe --group live",
		`live t 0 100 100 0 `+member+` /127\.0\.0\.1 consumer-live-1`,
		`live t 1 100 100 0 `+member+` /127\.0\.0\.1 consumer-live-1`,
		`live t 2 50 50 0 `+member+` /127\.0\.0\.1 consumer-live-1`)
	g.want("--describe --group live --members --verbose", `live `+member+` /127\.0\.0\.1 consumer-live-1 3 - t:0,1,2 - -`)
	g.want("--describe --all-groups --state",
		`idle 127\.0\.0\.1:\d+ \(0\) - Empty 0`, `live 127\.0\.0\.1:\d+ \(0\) range Stable 1`, `other 127\.0\.0\.1:\d+ \(0\) - Empty 0`)
	g.want("--describe --group live --state --verbose", `live 127\.0\.0\.1:\d+ \(0\) range Stable - - 1`)
	g.want("--describe --group idle --group other --offsets --verbose",
		`idle t 0 5 40 100 60 - - -`, `idle t 1 5 50 100 50 - - -`, `idle t 2 5 5 50 45 - - -`, `other t 0 5 1 100 99 - - -`)
	g.refused("--describe --group none", `GroupIdNotFoundException`)

	g.refused("--reset-offsets --group live --topic t --to-earliest --execute",
		`Assignments can only be reset if the group 'live' is inactive, but the current state is Stable`)
	g.refused("--delete --group live", `Group 'live' could not be deleted due to: \S*GroupNotEmptyException`)
	g.refused("--delete-offsets --group live --topic t", `t 2 Error: \S*GroupSubscribedToTopicException`)
	if got := g.committed("live", "t", 3); !slices.Equal(got, []int64{100, 100, 50}) {
		t.Errorf("%v is committed after what was refused", got)
	}
	live.stop(t)
}

// Offsets are reset in every way that there is, and only with --execute; offsets
// and groups are deleted.
func TestKafkaGroupsReset(t *testing.T) {
	g, live := startGroupCommand(t, "kafka-consumer-groups: reset-offsets, delete-offsets, delete")
	live.stop(t)
	f := func(want [3]int64, how string, rows ...string) {
		t.Helper()
		for i := range rows {
			rows[i] = "idle " + rows[i]
		}
		g.want("--reset-offsets --group idle "+how, rows...)
		if got := g.committed("idle", "t", 3); !slices.Equal(got, want[:]) {
			t.Errorf("%s: %v is committed, want %v", how, got, want)
		}
	}
	f([3]int64{40, 50, 5}, "--to-earliest --topic t --dry-run", "t 0 0", "t 1 0", "t 2 0")
	f([3]int64{30, 30, 5}, "--to-offset 30 --topic t:0,1 --execute", "t 0 30", "t 1 30")
	f([3]int64{45, 45, 20}, "--shift-by 15 --all-topics --execute", "t 0 45", "t 1 45", "t 2 20")
	f([3]int64{45, 41, 20}, "--shift-by -4 --topic t:1 --execute", "t 1 41")
	fourHoursAgo := time.Now().Add(-4 * time.Hour).UTC().Format("2006-01-02T15:04:05.000")
	f([3]int64{45, 41, 10}, "--to-datetime "+fourHoursAgo+" --topic t:2 --execute", "t 2 10")
	f([3]int64{0, 0, 30}, "--by-duration PT1H --topic t --execute", "t 0 0", "t 1 0", "t 2 30")
	f([3]int64{0, 100, 30}, "--to-latest --topic t:1 --execute", "t 1 100")
	f([3]int64{0, 100, 0}, "--to-earliest --topic t:2 --execute", "t 2 0")

	exported := g.run("--reset-offsets", "--group", "idle", "--to-current", "--all-topics", "--export", "--dry-run")
	if got := slices.Sorted(strings.Lines(strings.TrimSpace(exported) + "\n")); !slices.Equal(got, []string{"t,0,0\n", "t,1,100\n", "t,2,0\n"}) {
		t.Errorf("exported: %q", got)
	}
	file := filepath.Join(t.TempDir(), "offsets.csv")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(exported, ",0\n", ",7\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	f([3]int64{7, 100, 7}, "--from-file "+file+" --execute", "t 0 7", "t 1 100", "t 2 7")

	g.want("--delete-offsets --group idle --topic t:1", "t 1 Successful")
	if got := g.committed("idle", "t", 3); !slices.Equal(got, []int64{7, -1, 7}) {
		t.Errorf("%v is committed without that of partition 1", got)
	}
	wants(t, g.run("--delete", "--group", "idle", "--group", "live"), `Deletion of requested consumer groups \('(idle', 'live|live', 'idle)'\) was successful\.`)
	if got := g.committed("idle", "t", 3); !slices.Equal(got, []int64{-1, -1, -1}) {
		t.Errorf("%v is committed by a group that was deleted", got)
	}
	if got := strings.TrimSpace(g.run("--list")); got != "" {
		t.Errorf("list: %q", got)
	}
}
