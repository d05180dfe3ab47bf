package generator

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"github.com/rollway/rollway/wire/client"
)

// The key distributors of OpenMessaging Benchmark: no keys; some keys in turns; a
// random one of them for each message.
const (
	noKey         = "NO_KEY"
	keyRoundRobin = "KEY_ROUND_ROBIN"
	randomNano    = "RANDOM_NANO"
)

// keyCount is how many keys there are, and keyBytes how long they are: those of
// OpenMessaging Benchmark.
const (
	keyCount = 10_000
	keyBytes = 7
)

// distributor chooses keys and partitions for one worker: the same ones, whatever the
// protocol, so that both do the same work. Messages with a key go where Kafka's
// producers send them. Those without stay with a partition until they fill a batch, or
// until it would have lingered, and then go on to the next, as those of Kafka do
// (KIP-480).
type distributor struct {
	kind       string
	partitions int32
	perBatch   int // messages that fill a batch
	linger     int64
	random     *rand.Rand

	key     []byte
	count   int64 // keys given
	current int32
	filled  int   // messages given to current since it is
	since   int64 // when the first of them was due
}

func newDistributor(w Workload, number int) *distributor {
	// Without linger a batch still takes what comes while it is being sent.
	linger := max(w.linger(), time.Millisecond)
	return &distributor{
		kind: w.KeyDistributor, partitions: int32(w.PartitionsPerTopic), perBatch: w.perBatch(), linger: int64(linger),
		random: rand.New(rand.NewPCG(payloadSeed, uint64(number))),
		key:    make([]byte, 8), current: int32(number % w.PartitionsPerTopic),
	}
}

// next returns key and partition of a message that is due. The key is valid until the
// next call; nil is none.
func (d *distributor) next(due int64) (key []byte, partition int32) {
	switch d.kind {
	case keyRoundRobin:
		d.count++
		return d.keyed(uint64(d.count % keyCount))
	case randomNano:
		return d.keyed(d.random.Uint64N(keyCount))
	}
	if d.filled > 0 && (d.filled == d.perBatch || due-d.since >= d.linger) {
		d.current = (d.current + 1) % d.partitions
		d.filled = 0
	}
	if d.filled == 0 {
		d.since = due
	}
	d.filled++
	return nil, d.current
}

// keyed returns key n and its partition.
func (d *distributor) keyed(n uint64) (key []byte, partition int32) {
	binary.BigEndian.PutUint64(d.key, n*0x9e3779b97f4a7c15) // spread over the bytes that are used
	key = d.key[:keyBytes]
	return key, client.ByKey(client.Record{Key: key}, d.partitions)
}
