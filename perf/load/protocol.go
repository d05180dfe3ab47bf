package load

import (
	"fmt"
	"io"

	"github.com/rollway/rollway/wire"
)

// protocol is what a client says to a server and how it reads the answers. Ids
// are used again, but not of two requests in flight.
type protocol interface {
	// open opens the conversation.
	open(conn io.ReadWriter) error
	// appendFetch appends a request for batches of partition 0.
	appendFetch(dst []byte, topic string, offset int64, maxBytes int, id uint32) []byte
	// readFetched reads what stands before the batches of an answer, which are to
	// be of so many bytes; behind are the bytes that stand behind them.
	readFetched(r io.Reader, topic string, maxBytes int, id uint32) (behind int, err error)
	// appendProduce appends a request of one batch, with acks=all. Requests of one
	// topic and batch have one length.
	appendProduce(dst []byte, topic string, partition int32, batch []byte, id uint32) []byte
	// splitProduced cuts the first answer off p and checks it; rest is p if it is
	// not all there, and ok false.
	splitProduced(p []byte, id uint32) (rest []byte, ok bool, err error)
}

// native is rollway's protocol.
type native struct {
	head [wire.DataHeaderSize]byte
}

func (*native) open(conn io.ReadWriter) error { return hello(conn) }

func (*native) appendFetch(dst []byte, topic string, offset int64, maxBytes int, id uint32) []byte {
	m := wire.Fetch{Topic: []byte(topic), Offset: offset, MaxBytes: int32(maxBytes)}
	return m.AppendTo(dst, id)
}

func (n *native) readFetched(r io.Reader, _ string, maxBytes int, id uint32) (behind int, err error) {
	p := n.head[:]
	if _, err := io.ReadFull(r, p[:wire.HeadSize]); err != nil {
		return 0, err
	}
	h, err := wire.ParseHead(p)
	if err != nil {
		return 0, err
	}
	length := h.Size() - len(p)
	if h.Kind != wire.KindData || h.RequestID != id || length != maxBytes {
		if h.Kind == wire.KindError {
			return 0, readError(r, h)
		}
		return 0, fmt.Errorf("answer %v to request %d with %d bytes of batches, want Data to %d with %d",
			h.Kind, h.RequestID, length, id, maxBytes)
	}
	_, err = io.ReadFull(r, p[wire.HeadSize:])
	return 0, err
}

// readError reads the rest of an Error.
func readError(r io.Reader, h wire.Head) error {
	f := wire.Frame{Head: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(r, f.Payload); err != nil {
		return err
	}
	return refusal(f)
}

func (*native) appendProduce(dst []byte, topic string, partition int32, batch []byte, id uint32) []byte {
	m := wire.Produce{Topic: []byte(topic), Partition: partition, Acks: wire.AcksAll, Batches: batch}
	return m.AppendTo(dst, id)
}

func (*native) splitProduced(p []byte, id uint32) (rest []byte, ok bool, err error) {
	f, rest, err := wire.Split(p, answersBytes-wire.HeadSize)
	if err == wire.ErrIncomplete {
		return p, false, nil
	}
	if err != nil {
		return p, false, err
	}
	return rest, true, checkProduced(f, id)
}
