package clients

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"

	"github.com/rollway/rollway/internal/compat"
)

// scriptGroup is how a client in another language takes part in a group: by
// programs that are one member each, which compat/python/member.py describes.
type scriptGroup struct {
	name     string
	programs []memberProgram // of the members a, b and so on, in turn

	assignor    string // as the client names it; empty where it has only its own
	cooperative bool   // members keep what they have while they rebalance

	// commitsAtRevoke: a member commits what it has read of a partition before it
	// gives it up, so that the group may read while it rebalances, with no repeat.
	commitsAtRevoke bool

	// static: the client knows group.instance.id, and leavesStatic: as a static member
	// it leaves the group where it ends, against KIP-345.
	static, leavesStatic bool
}

// memberProgram is the command that is a member of a group of a server, without the
// options.
type memberProgram func(s *server) *exec.Cmd

// pythonMember runs the member program of a client for Python.
func pythonMember(client string) memberProgram {
	return func(s *server) *exec.Cmd {
		return exec.Command(filepath.Join(scripts, "python", "bin", "python"), filepath.Join("../python", client+"_member.py"), s.kafka)
	}
}

// nodeMember runs the member program of a client for JavaScript.
func nodeMember(script string) memberProgram {
	return func(s *server) *exec.Cmd {
		return exec.Command("node", filepath.Join("../js", script), s.kafka, filepath.Join(scripts, "js"))
	}
}

var (
	confluentKafka = pythonMember("confluent_kafka")
	kafkaPython    = pythonMember("kafka_python")
	aiokafka       = pythonMember("aiokafka")
)

var scriptGroups = []scriptGroup{
	{name: "confluent_kafka/eager", programs: []memberProgram{confluentKafka}, assignor: "range", commitsAtRevoke: true, static: true},
	{name: "confluent_kafka/cooperative", programs: []memberProgram{confluentKafka}, assignor: "cooperative-sticky", cooperative: true, commitsAtRevoke: true, static: true},
	{name: "kafka_python/eager", programs: []memberProgram{kafkaPython}, assignor: "range", commitsAtRevoke: true, static: true},
	{name: "kafka_python/cooperative", programs: []memberProgram{kafkaPython}, assignor: "cooperative-sticky", cooperative: true, commitsAtRevoke: true, static: true},
	{name: "aiokafka/range", programs: []memberProgram{aiokafka}, assignor: "range", commitsAtRevoke: true, static: true},
	{name: "aiokafka/roundrobin", programs: []memberProgram{aiokafka}, assignor: "roundrobin", commitsAtRevoke: true, static: true},
	{name: "python together", programs: []memberProgram{kafkaPython, confluentKafka, aiokafka}, assignor: "range", commitsAtRevoke: true, static: true},
	{name: "kafkajs", programs: []memberProgram{nodeMember("kafkajs_member.js")}},
	{name: "platformatic", programs: []memberProgram{nodeMember("platformatic_member.mjs")}, static: true, leavesStatic: true},
}

// expectedComplaints is what clients log as a warning or worse though nothing is
// wrong: that the group rebalances, and that kafka-python, when it is closed, cancels
// its own requests and now and then reads from the socket that it has just let go of
// (_sock_recv in kafka/net/transport.py).
var expectedComplaints = regexp.MustCompile(`because it is rebalancing|[Tt]he group is rebalancing|\bCancelled\b|'NoneType' object has no attribute 'recv'`)

// memberEvent is a line that a member has printed.
type memberEvent struct {
	Event           string
	Client, Version string
	Partitions      []int32
	Partition       int32
	Offset          int64
	Value           string
	Text            string
}

// groupRun is a group of members that read one topic, and what is expected of
// them.
type groupRun struct {
	s            *server
	kind         scriptGroup
	group, topic string
	partitions   int32
	written      map[int32][]string // the values of each partition

	mu      sync.Mutex
	reads   map[int32][]memberEvent  // what was read and not yet taken, by partition
	members map[string]*scriptMember // those that live, by name

	reported map[compat.Suite]bool // the clients of which the test is reported
}

// scriptMember is one member, a process.
type scriptMember struct {
	name   string
	run    *groupRun
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stderr bytes.Buffer
	ended  chan struct{} // closed when all that it prints was read

	// Guarded by run.mu.
	suite      compat.Suite // its client, when it has begun
	has        []int32      // the partitions that it has said it has
	rebalances int          // how often it has said so
	revoked    [][]int32    // what it was taken, each time
	commits    int          // how often it has committed
}

func startGroupRun(t *testing.T, kind scriptGroup, partitions int32) *groupRun {
	t.Helper()
	if scripts == "" {
		t.Skip("needs clients that are installed by make compat")
	}
	s := startGroupServer(t)
	return &groupRun{
		s: s, kind: kind, group: unique(t), topic: createTopic(t, s, partitions), partitions: partitions,
		written: map[int32][]string{}, reads: map[int32][]memberEvent{}, reported: map[compat.Suite]bool{}, members: map[string]*scriptMember{},
	}
}

// start starts a member; instance is empty for a dynamic one.
func (r *groupRun) start(t *testing.T, name, instance string, session time.Duration) *scriptMember {
	t.Helper()
	options, err := json.Marshal(map[string]any{
		"group": r.group, "topic": r.topic, "assignor": r.kind.assignor, "instance": instance, "sessionMs": session.Milliseconds(),
	})
	if err != nil {
		t.Fatal(err)
	}
	m := &scriptMember{name: name, run: r, cmd: r.kind.programs[int(name[0]-'a')%len(r.kind.programs)](r.s), ended: make(chan struct{})}
	m.cmd.Args = append(m.cmd.Args, string(options))
	m.cmd.Env = scriptEnv()
	m.cmd.Stderr = &m.stderr
	if m.stdin, err = m.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	stdout, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	r.members[name] = m
	r.mu.Unlock()
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.end(syscall.SIGKILL) })
	go func() {
		defer close(m.ended)
		lines := bufio.NewScanner(stdout)
		for lines.Scan() {
			m.hear(t, lines.Bytes())
		}
	}()
	return m
}

// hear notes what the member has said.
func (m *scriptMember) hear(t *testing.T, line []byte) {
	var e memberEvent
	if err := json.Unmarshal(line, &e); err != nil {
		t.Errorf("%s: %q: %v", m.name, line, err)
		return
	}
	m.run.mu.Lock()
	defer m.run.mu.Unlock()
	switch e.Event {
	case "client":
		m.suite = compat.Suite{Client: e.Client, Version: e.Version}
	case "assigned":
		m.has = e.Partitions
		m.rebalances++
	case "revoked":
		m.has = slices.DeleteFunc(m.has, func(p int32) bool { return slices.Contains(e.Partitions, p) })
		m.revoked = append(m.revoked, e.Partitions)
	case "read":
		if !slices.Contains(m.has, e.Partition) {
			t.Errorf("%s has read partition %d, it has %v", m.name, e.Partition, m.has)
		}
		m.run.reads[e.Partition] = append(m.run.reads[e.Partition], e)
	case "committed":
		m.commits++
	case "complaint":
		if !expectedComplaints.MatchString(e.Text) {
			t.Errorf("%s has logged: %s", m.name, e.Text)
		}
	default:
		t.Errorf("%s: %s", m.name, line)
	}
}

// end sends a signal, or has the member leave the group if that is 0, and waits for
// its end.
func (m *scriptMember) end(signal syscall.Signal) error {
	if signal == 0 {
		m.stdin.Close()
	} else {
		m.cmd.Process.Signal(signal)
	}
	late := time.AfterFunc(hang, func() { m.cmd.Process.Kill() })
	defer late.Stop()
	<-m.ended
	m.run.mu.Lock()
	delete(m.run.members, m.name)
	m.run.mu.Unlock()
	return m.cmd.Wait()
}

// leave has the member leave the group, which must end well.
func (m *scriptMember) leave(t *testing.T) {
	t.Helper()
	if err := m.end(0); err != nil || librdkafkaWarning.Match(m.stderr.Bytes()) {
		t.Errorf("%s: %v\n%s", m.name, err, m.stderr.Bytes())
	}
}

// commit has the member commit all that it has read, and waits until it has.
func (m *scriptMember) commit(t *testing.T) {
	t.Helper()
	m.run.mu.Lock()
	before := m.commits
	m.run.mu.Unlock()
	if _, err := io.WriteString(m.stdin, "commit\n"); err != nil {
		t.Fatalf("%s: %v\n%s", m.name, err, m.stderr.Bytes())
	}
	m.run.await(t, func() string {
		if m.commits == before {
			return m.name + " has not committed"
		}
		return ""
	})
}

// await waits until missing, which is called with mu held, returns nothing.
func (r *groupRun) await(t *testing.T, missing func() string) {
	t.Helper()
	awaitFor(t, func() string {
		r.mu.Lock()
		defer r.mu.Unlock()
		return missing()
	})
}

// awaitShared waits until each partition has one owner among the members that
// live, and each of them is one. It returns the owners.
func (r *groupRun) awaitShared(t *testing.T) map[int32]string {
	t.Helper()
	var owners map[int32]string
	r.await(t, func() string {
		owners = map[int32]string{}
		for name, m := range r.members {
			if len(m.has) == 0 {
				return fmt.Sprintf("%s has no partitions\n%s", name, m.stderr.Bytes())
			}
			for _, p := range m.has {
				if owners[p] != "" {
					return fmt.Sprintf("%s and %s have partition %d", owners[p], name, p)
				}
				owners[p] = name
			}
		}
		if len(owners) != int(r.partitions) {
			return fmt.Sprintf("partitions have owners: %v", owners)
		}
		return ""
	})
	return owners
}

// write writes values to all partitions in turn.
func (r *groupRun) write(t *testing.T, label string, perPartition int) {
	t.Helper()
	values := texts(label, perPartition*int(r.partitions))
	produceAt(t, r.s, r.topic, int(r.partitions), values)
	for i, v := range values {
		p := int32(i) % r.partitions
		r.written[p] = append(r.written[p], v)
	}
}

// ends returns the end of each partition.
func (r *groupRun) ends() map[int32]int64 {
	ends := map[int32]int64{}
	for p, values := range r.written {
		ends[p] = int64(len(values))
	}
	return ends
}

// take waits until each partition was read from an offset of from, or 0, to its
// end, and checks that each record between was read once, in turn. What comes
// later counts for the next take.
func (r *groupRun) take(t *testing.T, from map[int32]int64) {
	t.Helper()
	r.await(t, func() string {
		for p, values := range r.written {
			if got, want := len(r.reads[p]), len(values)-int(from[p]); got < want {
				return fmt.Sprintf("%d records of partition %d were read, want %d", got, p, want)
			}
		}
		return ""
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, values := range r.written {
		next := from[p]
		for _, e := range r.reads[p] {
			if e.Offset != next || next >= int64(len(values)) || e.Value != values[next] {
				t.Fatalf("partition %d: offset %d was read, want %d (from %d to %d)", p, e.Offset, next, from[p], len(values))
			}
			next++
		}
	}
	clear(r.reads)
}

// kill ends a member with SIGKILL.
func (m *scriptMember) kill(t *testing.T) {
	t.Helper()
	m.end(syscall.SIGKILL)
	if status := m.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGKILL {
		t.Errorf("%s: %v\n%s", m.name, m.cmd.ProcessState, m.stderr.Bytes())
	}
}

// report keeps what comes of the test for each client that a member is.
func (r *groupRun) report(t *testing.T, what string) {
	t.Helper()
	r.await(t, func() string {
		for name, m := range r.members {
			if m.suite.Client == "" {
				return name + " has not begun"
			}
		}
		return ""
	})
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range r.members {
		if s := m.suite; !r.reported[s] {
			r.reported[s] = true
			compat.Report(t, compat.Suite{Client: s.Client, Version: s.Version, What: what})
		}
	}
}

// checkEmpty fails unless the group has no members.
func (r *groupRun) checkEmpty(t *testing.T) {
	t.Helper()
	described, err := kadm.NewClient(newFranzGo(t, r.s)).DescribeGroups(limit(t), r.group)
	if d := described[r.group]; err != nil || d.State != "Empty" {
		t.Errorf("%+v, %v; want an empty group", described, err)
	}
}

// Members share the partitions of a topic, and read each record once: two, and a
// third one that comes while they read. When one is killed, the others go on in its
// partitions from what it has committed; when all have left, so does who comes next.
func TestScriptGroups(t *testing.T) {
	for _, kind := range scriptGroups {
		t.Run(kind.name, func(t *testing.T) {
			const session = 6 * time.Second
			r := startGroupRun(t, kind, 6)
			a, b := r.start(t, "a", "", session), r.start(t, "b", "", session)
			r.report(t, "consumer groups")
			r.awaitShared(t)
			r.write(t, "two members", 10)
			r.take(t, nil)

			from := r.ends()
			if !kind.commitsAtRevoke {
				a.commit(t)
				b.commit(t)
			}
			c := r.start(t, "c", "", session)
			r.report(t, "consumer groups")
			for i := 0; kind.commitsAtRevoke && !r.has(c); i++ {
				r.write(t, fmt.Sprint("while they rebalance ", i), 1)
			}
			r.awaitShared(t)
			r.write(t, "three members", 10)
			r.take(t, from)
			if kind.cooperative {
				r.checkKept(t, a, b)
			}

			from = r.ends()
			for _, m := range []*scriptMember{a, b, c} {
				m.commit(t)
			}
			owners := r.awaitShared(t)
			checkNoLag(t, r.s, r.group)
			r.write(t, "before the kill", 10)
			r.take(t, from)
			b.commit(t)
			c.commit(t)
			a.kill(t)
			r.awaitShared(t)
			r.write(t, "after the kill", 10)
			for p, owner := range owners {
				if owner != "a" { // what a has read was never committed
					from[p] += 10
				}
			}
			r.take(t, from)

			from = r.ends()
			for _, m := range []*scriptMember{b, c} {
				m.commit(t)
			}
			b.leave(t)
			r.awaitShared(t)
			c.leave(t)
			r.checkEmpty(t)
			r.write(t, "while there are no members", 10)
			d := r.start(t, "d", "", session)
			r.take(t, from)
			d.commit(t)
			checkNoLag(t, r.s, r.group)
			d.leave(t)
			r.checkEmpty(t)
			r.take(t, r.ends()) // nothing came late
		})
	}
}

// has tells whether a member has partitions.
func (r *groupRun) has(m *scriptMember) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(m.has) > 0
}

// checkKept fails unless members were taken only what they do not have now, and
// something.
func (r *groupRun) checkKept(t *testing.T, members ...*scriptMember) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, m := range members {
		revoked := slices.Concat(m.revoked...)
		if len(revoked) == 0 || slices.ContainsFunc(revoked, func(p int32) bool { return slices.Contains(m.has, p) }) {
			t.Errorf("%s was taken %v and has %v: it did not keep what it could", m.name, m.revoked, m.has)
		}
	}
}

// A static member that is killed, or ends, and comes back in time has the
// partitions that it had, reads on where it has committed, and the others notice
// nothing.
func TestScriptStaticMembers(t *testing.T) {
	for _, kind := range scriptGroups {
		if !kind.static {
			continue
		}
		t.Run(kind.name, func(t *testing.T) {
			const session = 30 * time.Second // longer than a program takes to start
			r := startGroupRun(t, kind, 4)
			for _, name := range []string{"a", "b"} {
				r.start(t, name, "instance-"+name, session)
			}
			r.report(t, "static members of consumer groups")
			owners := r.awaitShared(t)
			from := map[int32]int64{}
			again := func(name string, signal syscall.Signal) {
				t.Helper()
				r.write(t, fmt.Sprintf("before %s ends by %v", name, signal), 5)
				r.take(t, from)
				from = r.ends()
				others := map[*scriptMember]int{}
				r.mu.Lock()
				m := r.members[name]
				for _, other := range r.members {
					if other != m {
						others[other] = other.rebalances + len(other.revoked)
					}
				}
				r.mu.Unlock()
				m.commit(t)
				if signal == 0 {
					m.leave(t)
				} else {
					m.kill(t)
				}
				r.start(t, name, "instance-"+name, session)
				if now := r.awaitShared(t); !maps.Equal(now, owners) {
					t.Errorf("partitions have owners %v, want %v", now, owners)
				}
				r.write(t, fmt.Sprintf("after %s came back", name), 5)
				r.take(t, from)
				from = r.ends()
				r.mu.Lock()
				defer r.mu.Unlock()
				for other, before := range others {
					if now := other.rebalances + len(other.revoked); now != before {
						t.Errorf("%s was rebalanced %d times", other.name, now-before)
					}
				}
			}
			for _, name := range []string{"a", "b"} { // one of them leads the group
				again(name, syscall.SIGKILL)
				if !kind.leavesStatic {
					again(name, 0)
				}
			}
			for _, name := range []string{"a", "b"} {
				m := r.members[name]
				m.commit(t)
				m.leave(t)
				if kind.leavesStatic && name == "a" {
					r.awaitShared(t)
				}
			}
			checkNoLag(t, r.s, r.group)
		})
	}
}
