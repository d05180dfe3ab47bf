package kafka

import (
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// groupAPIs are those of groups, and how a request of each is made for a group.
var groupAPIs = map[*api]func(group string) kmsg.Request{
	offsetCommitAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrOffsetCommitRequest()
		m.Group, m.Generation = group, -1
		m.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetCommitRequestTopicPartition{{Offset: 1}}}}
		return m
	},
	offsetFetchAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrOffsetFetchRequest()
		m.Group = group
		m.Topics = []kmsg.OffsetFetchRequestTopic{{Topic: "t", Partitions: []int32{0}}}
		m.Groups = []kmsg.OffsetFetchRequestGroup{{Group: group, Topics: []kmsg.OffsetFetchRequestGroupTopic{{Topic: "t", Partitions: []int32{0}}}}}
		return m
	},
	findCoordinatorAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrFindCoordinatorRequest()
		m.CoordinatorKey, m.CoordinatorKeys = group, []string{group}
		return m
	},
	joinGroupAPI: func(group string) kmsg.Request {
		return (&groupClient{group: group}).joinRequest()
	},
	heartbeatAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrHeartbeatRequest()
		m.Group = group
		return m
	},
	leaveGroupAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrLeaveGroupRequest()
		m.Group, m.Members = group, []kmsg.LeaveGroupRequestMember{{}}
		return m
	},
	syncGroupAPI: func(group string) kmsg.Request {
		return (&groupClient{group: group}).syncRequest()
	},
	describeGroupsAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrDescribeGroupsRequest()
		m.Groups = []string{group}
		return m
	},
	listGroupsAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrListGroupsRequest()
		m.StatesFilter, m.TypesFilter = []string{group}, []string{group}
		return m
	},
	deleteGroupsAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrDeleteGroupsRequest()
		m.Groups = []string{group}
		return m
	},
	offsetDeleteAPI: func(group string) kmsg.Request {
		m := kmsg.NewPtrOffsetDeleteRequest()
		m.Group = group
		m.Topics = []kmsg.OffsetDeleteRequestTopic{{Topic: "t", Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}}}
		return m
	},
}

// setField sets all fields of that name, in the request and what it holds; it
// returns false if there is none.
func setField(v reflect.Value, name string, value any) (found bool) {
	switch v.Kind() {
	case reflect.Pointer:
		return !v.IsNil() && setField(v.Elem(), name, value)
	case reflect.Slice:
		for i := range v.Len() {
			found = setField(v.Index(i), name, value) || found
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name != name {
				found = setField(v.Field(i), name, value) || found
				continue
			}
			v.Field(i).Set(reflect.ValueOf(value))
			found = true
		}
	}
	return found
}

// codesOf returns the error codes of an answer, each once, without none.
func codesOf(v reflect.Value) (codes []coord.Code) {
	add := func(more ...coord.Code) {
		for _, c := range more {
			if c != coord.None && !slices.Contains(codes, c) {
				codes = append(codes, c)
			}
		}
	}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return codesOf(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			add(codesOf(v.Index(i))...)
		}
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).Name == "ErrorCode" {
				add(coord.Code(v.Field(i).Int()))
				continue
			}
			add(codesOf(v.Field(i))...)
		}
	}
	return codes
}

// asked returns the error codes of the answer to m, none for an answer without;
// ended tells that the connection was ended instead.
func asked(t *testing.T, f *frontend, m kmsg.Request, version int16) (codes []coord.Code, ended bool) {
	t.Helper()
	answer := answerOf(t, f, frameOf(m, version, 1))
	if answer == nil {
		return nil, true
	}
	response, _ := readAnswer(t, answer, m, 1)
	return codesOf(reflect.ValueOf(response)), false
}

// Whoever is not a member, or was one of another generation, and whoever names no
// group, is answered by Kafka's code in every version.
func TestGroupStrangers(t *testing.T) {
	f := openGroups(t)
	member := newGroupClient(dial(t, f), "g")
	member.instance = "static"
	member.join(9)
	member.sync(5, member.id, "x")
	refused := func(a *api, what string, want coord.Code, edit func(m kmsg.Request) bool) {
		t.Helper()
		for version := a.least(); version <= a.max; version++ {
			m := groupAPIs[a]("g")
			if !edit(m) {
				t.Fatalf("%s: nothing to set for %s", a.name, what)
			}
			codes, ended := asked(t, f, m, version)
			none := want == coord.None && len(codes) == 0
			if ended || !none && !slices.Equal(codes, []coord.Code{want}) {
				t.Errorf("%s version %d, %s: %v (ended: %v), want %v", a.name, version, what, codes, ended, want)
			}
		}
	}
	set := func(pairs ...any) func(m kmsg.Request) bool {
		return func(m kmsg.Request) bool {
			found := true
			for i := 0; i < len(pairs); i += 2 {
				found = setField(reflect.ValueOf(m), pairs[i].(string), pairs[i+1]) && found
			}
			return found
		}
	}
	for _, a := range []*api{joinGroupAPI, syncGroupAPI, heartbeatAPI, leaveGroupAPI} {
		refused(a, "another's member id", coord.UnknownMemberID, set("MemberID", "nobody"))
	}
	for _, a := range []*api{syncGroupAPI, heartbeatAPI, offsetCommitAPI} {
		for _, generation := range []int32{member.generation + 1, member.generation - 1, -1, -1 << 31, 1<<31 - 1} {
			refused(a, fmt.Sprint("generation ", generation), coord.IllegalGeneration, set("MemberID", member.id, "Generation", generation))
		}
		refused(a, "another's member id", coord.UnknownMemberID, set("MemberID", "nobody", "Generation", member.generation))
	}
	refused(offsetCommitAPI, "nobody's commit", coord.UnknownMemberID, set("MemberID", ""))
	for _, a := range []*api{joinGroupAPI, syncGroupAPI, heartbeatAPI, leaveGroupAPI, deleteGroupsAPI, offsetDeleteAPI} {
		name := "Group"
		value := any("")
		if a == deleteGroupsAPI {
			name, value = "Groups", []string{""}
		}
		refused(a, "no group id", coord.InvalidGroupID, set(name, value))
	}
	for _, a := range []*api{findCoordinatorAPI, listGroupsAPI} {
		refused(a, "an empty name", coord.None, func(m kmsg.Request) bool { return true })
	}
	// A group without a name is one that can be committed to, as with Kafka.
	refused(offsetCommitAPI, "an empty group id", coord.None, set("Group", ""))
	refused(deleteGroupsAPI, "a group with members", coord.NonEmptyGroup, set("Groups", []string{"g"}))

	// Instance ids, where there are any.
	for a, since := range map[*api]int16{joinGroupAPI: 5, syncGroupAPI: 3, heartbeatAPI: 3, leaveGroupAPI: 3, offsetCommitAPI: 7} {
		for version := since; version <= a.max; version++ {
			for instance, want := range map[string]coord.Code{"static": coord.FencedInstanceID, "unknown": coord.UnknownMemberID} {
				m := groupAPIs[a]("g")
				set("MemberID", "nobody", "InstanceID", &instance)(m)
				setField(reflect.ValueOf(m), "Generation", member.generation)
				if codes, _ := asked(t, f, m, version); !slices.Equal(codes, []coord.Code{want}) {
					t.Errorf("%s version %d, instance %q: %v, want %v", a.name, version, instance, codes, want)
				}
			}
		}
	}
	if got := member.heartbeat(4); got != codeNone {
		t.Errorf("the member is answered %d after all that", got)
	}
}

// A group id that is null ends the connection, in every version that has one.
func TestNullGroupID(t *testing.T) {
	f := openGroups(t)
	for a, request := range groupAPIs {
		for version := a.least(); version <= a.max; version++ {
			if a == listGroupsAPI && version < 4 || a == offsetFetchAPI && version >= 8 {
				continue // without, or not the first field
			}
			const name = "a-name-to-be-found"
			p := frameOf(request(name), version, 1)
			at := strings.Index(string(p), name)
			if version >= a.flexible && a.flexible > 0 {
				p[at-1] = 0
			} else {
				p[at-2], p[at-1] = 0xff, 0xff
			}
			p = slices.Delete(p, at, at+len(name))
			p[3] -= byte(len(name)) // the frame is short
			if answer := answerOf(t, f, p); answer != nil {
				t.Errorf("%s version %d: answered by %x", a.name, version, answer)
			}
		}
	}
}

// liveHeap is what is in use after a collection.
func liveHeap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Requests about groups that have much of something are answered by Kafka's code,
// in every version that can have them, for a bounded multiple of their size, and
// leave nothing behind.
func TestGroupMuch(t *testing.T) {
	f := openGroups(t)
	large, names := strings.Repeat("x", 10<<20), make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprint("name-", i)
	}
	before := liveHeap()
	check := func(a *api, since int16, what string, want coord.Code, ends bool, edit func(m kmsg.Request)) {
		t.Helper()
		for version := max(since, a.least()); version <= a.max; version++ {
			m := groupAPIs[a]("g")
			edit(m)
			frame := frameOf(m, version, 1)
			var answer []byte
			allocated := allocatedBy(func() { answer = answerOf(t, f, frame) })
			allocated -= int64(3*len(frame) + 7*len(answer)) // the Stepper's, as in TestMemory
			// What decoding and the answer take is bounded by half of it; the rest is
			// garbage on the way.
			if most := int64(max(8<<20, 8*len(frame))); allocated > most {
				t.Errorf("%s version %d, %s: %d bytes for a frame of %d and an answer of %d, want at most %d", a.name, version, what, allocated, len(frame), len(answer), most)
			}
			if (answer == nil) != ends {
				t.Errorf("%s version %d, %s: ended %v, want %v", a.name, version, what, answer == nil, ends)
			}
			if answer == nil {
				continue
			}
			response, _ := readAnswer(t, answer, m, 1)
			if codes := codesOf(reflect.ValueOf(response)); !slices.Equal(codes, []coord.Code{want}) && (want != coord.None || len(codes) > 0) {
				t.Errorf("%s version %d, %s: %.100v, want %v", a.name, version, what, codes, want)
			}
		}
	}
	commit := func(metadata *string) func(m kmsg.Request) {
		return func(m kmsg.Request) { m.(*kmsg.OffsetCommitRequest).Topics[0].Partitions[0].Metadata = metadata }
	}
	long := strings.Repeat("x", 5000)
	check(offsetCommitAPI, 0, "5,000 bytes of metadata", coord.OffsetMetadataTooLarge, false, commit(&long))
	longest := strings.Repeat("x", maxTextLen)
	check(offsetCommitAPI, 0, "32,767 bytes of metadata", coord.OffsetMetadataTooLarge, false, commit(&longest))
	check(offsetCommitAPI, 8, "10 MiB of metadata", coord.None, true, commit(&large))
	check(offsetCommitAPI, 0, "10,000 topics", coord.UnknownTopicOrPartition, false, func(m kmsg.Request) {
		r := m.(*kmsg.OffsetCommitRequest)
		for _, name := range names {
			r.Topics = append(r.Topics, kmsg.OffsetCommitRequestTopic{Topic: name, Partitions: []kmsg.OffsetCommitRequestTopicPartition{{}}})
		}
		r.Topics = r.Topics[1:]
	})
	check(offsetFetchAPI, 0, "10,000 topics", coord.None, false, func(m kmsg.Request) {
		r := m.(*kmsg.OffsetFetchRequest)
		for _, name := range names {
			r.Topics = append(r.Topics, kmsg.OffsetFetchRequestTopic{Topic: name, Partitions: []int32{0}})
			r.Groups[0].Topics = append(r.Groups[0].Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: name, Partitions: []int32{0}})
		}
	})
	check(offsetDeleteAPI, 0, "10,000 topics of no group", coord.GroupIDNotFound, false, func(m kmsg.Request) {
		r := m.(*kmsg.OffsetDeleteRequest)
		for _, name := range names {
			r.Topics = append(r.Topics, kmsg.OffsetDeleteRequestTopic{Topic: name, Partitions: []kmsg.OffsetDeleteRequestTopicPartition{{}}})
		}
	})
	check(findCoordinatorAPI, 4, "1,000 keys", coord.None, false, func(m kmsg.Request) { m.(*kmsg.FindCoordinatorRequest).CoordinatorKeys = names[:1000] })
	check(describeGroupsAPI, 6, "1,000 groups", coord.GroupIDNotFound, false, func(m kmsg.Request) { m.(*kmsg.DescribeGroupsRequest).Groups = names[:1000] })
	check(deleteGroupsAPI, 0, "10,000 groups", coord.GroupIDNotFound, false, func(m kmsg.Request) { m.(*kmsg.DeleteGroupsRequest).Groups = names })
	check(leaveGroupAPI, 3, "10,000 members", coord.UnknownMemberID, false, func(m kmsg.Request) {
		r := m.(*kmsg.LeaveGroupRequest)
		for _, name := range names {
			r.Members = append(r.Members, kmsg.LeaveGroupRequestMember{MemberID: name})
		}
		r.Members = r.Members[1:]
	})
	check(syncGroupAPI, 0, "10,000 assignments of nobody", coord.UnknownMemberID, false, func(m kmsg.Request) {
		r := m.(*kmsg.SyncGroupRequest)
		for _, name := range names {
			r.GroupAssignment = append(r.GroupAssignment, kmsg.SyncGroupRequestGroupAssignment{MemberID: name})
		}
	})
	check(joinGroupAPI, 0, "10 MiB of metadata", coord.GroupMaxSizeReached, false, func(m kmsg.Request) {
		m.(*kmsg.JoinGroupRequest).Protocols[0].Metadata = []byte(large)
	})
	check(joinGroupAPI, 0, "100,000 protocols", coord.None, true, func(m kmsg.Request) {
		r := m.(*kmsg.JoinGroupRequest)
		for i := range 100_000 {
			r.Protocols = append(r.Protocols, kmsg.JoinGroupRequestProtocol{Name: fmt.Sprintf("%x", i)})
		}
	})
	if found, _ := f.groups().List(nil, nil); len(found) > 0 {
		t.Errorf("groups are there: %v", found)
	}
	runtime.KeepAlive(large)
	runtime.KeepAlive(names)
	if grown := liveHeap() - before; grown > 8<<20 {
		t.Errorf("%d bytes are still in use", grown)
	}
}

// A protocol that a member names twice is one.
func TestRepeatedProtocols(t *testing.T) {
	f := openGroups(t)
	g := newGroupClient(dial(t, f), "g")
	for version := int16(0); version <= 9; version++ {
		m := g.joinRequest()
		m.MemberID = ""
		for range 100 {
			m.Protocols = append(m.Protocols, kmsg.JoinGroupRequestProtocol{Name: "range"}, kmsg.JoinGroupRequestProtocol{Name: "other"})
		}
		for range 2 {
			g.send(m, version)
			if a := g.joined(m); code(a.ErrorCode) == code(coord.MemberIDRequired) {
				m.MemberID = a.MemberID
			} else if a.ErrorCode != 0 || *a.Protocol != "range" || string(a.Members[0].ProtocolMetadata) != string(subscribedTo("t")) {
				t.Errorf("version %d: %+v", version, a)
			} else {
				break
			}
		}
		if got := g.leave(5); got != codeNone {
			t.Errorf("version %d: leave: error %d", version, got)
		}
	}
}

// A group has as many members as group.max.size, however many want to be in it.
func TestGroupMaxSize(t *testing.T) {
	const most, want = 300, 2000
	f := openGroups(t, "group.max.size", fmt.Sprint(most), "group.initial.rebalance.delay.ms", "60000")
	before := liveHeap()
	in, refused := 0, 0
	for range want {
		session := newSession(f, peer)
		session.valid = true
		step := netloop.NewStepper(session)
		defer step.Close()
		m := (&groupClient{group: "g"}).joinRequest()
		step.Receive(frameOf(m, 0, 1))
		if len(step.Sent) == 0 {
			in++
			continue
		}
		a, _ := readAnswer(t, step.Sent, m, 1)
		if got := a.(*kmsg.JoinGroupResponse); code(got.ErrorCode) != code(coord.GroupMaxSizeReached) {
			t.Fatalf("%+v", got)
		}
		refused++
	}
	grown := liveHeap() - before
	t.Logf("%d members, %d refused, %d bytes", in, refused, grown)
	if s := f.groups().Stats(); in != most || refused != want-most || s.Members != most {
		t.Errorf("%d members wait, %d were refused, %d are in the group; want %d, %d", in, refused, s.Members, most, want-most)
	}
}

// However many groups are asked for at once, the answer has about as many bytes as
// a frame may have; what is left is to be asked for again, and is there then.
func TestManyLargeGroups(t *testing.T) {
	const limit, groups = 64 << 10, 6
	f := openFrontend(t, node.Options{MaxFrameBytes: limit, Settings: map[string]string{
		"group.initial.rebalance.delay.ms": "0", "offsets.topic.num.partitions": "3",
	}})
	awaitGroups(f)
	createTopic(t, f, "t", 5)
	names := make([]string, groups)
	metadata := strings.Repeat("x", 4096)
	for i := range names {
		names[i] = fmt.Sprint("group-", i)
		g := newGroupClient(dial(t, f), names[i])
		g.heartbeat(4) // a connection that has said nothing valid sends small frames
		m := g.joinRequest()
		m.Protocols[0].Metadata = make([]byte, limit/3-100)
		g.send(m, 3)
		if a := g.joined(m); a.ErrorCode != 0 {
			t.Fatalf("join: %+v", a)
		}
		g.sync(5, g.id, "x")
		for p := range int32(5) {
			if got := g.commit(9, "t", p, 1, &metadata); got != codeNone {
				t.Fatalf("commit: error %d", got)
			}
		}
	}
	describe := kmsg.NewPtrDescribeGroupsRequest()
	describe.Groups = names
	fetch := kmsg.NewPtrOffsetFetchRequest()
	for _, name := range names {
		fetch.Groups = append(fetch.Groups, kmsg.OffsetFetchRequestGroup{Group: name, MemberEpoch: -1})
	}
	c := dial(t, f)
	described := c.ask(describe, 6).(*kmsg.DescribeGroupsResponse).Groups
	fetched := c.ask(fetch, 9).(*kmsg.OffsetFetchResponse).Groups
	for i := range names {
		// The one that goes over the bound is whole.
		want := code(coord.None)
		if i > 3 {
			want = code(coord.CoordinatorNotAvailable)
		}
		if d := described[i]; code(d.ErrorCode) != want || (len(d.Members) == 1) != (want == 0) {
			t.Errorf("%s is described with error %d and %d members, want %d", names[i], d.ErrorCode, len(d.Members), want)
		}
		if o := fetched[i]; code(o.ErrorCode) != want || (len(o.Topics) == 1) != (want == 0) {
			t.Errorf("offsets of %s: error %d, %d topics, want %d", names[i], o.ErrorCode, len(o.Topics), want)
		}
	}
	describe.Groups, fetch.Groups = names[groups-1:], fetch.Groups[groups-1:]
	if d := c.ask(describe, 6).(*kmsg.DescribeGroupsResponse).Groups[0]; d.ErrorCode != 0 || len(d.Members) != 1 {
		t.Errorf("alone it is described with error %d", d.ErrorCode)
	}
	if o := c.ask(fetch, 9).(*kmsg.OffsetFetchResponse).Groups[0]; o.ErrorCode != 0 || len(o.Topics) != 1 {
		t.Errorf("alone its offsets: error %d", o.ErrorCode)
	}
}
