package e2e

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What a member is answered, by Kafka's error codes.
const (
	noError                 = 0
	loadInProgress          = 14
	coordinatorNotAvailable = 15
	notCoordinator          = 16
	illegalGeneration       = 22
	unknownMember           = 25
	rebalanceInProgress     = 27
	memberIDRequired        = 79
)

const (
	// groupTopic is what members read.
	groupTopic = "t"
	// membersProtocol is how they share it.
	membersProtocol = "shares"
	// rebalanceTimeout is for how long a rebalance waits for one of them.
	rebalanceTimeout = time.Minute
	// memberRetry is how long one waits where it may ask again.
	memberRetry = 5 * time.Millisecond
)

// groupMember is a member of a group in raw frames, which costs little enough to
// have thousands of. Its partitions of groupTopic are those whose number, modulo
// the members, is its place among their ids.
type groupMember struct {
	*kafkaConn
	group      string
	session    time.Duration
	partitions int // of the topic; 0: nothing is assigned

	id         string
	generation int32
	assigned   []int32
	answered   time.Time // when the last join was
}

// newMembers connects so many members of each of so many groups, which are called
// "group-0" and so on.
func newMembers(t testing.TB, s *server, groups, each, partitions int, session time.Duration) []*groupMember {
	t.Helper()
	var members []*groupMember
	for i := range groups {
		for range each {
			members = append(members, &groupMember{
				kafkaConn: dialKafka(t, s), group: fmt.Sprint("group-", i), session: session, partitions: partitions,
			})
		}
	}
	return members
}

// inParallel runs one call for each member, at once, and returns their errors.
func inParallel(members []*groupMember, each func(m *groupMember) error) error {
	errs := make([]error, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() {
			if err := each(m); err != nil {
				errs[i] = fmt.Errorf("member %q of %s: %w", m.id, m.group, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// enter joins the group, with the id that the member has, and syncs; again for as
// long as a client would.
func (m *groupMember) enter() error {
	for {
		members, code, err := m.join()
		switch {
		case err != nil:
			return err
		case code == unknownMember:
			m.id = ""
			continue
		case code == memberIDRequired:
			continue
		case code != noError && mayRetry(code):
			time.Sleep(memberRetry)
			continue
		case code != noError:
			return fmt.Errorf("join: error %d", code)
		}
		switch code, err := m.sync(members); {
		case err != nil:
			return err
		case code == noError:
			return nil
		case code == unknownMember:
			m.id = ""
		case code != illegalGeneration && !mayRetry(code):
			return fmt.Errorf("sync: error %d", code)
		}
	}
}

// settle enters a group whose members are the others, and returns when all are in
// the same generation. It is called for each of them at once.
func (m *groupMember) settle(g *settling) error {
	if err := m.enter(); err != nil {
		return err
	}
	for !g.settled(m) {
		code, err := m.heartbeat()
		switch {
		case err != nil:
			return err
		case code == noError:
			time.Sleep(memberRetry)
		case code != unknownMember && code != illegalGeneration && !mayRetry(code):
			return fmt.Errorf("heartbeat: error %d", code)
		default:
			if err := m.enter(); err != nil {
				return err
			}
		}
	}
	return nil
}

// settling is a group whose members are entering it.
type settling struct {
	mu      sync.Mutex
	members int
	in      map[*groupMember]int32 // generation of who has entered
}

// settled tells whether all members are in the generation that m is in.
func (g *settling) settled(m *groupMember) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.in == nil {
		g.in = map[*groupMember]int32{}
	}
	g.in[m] = m.generation
	for _, generation := range g.in {
		if generation != m.generation {
			return false
		}
	}
	return len(g.in) == g.members
}

// settleAll has all members enter their groups.
func settleAll(members []*groupMember) error {
	groups := map[string]*settling{}
	for _, m := range members {
		if groups[m.group] == nil {
			groups[m.group] = new(settling)
		}
		groups[m.group].members++
	}
	return inParallel(members, func(m *groupMember) error { return m.settle(groups[m.group]) })
}

// mayRetry tells whether a client asks again after an error.
func mayRetry(code int16) bool {
	return slices.Contains([]int16{loadInProgress, coordinatorNotAvailable, notCoordinator, rebalanceInProgress}, code)
}

// join returns all members, if this one is to assign.
func (m *groupMember) join() (members []kmsg.JoinGroupResponseMember, code int16, err error) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Group, r.MemberID, r.ProtocolType = m.group, m.id, "consumer"
	r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = int32(m.session.Milliseconds()), int32(rebalanceTimeout.Milliseconds())
	metadata := kmsg.NewConsumerMemberMetadata()
	metadata.Topics = []string{groupTopic}
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: membersProtocol, Metadata: metadata.AppendTo(nil)}}
	answer, err := m.tryAsk(r, 9)
	if err != nil {
		return nil, 0, err
	}
	a := answer.(*kmsg.JoinGroupResponse)
	m.answered = time.Now()
	m.id, m.generation = a.MemberID, a.Generation
	return a.Members, a.ErrorCode, nil
}

func (m *groupMember) sync(members []kmsg.JoinGroupResponseMember) (code int16, err error) {
	r := kmsg.NewPtrSyncGroupRequest()
	r.Group, r.MemberID, r.Generation = m.group, m.id, m.generation
	r.ProtocolType, r.Protocol = kmsg.StringPtr("consumer"), kmsg.StringPtr(membersProtocol)
	slices.SortFunc(members, func(a, b kmsg.JoinGroupResponseMember) int { return strings.Compare(a.MemberID, b.MemberID) })
	for i := range members {
		var share []int32
		for p := i; p < m.partitions; p += len(members) {
			share = append(share, int32(p))
		}
		assignment := kmsg.NewConsumerMemberAssignment()
		assignment.Topics = []kmsg.ConsumerMemberAssignmentTopic{{Topic: groupTopic, Partitions: share}}
		r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{
			MemberID: members[i].MemberID, MemberAssignment: assignment.AppendTo(nil),
		})
	}
	answer, err := m.tryAsk(r, 5)
	if err != nil {
		return 0, err
	}
	a := answer.(*kmsg.SyncGroupResponse)
	if a.ErrorCode != noError {
		return a.ErrorCode, nil
	}
	var assignment kmsg.ConsumerMemberAssignment
	if err := assignment.ReadFrom(a.MemberAssignment); err != nil {
		return 0, err
	}
	m.assigned = assignment.Topics[0].Partitions
	return noError, nil
}

func (m *groupMember) heartbeat() (code int16, err error) {
	r := kmsg.NewPtrHeartbeatRequest()
	r.Group, r.MemberID, r.Generation = m.group, m.id, m.generation
	answer, err := m.tryAsk(r, 4)
	if err != nil {
		return 0, err
	}
	return answer.(*kmsg.HeartbeatResponse).ErrorCode, nil
}

// beat sends a heartbeat and wants no error.
func (m *groupMember) beat() error {
	code, err := m.heartbeat()
	if err == nil && code != noError {
		err = fmt.Errorf("heartbeat: error %d", code)
	}
	return err
}

// commit commits offsets of partitions of the topic, and returns the first error
// code.
func (m *groupMember) commit(offsets map[int32]int64) (code int16, err error) {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation = m.group, m.id, m.generation
	topic := kmsg.NewOffsetCommitRequestTopic()
	topic.Topic = groupTopic
	for p, offset := range offsets {
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset = p, offset
		topic.Partitions = append(topic.Partitions, partition)
	}
	r.Topics = append(r.Topics, topic)
	answer, err := m.tryAsk(r, 9)
	if err != nil {
		return 0, err
	}
	for _, p := range answer.(*kmsg.OffsetCommitResponse).Topics[0].Partitions {
		if p.ErrorCode != noError {
			return p.ErrorCode, nil
		}
	}
	return noError, nil
}

// committedOffsets asks for all that a group has committed in the topic.
func (c *kafkaConn) committedOffsets(group string) map[int32]int64 {
	c.t.Helper()
	r := kmsg.NewPtrOffsetFetchRequest()
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	r.Groups = append(r.Groups, g)
	a := c.ask(r, 9).(*kmsg.OffsetFetchResponse).Groups[0]
	if a.ErrorCode != noError {
		c.t.Fatalf("offsets of %s: error %d", group, a.ErrorCode)
	}
	offsets := map[int32]int64{}
	for _, t := range a.Topics {
		if t.Topic != groupTopic {
			c.t.Fatalf("%s has offsets of %q", group, t.Topic)
		}
		for _, p := range t.Partitions {
			offsets[p.Partition] = p.Offset
		}
	}
	return offsets
}

// reconnect connects a member whose server was started anew. It keeps its id.
func (m *groupMember) reconnect(s *server) error {
	m.Close()
	conn, err := net.Dial("tcp", s.kafka)
	if err != nil {
		return err
	}
	m.t.Cleanup(func() { conn.Close() })
	m.kafkaConn = &kafkaConn{Conn: conn, t: m.t}
	return nil
}
