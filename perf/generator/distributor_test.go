package generator

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/rollway/rollway/engine/record"
)

// Messages without a key stay with a partition until they fill a batch or its linger is over, and then go on to the next; workers begin at different ones.
func TestStickyDistributor(t *testing.T) {
	w := DefaultWorkload()
	w.PartitionsPerTopic, w.BatchBytes, w.MessageSize, w.LingerMs = 3, 1200, 100, 5
	d := newDistributor(w, 4)
	f := func(due time.Duration, want int32) {
		t.Helper()
		if key, got := d.next(int64(due)); got != want || key != nil {
			t.Errorf("due at %v: partition %d, key %x; want %d and none", due, got, key, want)
		}
	}
	for range 10 {
		f(0, 1)
	}
	f(0, 2) // 10 fill the batch, with what clients put around them
	f(4*time.Millisecond, 2)
	f(5*time.Millisecond, 0)
	f(9*time.Millisecond, 0)
	f(10*time.Millisecond, 1)
}

// Keys are OpenMessaging Benchmark's in number and length, come in turns or at random, and go where Kafka's clients send them.
func TestKeyDistributors(t *testing.T) {
	w := DefaultWorkload()
	w.PartitionsPerTopic = 7
	kafkas := kgo.StickyKeyPartitioner(nil).ForTopic("topic")
	for _, kind := range []string{keyRoundRobin, randomNano} {
		w.KeyDistributor = kind
		d := newDistributor(w, 0)
		times := map[string]int{}
		for range 2 * keyCount {
			key, partition := d.next(0)
			if want := kafkas.Partition(&kgo.Record{Key: key}, 7); len(key) != keyBytes || int(partition) != want {
				t.Fatalf("%s: key %x in partition %d, want %d", kind, key, partition, want)
			}
			times[string(key)]++
		}
		if kind == keyRoundRobin && len(times) != keyCount || len(times) < keyCount/2 {
			t.Errorf("%s: %d keys of %d", kind, len(times), keyCount)
		}
		for key, n := range times {
			if kind == keyRoundRobin && n != 2 {
				t.Errorf("%s: key %x %d times, want twice", kind, key, n)
			}
		}
	}
}

// Times of a partition are found by sequence, also when a batch is settled before one in front of it, and nothing is kept of what is settled.
func TestDueQueue(t *testing.T) {
	var q dueQueue
	for i := range int64(10) {
		q.times = append(q.times, 100+i)
	}
	f := func(sequence int64, count, left int) {
		t.Helper()
		for i, due := range q.of(sequence, count) {
			if due != 100+sequence+int64(i) {
				t.Errorf("sequence %d: %d", sequence+int64(i), due)
			}
		}
		q.drop(sequence, count)
		if len(q.times) != left {
			t.Errorf("%d times left, want %d", len(q.times), left)
		}
	}
	f(0, 2, 8)
	f(4, 3, 8) // overtakes
	f(2, 2, 3)
	f(7, 3, 0)
	q.times = append(q.times, 110)
	f(10, 1, 0)
}

// So many messages as fill a batch fill it: as our builder makes it, one more has no room.
func TestPerBatch(t *testing.T) {
	for _, size := range []int{32, 100, 1024, 5000} {
		for _, batch := range []int{4 << 10, 16 << 10, 1 << 20} {
			w := DefaultWorkload()
			w.MessageSize, w.BatchBytes = size, batch
			var b record.Builder
			for range w.perBatch() {
				if err := b.Append(1700000000000, nil, make([]byte, size)); err != nil {
					t.Fatal(err)
				}
			}
			if b.Size() > batch && w.perBatch() > 1 {
				t.Errorf("%d messages of %d bytes make a batch of %d, want at most %d", w.perBatch(), size, b.Size(), batch)
			}
			if left := batch - b.Size(); left > size+32+4*w.perBatch() {
				t.Errorf("%d messages of %d bytes leave %d of %d", w.perBatch(), size, left, batch)
			}
		}
	}
}
