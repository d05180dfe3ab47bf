package client

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The hash is Kafka's: the values of its own test (UtilsTest.testMurmur2).
func TestMurmur2(t *testing.T) {
	f := func(key string, want int32) {
		t.Helper()
		if got := int32(murmur2([]byte(key))); got != want {
			t.Errorf("%q: %d, want %d", key, got, want)
		}
	}
	f("21", -973932308)
	f("foobar", -790332482)
	f("a-little-bit-long-string", -985981536)
	f("a-little-bit-longer-string", -1486304829)
	f("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)
	f("abc", 479470107)
}

// Keys go where another client with Kafka's default partitioner sends them.
func TestByKey(t *testing.T) {
	other := kgo.StickyKeyPartitioner(nil).ForTopic("t")
	for n := range 200 {
		key := make([]byte, n)
		for i := range key {
			key[i] = byte(n * (i + 1))
		}
		for _, partitions := range []int32{1, 3, 50} {
			got := ByKey(Record{Key: key}, partitions)
			if want := other.Partition(&kgo.Record{Key: key}, int(partitions)); got != int32(want) {
				t.Errorf("key of %d bytes, %d partitions: %d, want %d", n, partitions, got, want)
			}
		}
	}
	if got := ByKey(Record{}, 3); got != AnyPartition {
		t.Errorf("no key: %d, want AnyPartition", got)
	}
	if got := ToPartition(2)(Record{Key: []byte("k")}, 3); got != 2 {
		t.Errorf("ToPartition(2): %d", got)
	}
}

// Records that may go anywhere fill one batch and then go on to the next partition.
func TestAnyPartition(t *testing.T) {
	var got []int32
	c := serve(t, func(s *fake) {
		s.described(3)
		for range 6 {
			f, m, records := s.produce()
			got = append(got, m.Partition)
			s.acknowledge(f.RequestID, 0, len(records))
		}
		s.end()
	})
	p, r := producer(t, c, ProducerOptions{})
	for range 6 {
		for range 3 {
			if err := p.Produce(t.Context(), Record{Value: []byte("v")}); err != nil {
				t.Fatal(err)
			}
		}
		p.sealAll()
	}
	if err := p.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, b := range r.all() {
		if b.Partition != int32(i%3) || b.Records != 3 || got[i] != b.Partition {
			t.Errorf("batch %d: partition %d with %d records, want %d with 3", i, b.Partition, b.Records, i%3)
		}
	}
}
