package generator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
)

// message is what a message says of itself at the start of its value. Big-endian; crc
// is CRC-32C of all that follows it, to the end of the value.
//
//	at  len  field
//	 0    4  crc
//	 4    4  run        a random number: others' messages are not ours
//	 8    4  producer   counted over all topics
//	12    4  partition
//	16    8  sequence   of the producer in the partition, from 0 on
//	24    8  due        nanoseconds since 1970
//	32    .  body
type message struct {
	run       uint32
	producer  uint32
	partition int32
	sequence  int64
	due       int64
}

const messageHeaderBytes = 32

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// put writes m into value, in front of its body.
func (m *message) put(value []byte) {
	binary.BigEndian.PutUint32(value[4:], m.run)
	binary.BigEndian.PutUint32(value[8:], m.producer)
	binary.BigEndian.PutUint32(value[12:], uint32(m.partition))
	binary.BigEndian.PutUint64(value[16:], uint64(m.sequence))
	binary.BigEndian.PutUint64(value[24:], uint64(m.due))
	binary.BigEndian.PutUint32(value, crc32.Checksum(value[4:], castagnoli))
}

// peekMessage reads what this process has written itself a moment ago. value is at
// least MinMessageSize long.
func peekMessage(value []byte) message {
	return message{
		run:       binary.BigEndian.Uint32(value[4:]),
		producer:  binary.BigEndian.Uint32(value[8:]),
		partition: int32(binary.BigEndian.Uint32(value[12:])),
		sequence:  int64(binary.BigEndian.Uint64(value[16:])),
		due:       int64(binary.BigEndian.Uint64(value[24:])),
	}
}

// parseMessage checks and reads a value that came back. size is what it should be.
func parseMessage(value []byte, size int) (message, error) {
	if len(value) != size {
		return message{}, fmt.Errorf("%d bytes, want %d", len(value), size)
	}
	if got, want := crc32.Checksum(value[4:], castagnoli), binary.BigEndian.Uint32(value); got != want {
		return message{}, fmt.Errorf("crc %08x, want %08x", got, want)
	}
	m := peekMessage(value)
	if m.sequence < 0 {
		return m, errors.New("sequence below 0")
	}
	return m, nil
}
