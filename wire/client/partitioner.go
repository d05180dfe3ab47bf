package client

import (
	"encoding/binary"
)

// Partitioner chooses the partition of a record, in [0, partitions), or
// AnyPartition. It must neither keep nor change what r points to, and may be
// called concurrently.
type Partitioner func(r Record, partitions int32) int32

// AnyPartition leaves the choice to the Producer: it stays with one partition
// until a batch is full or sent, and then goes on to the next, so that batches
// are as large as can be.
const AnyPartition int32 = -1

// ByKey is the default Partitioner. Records with a key go where Apache Kafka's
// default partitioner sends them: to murmur2(key) modulo the partitions. An
// empty key is a key. Those without go anywhere.
func ByKey(r Record, partitions int32) int32 {
	if r.Key == nil {
		return AnyPartition
	}
	return int32(murmur2(r.Key)&0x7fffffff) % partitions
}

// ByRecord is a Partitioner that goes by Record.Partition.
func ByRecord(r Record, _ int32) int32 { return r.Partition }

// ToPartition returns a Partitioner that sends all records to one partition.
func ToPartition(partition int32) Partitioner {
	return func(Record, int32) int32 { return partition }
}

// murmur2 is the 32-bit MurmurHash2 as Apache Kafka uses it
// (org.apache.kafka.common.utils.Utils.murmur2): little-endian, with this seed.
func murmur2(p []byte) uint32 {
	const (
		seed uint32 = 0x9747b28c
		m    uint32 = 0x5bd1e995
		r           = 24
	)
	h := seed ^ uint32(len(p))
	for ; len(p) >= 4; p = p[4:] {
		k := binary.LittleEndian.Uint32(p) * m
		k = (k ^ k>>r) * m
		h = h*m ^ k
	}
	switch len(p) {
	case 3:
		h ^= uint32(p[2]) << 16
		fallthrough
	case 2:
		h ^= uint32(p[1]) << 8
		fallthrough
	case 1:
		h = (h ^ uint32(p[0])) * m
	}
	h = (h ^ h>>13) * m
	return h ^ h>>15
}
