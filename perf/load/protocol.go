package load

import (
	"fmt"
	"io"
	"time"

	"github.com/rollway/rollway/wire"
)

// protocol is what a client says to a server and how it reads the answers. Ids
// are used again, but not of two requests in flight.
type protocol interface {
	// open opens the conversation.
	open(conn io.ReadWriter) error
	// appendFetch appends a request for batches.
	appendFetch(dst []byte, f fetch, id uint32) []byte
	// readFetched reads what stands before the batches of an answer, which are to
	// be of so many bytes; behind are the bytes that stand behind them.
	readFetched(r io.Reader, topic string, maxBytes int, id uint32) (behind int, err error)
	// readTail is readFetched of an answer with however many bytes of batches.
	readTail(r io.Reader, topic string, id uint32) (batches, behind int, err error)
	// readAnswer reads an answer in full, and the high watermark that it tells.
	readAnswer(r io.Reader, id uint32) (batches []byte, end int64, err error)
	// appendProduce appends a request of one batch, with acks=all. Requests of one
	// topic and batch have one length.
	appendProduce(dst []byte, topic string, partition int32, batch []byte, id uint32) []byte
	// splitProduced cuts the first answer off p and checks it; rest is p if it is
	// not all there, and ok false.
	splitProduced(p []byte, id uint32) (rest []byte, ok bool, err error)
}

// fetch is a request for batches of one partition.
type fetch struct {
	topic     string
	partition int32
	offset    int64
	maxBytes  int
	waitMax   time.Duration // for the first byte, if there is none yet
}

// native is rollway's protocol.
type native struct {
	head [wire.DataHeaderSize]byte
}

func (*native) open(conn io.ReadWriter) error { return hello(conn) }

func (*native) appendFetch(dst []byte, f fetch, id uint32) []byte {
	m := wire.Fetch{Topic: []byte(f.topic), Partition: f.partition, Offset: f.offset, MaxBytes: int32(f.maxBytes)}
	if f.waitMax > 0 {
		m.MinBytes, m.MaxWaitMs = 1, uint32(f.waitMax.Milliseconds())
	}
	return m.AppendTo(dst, id)
}

func (n *native) readFetched(r io.Reader, _ string, maxBytes int, id uint32) (behind int, err error) {
	h, err := n.readHead(r)
	if err != nil {
		return 0, err
	}
	length := h.Size() - len(n.head)
	if h.Kind != wire.KindData || h.RequestID != id || length != maxBytes {
		return 0, fmt.Errorf("answer %v to request %d with %d bytes of batches, want Data to %d with %d",
			h.Kind, h.RequestID, length, id, maxBytes)
	}
	_, err = io.ReadFull(r, n.head[wire.HeadSize:])
	return 0, err
}

func (n *native) readTail(r io.Reader, _ string, id uint32) (batches, behind int, err error) {
	h, err := n.readHead(r)
	if err != nil {
		return 0, 0, err
	}
	if h.Kind != wire.KindData || h.RequestID != id || h.Size() < len(n.head) {
		return 0, 0, fmt.Errorf("answer %v of %d bytes to request %d, want Data to %d", h.Kind, h.Size(), h.RequestID, id)
	}
	_, err = io.ReadFull(r, n.head[wire.HeadSize:])
	return h.Size() - len(n.head), 0, err
}

// readHead reads the head of a frame into n.head. An Error is an error.
func (n *native) readHead(r io.Reader) (wire.Head, error) {
	p := n.head[:]
	if _, err := io.ReadFull(r, p[:wire.HeadSize]); err != nil {
		return wire.Head{}, err
	}
	h, err := wire.ParseHead(p)
	if err == nil && h.Kind == wire.KindError {
		return h, readError(r, h)
	}
	return h, err
}

func (n *native) readAnswer(r io.Reader, id uint32) (batches []byte, end int64, err error) {
	f, err := readFrame(r)
	if err != nil {
		return nil, 0, err
	}
	d, err := wire.ParseData(f)
	if err == nil && f.RequestID != id {
		err = fmt.Errorf("answer to request %d, want %d", f.RequestID, id)
	}
	return d.Batches, d.Offsets.HighWatermark, err
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
