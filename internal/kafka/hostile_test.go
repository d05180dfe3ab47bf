package kafka

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

// hostileFrontend has small limits, a topic "t" of two partitions with records,
// and "u" and "empty" without.
func hostileFrontend(t testing.TB) *frontend {
	o := node.Options{MaxFrameBytes: 1 << 20, InFlightBytes: 2 << 20}
	o.Engine.MaxPartitions = 60
	f := openFrontend(t, o)
	awaitGroups(f)
	createTopic(t, f, "u", 1)
	createTopic(t, f, "empty", 1)
	for _, p := range createTopic(t, f, "t", 2).Partitions() {
		r := &engine.AppendRequest{Batches: batchOf(t, "a", "b"), Acks: engine.AcksAll}
		if err := p.Produce(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

// requestsOf returns requests of every key and version: with what a client may
// send, and at random.
func requestsOf(f *frontend, rng *rand.Rand) (frames [][]byte) {
	correlation := int32(0)
	for _, a := range apis {
		for version := a.min; version <= a.max; version++ {
			for round := range 3 {
				m := kmsg.RequestForKey(a.key)
				fill(rng, reflect.ValueOf(m).Elem(), 0)
				if round > 0 {
					sensible(f, rng, reflect.ValueOf(m).Elem())
				}
				correlation++
				frames = append(frames, frameOf(m, version, correlation))
			}
		}
	}
	for _, m := range chosenRequests(f) {
		correlation++
		frames = append(frames, frameOf(m, apiOf(m.Key()).max, correlation))
	}
	return frames
}

// chosenRequests are those that do what requests at random seldom do, in the
// highest versions.
func chosenRequests(f *frontend) []kmsg.Request {
	waits := func() *kmsg.FetchRequest {
		m := fetchOf(f, wantedOf{topic: "empty"})
		m.MaxWaitMillis, m.MinBytes = 3, 1<<20
		return m
	}
	creates := kmsg.NewPtrCreateTopicsRequest()
	creates.Topics = []kmsg.CreateTopicsRequestTopic{newTopic("new", 1, 1), newTopic("t", 1, 1)}
	creates.ValidateOnly = true
	edit := func(kind kmsg.ConfigResourceType, resource, name string) kmsg.IncrementalAlterConfigsRequestResource {
		value := "1000000"
		return kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: resource,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Value: &value}}}
	}
	alters := kmsg.NewPtrIncrementalAlterConfigsRequest()
	alters.Resources = []kmsg.IncrementalAlterConfigsRequestResource{
		edit(kmsg.ConfigResourceTypeTopic, "t", "retention.ms"), edit(kmsg.ConfigResourceTypeBroker, "", "log.retention.ms"),
	}
	describes := kmsg.NewPtrDescribeConfigsRequest()
	describes.IncludeSynonyms = true
	describes.Resources = []kmsg.DescribeConfigsRequestResource{
		{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t"}, {ResourceType: kmsg.ConfigResourceTypeBroker},
	}
	elects := kmsg.NewPtrElectLeadersRequest()
	elects.Topics = []kmsg.ElectLeadersRequestTopic{{Topic: "t", Partitions: []int32{0, 9}}}
	return []kmsg.Request{waits(), inSession(waits(), 2*knownSession, 1), creates, alters, describes, elects, produceTo(f, "t", 0, -1, sensibleBatch())}
}

// sensible names topics that are there, and waits for little.
func sensible(f *frontend, rng *rand.Rand, v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			sensible(f, rng, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			sensible(f, rng, v.Index(i))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Field(i)
			topic := []string{"t", "u", "none"}[rng.IntN(3)]
			switch name := v.Type().Field(i).Name; {
			case strings.Contains(name, "Topic") && field.Kind() == reflect.String:
				field.SetString(topic)
			case name == "Topic" && field.Kind() == reflect.Pointer:
				field.Set(reflect.ValueOf(&topic))
			case name == "TopicNames":
				field.Set(reflect.ValueOf([]string{topic}))
			case name == "TransactionID" || name == "TransactionalID" || name == "ReplicaAssignment":
				field.SetZero()
			case name == "Records":
				field.SetBytes(bytes.Clone(sensibleBatch()))
			case name == "ReplicationFactor":
				field.SetInt(1)
			case name == "Acks":
				field.SetInt(int64(rng.IntN(3) - 1))
			case name == "SessionID":
				field.SetInt(int64(rng.IntN(3)) * knownSession)
			case name == "SessionEpoch" || strings.HasSuffix(name, "LeaderEpoch") || name == "LastFetchedEpoch":
				field.SetInt(int64(rng.IntN(3) - 1))
			case name == "Timestamp" || strings.HasSuffix(name, "Offset"):
				field.SetInt(int64(rng.IntN(9) - 6))
			case name == "ResourceType":
				field.SetInt(2 << rng.IntN(2)) // topics, brokers
			case name == "ResourceName" && field.Kind() == reflect.String:
				field.SetString([]string{"t", "none", "", "1"}[rng.IntN(4)])
			case name == "Configs" && strings.Contains(v.Type().Name(), "Resource"):
				sensible(f, rng, field)
				for j := range field.Len() {
					field.Index(j).FieldByName("Name").SetString([]string{"retention.ms", "cleanup.policy", "num.partitions"}[rng.IntN(3)])
				}
			case name == "TopicID":
				if t, err := f.engine.Topic("t"); err == nil {
					field.Set(reflect.ValueOf([16]byte(t.ID())))
				}
			case name == "Partition" && field.Kind() == reflect.Int32:
				field.SetInt(int64(rng.IntN(3)))
			case strings.HasSuffix(name, "Millis") && field.Kind() == reflect.Int32:
				field.SetInt(int64(rng.IntN(3)))
			case strings.HasSuffix(name, "Count") || strings.HasSuffix(name, "Partitions") && field.Kind() == reflect.Int32:
				field.SetInt(int64(rng.IntN(4)))
			case strings.Contains(name, "Bytes") && field.Kind() == reflect.Int32:
				field.SetInt(int64(rng.IntN(1000)))
			default:
				sensible(f, rng, field)
			}
		}
	}
}

// sensibleBatch is a batch that is taken.
var sensibleBatch = sync.OnceValue(func() record.Batch {
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	if err := b.Append(time.Now().UnixMilli(), nil, []byte("value")); err != nil {
		panic(err)
	}
	batch, err := b.Build(nil)
	if err != nil {
		panic(err)
	}
	return batch
})

// knownSession is the id of a fetch session that names topics, and half of that
// of one that has their ids.
const knownSession = 7

// restore makes what requestsOf refers to and an earlier request has removed or
// used up.
func restore(t testing.TB, f *frontend) {
	for name, partitions := range map[string]int32{"t": 2, "u": 1} {
		if _, err := f.engine.Topic(name); err != nil {
			createTopic(t, f, name, partitions)
		}
	}
	c := f.fetchSessions
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range []int32{knownSession, 2 * knownSession} {
		s := &fetchSession{id: id, epoch: 1, ids: id > knownSession, byKey: map[partitionKey]*fetchedPartition{}}
		topic := fetchTopic{name: []byte("t"), partitions: []wantedPartition{{leaderEpoch: -1, lastFetchedEpoch: -1, maxBytes: 100}}}
		if s.ids {
			known, _ := f.engine.Topic("t")
			topic.name, topic.id = nil, known.ID()
		}
		s.want(f, []fetchTopic{topic})
		if c.byID[id] == nil {
			c.partitions++
		}
		s.size, s.created, s.used = 1, c.now(), c.now()
		c.byID[id] = s
	}
}

// Whatever a peer sends, in whatever pieces, a session answers with whole
// frames and never panics. The second argument chooses the pieces.
func FuzzSession(f *testing.F) {
	fe := hostileFrontend(f)
	rng := rand.New(rand.NewPCG(3, 4))
	for i, p := range requestsOf(fe, rng) {
		f.Add(p, uint64(i))
	}
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newSession(fe, peer)
		s.valid = seed%4 != 0
		restore(t, fe)
		step := netloop.NewStepper(s)
		defer fe.Tasks.Wait() // one may delete what the next case restores
		defer step.Close()
		for rest := p; len(rest) > 0 && step.Err == nil; {
			n := 1 + random.IntN(len(rest))
			step.Receive(rest[:n])
			rest = rest[n:]
			checkFrames(t, step)
		}
		// What waits for the disk comes by itself; what waits for records is
		// cut off.
		expired := time.After(20 * time.Millisecond)
		for waits(step) && step.Wait(expired) {
			checkFrames(t, step)
		}
		if s.inFlight < 0 || s.inFlight > 3<<20+4 || s.produces < 0 {
			t.Fatalf("%d bytes in flight, %d produces", s.inFlight, s.produces)
		}
	})
}

func waits(s *netloop.Stepper) bool {
	answers, _ := s.Pending()
	return answers > 0
}

// checkFrames takes what has left, whole frames, off s.
func checkFrames(t testing.TB, s *netloop.Stepper) {
	t.Helper()
	for len(s.Sent) > 0 {
		if len(s.Sent) < 8 || int(binary.BigEndian.Uint32(s.Sent)) > len(s.Sent)-4 {
			t.Fatalf("%d bytes left that are no whole frame: %.40x", len(s.Sent), s.Sent)
		}
		s.Sent = s.Sent[4+binary.BigEndian.Uint32(s.Sent):]
	}
}

// Every valid request of every version, mutated at random, leaves the session
// answering or ends it, and nothing else. A longer run is FuzzSession's.
func TestMutations(t *testing.T) {
	f := hostileFrontend(t)
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 5))
	seed := rng.Uint64()
	defer func() {
		if v := recover(); v != nil {
			t.Fatalf("seed %d: %v", seed, v)
		}
	}()
	rng = rand.New(rand.NewPCG(seed, 6))
	for _, frame := range requestsOf(f, rng) {
		for range 4 {
			step := netloop.NewStepper(newSession(f, peer))
			step.Receive(mutate(rng, frame))
			checkFrames(t, step)
			step.Close()
		}
	}
}

// mutate returns frame with a few bytes changed, cut or added; mostly its
// length and header stay right.
func mutate(rng *rand.Rand, frame []byte) []byte {
	p := append([]byte(nil), frame...)
	for range 1 + rng.IntN(4) {
		at := 8 + rng.IntN(len(p)-8)
		switch rng.IntN(6) {
		case 0:
			p[at] ^= 1 << rng.IntN(8)
		case 1:
			p[at] = byte(rng.Uint32())
		case 2:
			p[at] = []byte{0, 1, 0x7f, 0x80, 0xff}[rng.IntN(5)]
		case 3:
			p = append(p[:at], append([]byte{0xff, 0xff, 0xff, 0xff, 0x0f}[:1+rng.IntN(5)], p[at:]...)...)
		case 4:
			if len(p) > 20 {
				p = p[:len(p)-rng.IntN(8)]
			}
		case 5:
			p[rng.IntN(len(p))] = byte(rng.Uint32())
		}
	}
	if rng.IntN(8) > 0 {
		binary.BigEndian.PutUint32(p, uint32(len(p)-4))
	}
	return p
}

// A frame of 1 MiB makes us allocate at most 4 MiB beside the bytes of its
// answer, whatever it declares: here as many elements as fit in each of its
// arrays.
func TestMemory(t *testing.T) {
	f := hostileFrontend(t)
	for _, a := range apis {
		for version := a.least(); version <= a.max; version++ {
			if version > a.least() && version < a.max {
				continue // a frame takes long to build
			}
			for _, name := range []string{"", "t", "some-topic-name-of-usual-length"} {
				for i, frame := range largest(t, a, version, name) {
					s := newSession(f, peer)
					s.valid = true
					step := netloop.NewStepper(s)
					allocated := allocatedBy(func() {
						step.Receive(frame)
						for expired := time.After(5 * time.Second); step.Err == nil && waits(step) && s.waits && step.Wait(expired); {
						}
					})
					// Not the session's are the Stepper's own copies of the frame and
					// of the answer, whose buffer grows by a quarter at a time.
					allocated -= int64(3*len(frame) + 7*len(step.Sent))
					if allocated > 4<<20 {
						t.Errorf("%s version %d, array %d of %q: %d bytes for a frame of %d (error %v, %d bytes sent)", a.name, version, i, name, allocated, len(frame), step.Err, len(step.Sent))
					}
					step.Close()
				}
			}
		}
	}
}

// largest returns frames of about 1 MiB, one for each array of the request:
// that one is as long as fits, what is around it has one element.
func largest(t testing.TB, a *api, version int16, name string) (frames [][]byte) {
	for target := 0; ; target++ {
		seen := 0
		build := func(count int) []byte {
			m := kmsg.RequestForKey(a.key)
			seen = 0
			stretch(reflect.ValueOf(m).Elem(), name, target, count, &seen)
			return frameOf(m, version, 1)
		}
		one, two := build(1), build(2)
		if seen <= target {
			return frames
		}
		per := len(two) - len(one)
		if per == 0 {
			continue // not in this version
		}
		flexible := (&header{api: a, version: version}).flexible()
		if !bytes.Equal(repeated(one, two, flexible, 101), build(101)) {
			t.Fatalf("%s version %d, array %d of %q: a frame is not put together as it is built", a.name, version, target, name)
		}
		frames = append(frames, repeated(one, two, flexible, (1<<20-len(one))/per))
	}
}

// repeated returns the frame whose array has count equal elements, of those that
// have one and two of them: behind the length of the frame they differ first in
// how many there are. To build it would take several times as long.
func repeated(one, two []byte, flexible bool, count int) []byte {
	at, per := 4, len(two)-len(one)
	for one[at] == two[at] {
		at++
	}
	frame := make([]byte, 0, len(one)+count*per+4)
	if flexible {
		frame = binary.AppendUvarint(append(frame, one[:at]...), uint64(count)+1)
	} else {
		frame = binary.BigEndian.AppendUint32(append(frame, one[:at-3]...), uint32(count))
	}
	element, rest := one[at+1:at+1+per], one[at+1+per:]
	for range count {
		frame = append(frame, element...)
	}
	frame = append(frame, rest...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	return frame
}

// stretch gives the target'th array of v count elements, and the others one.
func stretch(v reflect.Value, name string, target, count int, seen *int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			stretch(v.Field(i), name, target, count, seen)
		}
	case reflect.String:
		v.SetString(name)
	case reflect.Pointer:
		if v.Type().Elem().Kind() == reflect.String {
			v.Set(reflect.ValueOf(&name))
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return
		}
		n := 1
		if *seen == target {
			n = count
		}
		*seen++
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		stretch(v.Index(0), name, target, count, seen)
		for done := 1; done < n; done *= 2 {
			reflect.Copy(v.Slice(done, n), v.Slice(0, done))
		}
	}
}

// allocatedBy returns the bytes that f and what it waits for allocate.
func allocatedBy(f func()) int64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int64(after.TotalAlloc - before.TotalAlloc)
}

// A body of 6 bytes that declares 2^28 tagged fields is refused before it costs
// anything.
func TestManyTags(t *testing.T) {
	f := openFrontend(t, node.Options{})
	body := binary.AppendUvarint([]byte{1, 1}, 1<<28)[:6]
	frame := frameOf(kmsg.NewPtrApiVersionsRequest(), 3, 1)
	frame = append(frame[:len(frame)-3], body...)
	binary.BigEndian.PutUint32(frame, uint32(len(frame)-4))
	step := netloop.NewStepper(newSession(f, peer))
	defer step.Close()
	if got := allocatedBy(func() { step.Receive(frame) }); got > 64<<10 || step.Err == nil {
		t.Errorf("%d bytes allocated, error %v", got, step.Err)
	}
}
