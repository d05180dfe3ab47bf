package client

import (
	"fmt"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// Acks says when the server answers a batch.
type Acks uint8

// Acks of a Producer.
const (
	// AcksAll: when the high watermark has passed it; by default it is then on
	// the server's disk.
	AcksAll Acks = iota
	// AcksLeader: the same promise, on one node.
	AcksLeader
	// AcksNone: never. A batch counts as done when the kernel has taken it, and
	// one that the server refuses is lost without a word.
	AcksNone
)

// wire returns what the protocol calls it.
func (a Acks) wire() wire.Acks {
	switch a {
	case AcksLeader:
		return wire.AcksLeader
	case AcksNone:
		return wire.AcksNone
	}
	return wire.AcksAll
}

// ProducerOptions configure a Producer. The zero value works.
type ProducerOptions struct {
	// Partitioner chooses the partition of each record. Default ByKey.
	Partitioner Partitioner

	// Acks says when a batch is answered. Default AcksAll.
	Acks Acks

	// DisableIdempotence gives up that a batch whose answer is missing is sent
	// again and stored once; see Producer. It has no effect with AcksNone,
	// where nothing is answered, and with a negative RetryFor, where nothing is
	// sent again: both give it up, too.
	DisableIdempotence bool

	// Codec compresses batches. Default record.CodecNone.
	Codec record.Codec

	// Linger is how long a record may wait for others to fill its batch.
	// Default 5 ms, that of linger.ms since Kafka 4.0: batches of many records
	// cost everyone less than the wait does. Negative: it is sent as soon as
	// the Producer's goroutine gets to it.
	Linger time.Duration

	// BatchBytes is the length of a full batch before compression. Default
	// 64 KiB: what a pipelined request costs by itself, some 6 us of the
	// server's time, is then a tenth of what its bytes cost. The topic's
	// max.message.bytes and the server's frame limit bound it; one record that
	// is longer makes a batch alone. Where an idempotent producer may not send
	// yet, a batch grows to 16 times that.
	BatchBytes int

	// MaxInFlightBytes bounds the memory of records that were taken and whose
	// batch is not done; Produce waits for room. Default 32 MiB, that of
	// Kafka's buffer.memory. A record that is longer is taken when there is no
	// other.
	MaxInFlightBytes int64

	// RetryFor is how long a batch is sent again that the server could not
	// take for now: its partition was not ready, or it had no room. If the
	// producer is idempotent it is also how long a batch is kept after the
	// connection broke. Default 30 s; negative: it is not sent again.
	RetryFor time.Duration

	// OnBatch, if not nil, is told the fate of every batch: in order within a
	// partition, unless a retry was refused in the end, and never concurrently.
	// It must not call the Producer, and while it runs the connection receives
	// nothing.
	OnBatch func(BatchResult)
}

// BatchResult is the fate of one batch.
type BatchResult struct {
	Topic     string
	Partition int32

	// Sequence numbers the first of its records among all that this Producer
	// was given for the partition, from 0; the others follow.
	Sequence int64
	Records  int
	Bytes    int // of the batch as it was sent

	// The records have the offsets BaseOffset to NextOffset-1.
	// LogAppendTimeMs is the time that the server gave them, -1 if they keep
	// their own. All are -1 when Err is not nil, and with AcksNone.
	BaseOffset, NextOffset, LogAppendTimeMs int64

	// Err is nil if the batch was acknowledged as asked. It is an
	// *InDoubtError if nobody knows; with any other it was not appended.
	Err error
}

// idempotent tells whether the options, with their defaults, ask for it.
func (o ProducerOptions) idempotent() bool {
	return !o.DisableIdempotence && o.Acks != AcksNone && o.RetryFor > 0
}

// withDefaults returns o with its zero fields set.
func (o ProducerOptions) withDefaults() ProducerOptions {
	if o.Partitioner == nil {
		o.Partitioner = ByKey
	}
	setDefault(&o.Linger, 5*time.Millisecond)
	setDefault(&o.BatchBytes, 64<<10)
	setDefault(&o.MaxInFlightBytes, 32<<20)
	setDefault(&o.RetryFor, 30*time.Second)
	return o
}

// Validate names the first field that is out of range, and the range.
func (o ProducerOptions) Validate() error {
	o = o.withDefaults()
	switch {
	case o.Acks > AcksNone:
		return fmt.Errorf("client: Acks: %d, want AcksAll, AcksLeader or AcksNone", o.Acks)
	case !o.Codec.Known():
		return fmt.Errorf("client: Codec: %v, want a known one", o.Codec)
	case o.BatchBytes < record.HeaderSize:
		return fmt.Errorf("client: BatchBytes: %d, want at least %d", o.BatchBytes, record.HeaderSize)
	case o.MaxInFlightBytes < 1:
		return fmt.Errorf("client: MaxInFlightBytes: %d, want at least 1", o.MaxInFlightBytes)
	}
	return nil
}
