package kafka

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// decoders decode the request of each key into the form of another
// implementation.
var decoders = map[int16]func(r *reader, version int16) (kmsg.Request, error){
	0:  readProduceForTest,
	1:  readFetchForTest,
	2:  func(r *reader, v int16) (kmsg.Request, error) { return readListOffsets(r, v) },
	3:  func(r *reader, v int16) (kmsg.Request, error) { return readMetadata(r, v) },
	8:  func(r *reader, v int16) (kmsg.Request, error) { return readOffsetCommit(r, v) },
	9:  func(r *reader, v int16) (kmsg.Request, error) { return readOffsetFetch(r, v) },
	10: func(r *reader, v int16) (kmsg.Request, error) { return readFindCoordinator(r, v) },
	11: func(r *reader, v int16) (kmsg.Request, error) { return readJoinGroup(r, v) },
	12: func(r *reader, v int16) (kmsg.Request, error) { return readHeartbeat(r, v) },
	13: func(r *reader, v int16) (kmsg.Request, error) { return readLeaveGroup(r, v) },
	14: func(r *reader, v int16) (kmsg.Request, error) { return readSyncGroup(r, v) },
	15: func(r *reader, v int16) (kmsg.Request, error) { return readDescribeGroups(r, v) },
	16: func(r *reader, v int16) (kmsg.Request, error) { return readListGroups(r, v) },
	17: func(r *reader, v int16) (kmsg.Request, error) { return readSaslHandshake(r, v) },
	18: func(r *reader, v int16) (kmsg.Request, error) { return readApiVersions(r, v) },
	19: func(r *reader, v int16) (kmsg.Request, error) { return readCreateTopics(r, v) },
	20: func(r *reader, v int16) (kmsg.Request, error) { return readDeleteTopics(r, v) },
	21: func(r *reader, v int16) (kmsg.Request, error) { return readDeleteRecords(r, v) },
	22: func(r *reader, v int16) (kmsg.Request, error) { return readInitProducerID(r, v) },
	23: func(r *reader, v int16) (kmsg.Request, error) { return readOffsetForLeaderEpoch(r, v) },
	29: func(r *reader, v int16) (kmsg.Request, error) { return readDescribeACLs(r, v) },
	32: func(r *reader, v int16) (kmsg.Request, error) { return readDescribeConfigs(r, v) },
	33: func(r *reader, v int16) (kmsg.Request, error) { return readAlterConfigs(r, v) },
	35: func(r *reader, v int16) (kmsg.Request, error) { return readDescribeLogDirs(r, v) },
	36: func(r *reader, v int16) (kmsg.Request, error) { return readSaslAuthenticate(r, v) },
	37: func(r *reader, v int16) (kmsg.Request, error) { return readCreatePartitions(r, v) },
	42: func(r *reader, v int16) (kmsg.Request, error) { return readDeleteGroups(r, v) },
	43: func(r *reader, v int16) (kmsg.Request, error) { return readElectLeaders(r, v) },
	44: func(r *reader, v int16) (kmsg.Request, error) { return readIncrementalAlterConfigs(r, v) },
	46: func(r *reader, v int16) (kmsg.Request, error) { return readListPartitionReassignments(r, v) },
	47: func(r *reader, v int16) (kmsg.Request, error) { return readOffsetDelete(r, v) },
	60: func(r *reader, v int16) (kmsg.Request, error) { return readDescribeCluster(r, v) },
	75: func(r *reader, v int16) (kmsg.Request, error) { return readDescribeTopicPartitions(r, v) },
}

// What another implementation encodes, at random and in every version, is
// decoded to the same, tagged fields that nobody knows are skipped, and cuts of
// it are refused.
func TestDecode(t *testing.T) {
	t.Parallel() // it computes while others wait
	rng := rand.New(rand.NewPCG(1, 2))
	for _, a := range apis {
		decode := decoders[a.key]
		if decode == nil {
			t.Errorf("%s has no decoder in this test", a.name)
			continue
		}
		for version := a.least(); version <= a.max; version++ {
			for round := range 200 {
				m := kmsg.RequestForKey(a.key)
				fill(rng, reflect.ValueOf(m).Elem(), 0)
				settle(m)
				m.SetVersion(version)
				body := m.AppendTo(nil)
				h := header{api: a, version: version}
				r := newReader(body, h.flexible())
				got, err := decode(&r, version)
				if err != nil {
					t.Fatalf("%s version %d: %v\n%+v", a.name, version, err, m)
				}
				got.SetVersion(version)
				if again := got.AppendTo(nil); !bytes.Equal(again, body) {
					t.Fatalf("%s version %d: read\n%+v, want\n%+v", a.name, version, got, m)
				}
				for cut := range body {
					if round >= 20 {
						break // each takes as many decodings as it has bytes
					}
					r := newReader(body[:cut], h.flexible())
					if _, err := decode(&r, version); err == nil {
						t.Fatalf("%s version %d: %d of %d bytes are taken for a whole request", a.name, version, cut, len(body))
					}
				}
				if h.flexible() {
					// The last byte is the count of the outermost tagged fields.
					tagged := append(bytes.Clone(body[:len(body)-1]), 2, 100, 3, 1, 2, 3, 101, 0)
					r := newReader(tagged, true)
					if _, err := decode(&r, version); err != nil {
						t.Fatalf("%s version %d with unknown tagged fields: %v", a.name, version, err)
					}
				}
			}
		}
	}
}

// fill gives every field a random value; tagged fields stay unset.
func fill(rng *rand.Rand, v reflect.Value, depth int) {
	switch v.Kind() {
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[kmsg.Tags]() {
			return
		}
		for i := range v.NumField() {
			fill(rng, v.Field(i), depth+1)
		}
	case reflect.Pointer:
		if rng.IntN(3) > 0 {
			v.Set(reflect.New(v.Type().Elem()))
			fill(rng, v.Elem(), depth)
		}
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			p := make([]byte, rng.IntN(20))
			for i := range p {
				p[i] = byte(rng.Uint32())
			}
			v.SetBytes(p)
			return
		}
		n := rng.IntN(4)
		v.Set(reflect.MakeSlice(v.Type(), n, n))
		for i := range n {
			fill(rng, v.Index(i), depth+1)
		}
	case reflect.Array:
		for i := range v.Len() {
			fill(rng, v.Index(i), depth+1)
		}
	case reflect.String:
		p := make([]byte, rng.IntN(300)%(20+280*rng.IntN(2)))
		for i := range p {
			p[i] = byte('a' + rng.IntN(26))
		}
		v.SetString(string(p))
	case reflect.Bool:
		v.SetBool(rng.IntN(2) == 0)
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(int64(rng.Uint64()) >> rng.IntN(64))
		v.SetInt(v.Int() & (1<<(v.Type().Bits()-1) - 1) * int64(1-2*rng.IntN(2)))
	case reflect.Uint8:
		v.SetUint(uint64(rng.Uint32() & 0xff))
	}
}

// A body that declares what it has not is refused before anything is looped
// over or allocated.
func TestDecodeHuge(t *testing.T) {
	f := func(name string, p []byte, flexible bool, read func(r *reader)) {
		t.Helper()
		r := newReader(p, flexible)
		if got := testing.AllocsPerRun(10, func() { r = newReader(p, flexible); read(&r) }); got > 20 {
			t.Errorf("%s: %v allocations", name, got)
		}
		if r.err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	huge := binary.AppendUvarint(nil, 1<<28)
	f("tags", append(huge, 0, 0), true, (*reader).tags)
	f("array", append(huge, 0, 0), true, func(r *reader) { slice(r, 1, (*reader).int8) })
	f("string", append(huge, 0, 0), true, func(r *reader) { _ = r.string() })
	f("bytes", append(huge, 0, 0), true, func(r *reader) { _ = r.bytes() })
	f("overlong varint", []byte{0x80, 0x80, 0x80, 0x80, 0x80, 0}, true, (*reader).tags)
	f("varint of 33 bits", []byte{0xff, 0xff, 0xff, 0xff, 0x7f}, true, (*reader).tags)
	f("length -2", []byte{0xff, 0xfe, 0, 0}, false, func(r *reader) { r.view() })
	f("null string", []byte{0xff, 0xff}, false, func(r *reader) { _ = r.string() })
	f("array of int32", []byte{0x7f, 0xff, 0xff, 0xff, 0}, false, func(r *reader) { slice(r, 1, (*reader).int8) })
	f("text of 32,768 bytes", append(binary.AppendUvarint(nil, 1<<15+1), make([]byte, 1<<15)...), true, func(r *reader) { _ = r.string() })
	f("view of 32,768 bytes", append(binary.AppendUvarint(nil, 1<<15+1), make([]byte, 1<<15)...), true, func(r *reader) { r.view() })
	f("memory", binary.AppendUvarint(nil, 1<<20), true, func(r *reader) {
		r.p = make([]byte, 1<<20)
		r.p[0], r.p[1], r.p[2] = 0xff, 0xff, 0x3f
		slice(r, 1, (*reader).int8)
	})
}

// settle gives fields of m that are read and not looked at, as tagged ones are,
// their defaults, and those that have bounds values within these.
func settle(m kmsg.Request) {
	if m, ok := m.(*kmsg.FetchRequest); ok {
		m.ClusterID, m.ReplicaID, m.ReplicaState = nil, -1, kmsg.NewFetchRequestReplicaState()
		m.IsolationLevel, m.Rack = 0, ""
		m.MaxWaitMillis = max(0, m.MaxWaitMillis)
		m.MaxBytes = max(0, m.MaxBytes)
		cut := func(name *string) { *name = (*name)[:min(len(*name), maxTopicNameBytes)] }
		for i := range m.ForgottenTopics {
			cut(&m.ForgottenTopics[i].Topic)
		}
		for i := range m.Topics {
			cut(&m.Topics[i].Topic)
			for j := range m.Topics[i].Partitions {
				p := &m.Topics[i].Partitions[j]
				p.ReplicaDirectoryID, p.HighWatermark, p.LogStartOffset = [16]byte{}, math.MaxInt64, -1
			}
		}
	}
}

// readProduceForTest is produce.read.
func readProduceForTest(r *reader, version int16) (kmsg.Request, error) {
	var p produce
	if err := p.read(r, version); err != nil {
		return nil, err
	}
	m := kmsg.NewPtrProduceRequest()
	if p.transactionalID != nil {
		m.TransactionID = kmsg.StringPtr(string(p.transactionalID))
	}
	m.Acks, m.TimeoutMillis = p.acks, int32(p.timeout.Milliseconds())
	for _, t := range p.topics {
		topic := kmsg.ProduceRequestTopic{Topic: string(t.name), TopicID: t.id}
		for _, q := range t.partitions {
			topic.Partitions = append(topic.Partitions, kmsg.ProduceRequestTopicPartition{Partition: q.index, Records: q.request.Batches})
		}
		m.Topics = append(m.Topics, topic)
	}
	return m, nil
}

// readFetchForTest is fetch.read. What it reads and does not keep stands in m as
// another implementation has it by default.
func readFetchForTest(r *reader, version int16) (kmsg.Request, error) {
	var f fetch
	if err := f.read(r, version); err != nil {
		return nil, err
	}
	m := kmsg.NewPtrFetchRequest()
	m.MaxWaitMillis = int32(f.maxWait.Milliseconds())
	m.MinBytes, m.MaxBytes = int32(f.minBytes), int32(f.maxBytes)
	m.SessionID, m.SessionEpoch = f.sessionID, f.epoch
	for _, t := range f.topics {
		topic := kmsg.FetchRequestTopic{Topic: string(t.name), TopicID: t.id}
		for _, p := range t.partitions {
			q := kmsg.NewFetchRequestTopicPartition()
			q.Partition, q.CurrentLeaderEpoch, q.FetchOffset = p.index, p.leaderEpoch, int64(p.offset)
			q.LastFetchedEpoch, q.PartitionMaxBytes = p.lastFetchedEpoch, p.maxBytes
			topic.Partitions = append(topic.Partitions, q)
		}
		m.Topics = append(m.Topics, topic)
	}
	for _, t := range f.forgotten {
		m.ForgottenTopics = append(m.ForgottenTopics, kmsg.FetchRequestForgottenTopic{Topic: string(t.name), TopicID: t.id, Partitions: t.partitions})
	}
	return m, nil
}
