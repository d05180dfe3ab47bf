package load

import (
	"encoding/binary"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/record"
)

// kafka is Kafka's protocol, in versions that most clients send: Fetch 12, without
// a session, and Produce 9.
type kafka struct {
	head [256]byte // room for what stands before the batches
}

const (
	fetchVersion   = 12
	produceVersion = 9
)

// open asks for the versions that are served, as every client does: a server need
// not take a large request of somebody who has said nothing yet.
func (*kafka) open(conn io.ReadWriter) error {
	m := kmsg.NewPtrApiVersionsRequest()
	if _, err := conn.Write(appendRequest(nil, m, 0)); err != nil {
		return err
	}
	size := make([]byte, 4)
	if _, err := io.ReadFull(conn, size); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(size)
	if n < 4 || n > answersBytes {
		return fmt.Errorf("answer of %d bytes to ApiVersions, want 4 to %d", n, answersBytes)
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(conn, p); err != nil {
		return err
	}
	answer := kmsg.NewPtrApiVersionsResponse()
	if err := answer.ReadFrom(p[4:]); err != nil { // behind the correlation id
		return err
	}
	if answer.ErrorCode != 0 {
		return fmt.Errorf("answer to ApiVersions: error %d", answer.ErrorCode)
	}
	return nil
}

// appendRequest appends a request. The formatter writes the length at the start of
// what it is given.
func appendRequest(dst []byte, m kmsg.Request, id uint32) []byte {
	return append(dst, kmsg.NewRequestFormatter().AppendRequest(nil, m, int32(id))...)
}

func (*kafka) appendFetch(dst []byte, f fetch, id uint32) []byte {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = f.partition, f.offset, int32(f.maxBytes)
	m := kmsg.NewPtrFetchRequest()
	m.Version, m.MaxBytes, m.SessionEpoch = fetchVersion, int32(f.maxBytes), -1
	if f.waitMax > 0 {
		m.MinBytes, m.MaxWaitMillis = 1, int32(f.waitMax.Milliseconds())
	}
	m.Topics = []kmsg.FetchRequestTopic{{Topic: f.topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return appendRequest(dst, m, id)
}

// readFetched reads the head of an answer of one partition.
//
//	at       len  field
//	 0        4   length of the frame
//	 4        4   correlation id
//	 8        1   no tagged fields
//	 9        4   throttle time
//	13        2   error code
//	15        4   session id
//	19        1   one topic
//	20        1+  its name
//	 .        1   one partition
//	 .        4   its index
//	 .        2   error code
//	 .       29   high watermark 8, last stable 8, log start 8, aborted 1, replica 4
//	 .      1-5   length of the batches + 1
//
// Behind the batches are three bytes: no tagged fields.
func (k *kafka) readFetched(r io.Reader, topic string, maxBytes int, id uint32) (behind int, err error) {
	const behindBatches = 3
	before := 20 + 1 + len(topic) + 1 + 4 + 2 + 29
	p := binary.AppendUvarint(k.head[:before], uint64(maxBytes)+1)
	width := len(p) - before
	if _, err := io.ReadFull(r, p); err != nil {
		return 0, err
	}
	size, got := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	top, code := int16(binary.BigEndian.Uint16(p[13:])), int16(binary.BigEndian.Uint16(p[before-31:]))
	length, n := binary.Uvarint(p[before:])
	if got != id || top != 0 || code != 0 || n != width || length != uint64(maxBytes)+1 || int(size) != len(p)-4+maxBytes+behindBatches {
		return 0, fmt.Errorf("answer to request %d: errors %d and %d, frame of %d bytes with %d bytes of batches, want request %d with %d",
			got, top, code, size, length-1, id, maxBytes)
	}
	return behindBatches, nil
}

// readTail reads the same head as readFetched.
func (k *kafka) readTail(r io.Reader, topic string, id uint32) (batches, behind int, err error) {
	const behindBatches = 3
	before := 20 + 1 + len(topic) + 1 + 4 + 2 + 29
	p := k.head[:before+1]
	if _, err := io.ReadFull(r, p); err != nil {
		return 0, 0, err
	}
	for p[len(p)-1] >= 0x80 && len(p) < before+binary.MaxVarintLen32 {
		p = p[:len(p)+1]
		if _, err := io.ReadFull(r, p[len(p)-1:]); err != nil {
			return 0, 0, err
		}
	}
	size, got := binary.BigEndian.Uint32(p), binary.BigEndian.Uint32(p[4:])
	top, code := int16(binary.BigEndian.Uint16(p[13:])), int16(binary.BigEndian.Uint16(p[before-31:]))
	length, n := binary.Uvarint(p[before:])
	length = max(length, 1) - 1 // 0 is null
	if got != id || top != 0 || code != 0 || n != len(p)-before || int(size) != len(p)-4+int(length)+behindBatches {
		return 0, 0, fmt.Errorf("answer to request %d: errors %d and %d, frame of %d bytes with %d bytes of batches, want request %d",
			got, top, code, size, length, id)
	}
	return int(length), behindBatches, nil
}

func (*kafka) readAnswer(r io.Reader, id uint32) (batches []byte, end int64, err error) {
	head := make([]byte, 9) // length, correlation id, no tagged fields
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, 0, err
	}
	size, got := binary.BigEndian.Uint32(head), binary.BigEndian.Uint32(head[4:])
	if got != id || size < 5 || size > record.MaxSize+answersBytes {
		return nil, 0, fmt.Errorf("answer to request %d of %d bytes, want one to %d of at most %d", got, size, id, record.MaxSize+answersBytes)
	}
	p := make([]byte, size-5)
	if _, err := io.ReadFull(r, p); err != nil {
		return nil, 0, err
	}
	answer := kmsg.NewPtrFetchResponse()
	answer.Version = fetchVersion
	if err := answer.ReadFrom(p); err != nil {
		return nil, 0, err
	}
	if answer.ErrorCode != 0 || len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return nil, 0, fmt.Errorf("answer of error %d with %d topics, want one of one partition", answer.ErrorCode, len(answer.Topics))
	}
	a := answer.Topics[0].Partitions[0]
	if a.ErrorCode != 0 {
		return nil, 0, fmt.Errorf("fetch: error %d", a.ErrorCode)
	}
	return a.RecordBatches, a.HighWatermark, nil
}

func (*kafka) appendProduce(dst []byte, topic string, partition int32, batch []byte, id uint32) []byte {
	m := kmsg.NewPtrProduceRequest()
	m.Version, m.Acks, m.TimeoutMillis = produceVersion, -1, int32(answerTime.Milliseconds())
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, batch
	m.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	return appendRequest(dst, m, id)
}

func (*kafka) splitProduced(p []byte, id uint32) (rest []byte, ok bool, err error) {
	if len(p) < 4 {
		return p, false, nil
	}
	size := 4 + int(binary.BigEndian.Uint32(p))
	if size > answersBytes {
		return p, false, fmt.Errorf("answer of %d bytes, want at most %d", size, answersBytes)
	}
	if len(p) < size {
		return p, false, nil
	}
	answer := kmsg.NewPtrProduceResponse()
	answer.Version = produceVersion
	if size < 9 {
		return p, false, fmt.Errorf("answer of %d bytes, want a header", size)
	}
	if got := binary.BigEndian.Uint32(p[4:]); got != id {
		return p, false, fmt.Errorf("answer to request %d, want %d", got, id)
	}
	if err := answer.ReadFrom(p[9:size]); err != nil { // behind the correlation id and no tagged fields
		return p, false, err
	}
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return p, false, fmt.Errorf("answer of %d topics, want one of one partition", len(answer.Topics))
	}
	if a := answer.Topics[0].Partitions[0]; a.ErrorCode != 0 {
		text := ""
		if a.ErrorMessage != nil {
			text = *a.ErrorMessage
		}
		return p, false, fmt.Errorf("produce: error %d: %s", a.ErrorCode, text)
	}
	return p[size:], true, nil
}
