package server

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// seeds are frames of every kind, good ones mostly.
func seeds(t testing.TB) [][]byte {
	topic := []byte("t")
	one := batchOf(t, "a", "b")
	var all [][]byte
	for i, m := range []message{
		hello(),
		&wire.ListTopics{},
		&wire.DescribeTopic{Topic: "t"},
		&wire.AlterTopic{Topic: "t", Set: []wire.Config{{Key: "segment.ms", Value: "100000"}}},
		&wire.CreateTopic{Topic: "t", Partitions: 1},
		&wire.DeleteTopic{Topic: "none"},
		produceTo("t", 0, wire.AcksAll, one),
		produceTo("t", 0, wire.AcksNone, one),
		produceTo("cached", 0, wire.AcksLeader, one, one),
		&wire.Fetch{Topic: topic, MaxBytes: 1000},
		&wire.Fetch{Topic: topic, MinBytes: 1000, MaxBytes: 1000, MaxWaitMs: 1},
		&wire.Subscribe{Topic: topic, MaxBytes: 50, Credit: 500},
		&wire.Credit{Bytes: 10},
		&wire.Unsubscribe{},
		&wire.ListOffsets{Topic: topic, Query: wire.QueryTimestamp, TimestampMs: 1001},
		&wire.ListOffsets{Topic: topic, Query: wire.QueryLatest},
		&wire.SkipDamage{Topic: topic, Offset: wire.AllDamage},
		&wire.SkipDamage{Topic: topic, Offset: 1, DryRun: true},
		&wire.CommitOffset{Group: "g", Topic: "t", Partitions: []wire.PartitionOffset{{Partition: 1, Offset: 1, Metadata: "m"}}},
		&wire.FetchOffset{Group: "g"},
		&wire.ListGroups{},
		&wire.DescribeGroup{Group: "g"},
		&wire.DeleteGroup{Group: "g"},
	} {
		all = append(all, m.AppendTo(nil, uint32(i+1)))
	}
	return all
}

// Whatever a peer sends, in whatever pieces, a session answers with whole
// frames, never panics and never makes the server hold more than its bounds.
// The second argument chooses the pieces, and whether the heads of frames are
// made right, so that mutations reach what lies behind their check.
func FuzzSession(f *testing.F) {
	fe := openFrontend(f, Options{MaxSubscriptions: 4, MaxCredit: 1 << 20}, func(o *node.Options) {
		o.MaxFrameBytes, o.InFlightBytes, o.Engine.MaxPartitions = 64<<10, 128<<10, 50
	})
	createTopic(f, fe, "t", nil)
	createTopic(f, fe, "cached", pageCache)
	var all []byte
	for i, p := range seeds(f) {
		f.Add(p, uint64(i))
		f.Add(append(hello().AppendTo(nil, 77), p...), uint64(i))
		all = append(all, p...)
	}
	f.Add(all, uint64(1))
	f.Fuzz(func(t *testing.T, p []byte, seed uint64) {
		random := rand.New(rand.NewPCG(seed, 1))
		m := newMemory(t, fe)
		defer m.Close()
		if seed%4 != 0 {
			p = append(hello().AppendTo(nil, 4_000_000_000), rightHeads(p)...)
		}
		for rest := p; len(rest) > 0 && m.Err == nil; {
			n := 1 + random.IntN(len(rest))
			m.Receive(rest[:n])
			rest = rest[n:]
			m.checkBounds()
		}
		// What waits for the disk comes by itself; what waits for records is
		// cut off.
		for i := 0; i < 20 && m.waits(); i++ {
			select {
			case <-m.Woken:
			case <-time.After(time.Millisecond):
			}
			m.Turn()
			m.checkBounds()
		}
	})
}

// rightHeads returns p with the check of each head in it made right, as far as
// lengths lead from one to the next.
func rightHeads(p []byte) []byte {
	p = append([]byte(nil), p...)
	for rest := p; len(rest) >= wire.HeadSize; {
		binary.BigEndian.PutUint32(rest[12:], uint32(xxhash.Sum64(rest[:12])))
		size := wire.HeadSize + int(binary.BigEndian.Uint32(rest))
		if size > len(rest) {
			break
		}
		rest = rest[size:]
	}
	return p
}

// checkBounds looks at the frames that have left and at what is held.
func (m *memory) checkBounds() {
	m.t.Helper()
	for len(m.Sent) > 0 {
		f, rest, err := wire.Split(m.Sent, 64<<10)
		if err != nil {
			m.t.Fatalf("what left is not whole frames within the limit: %v", err)
		}
		if !f.Kind.FromServer() {
			m.t.Fatalf("%s left", describe(f))
		}
		m.Sent = rest
	}
	s := m.session
	answers, streams := m.Pending()
	switch {
	case answers > 2*m.MaxItems:
		m.t.Fatalf("%d answers wait, %d may", answers, m.MaxItems)
	case len(s.subscriptions) > 4 || streams > 4:
		m.t.Fatalf("%d subscriptions, %d streams, want at most 4", len(s.subscriptions), streams)
	case s.inFlight < 0 || s.inFlight > 128<<10+64<<10+wire.HeadSize:
		m.t.Fatalf("%d bytes in flight", s.inFlight)
	case s.group != nil:
		m.t.Fatal("a group was left behind")
	}
}

// waits tells whether an answer in order is not there yet.
func (m *memory) waits() bool {
	answers, _ := m.Pending()
	return answers > 0
}
