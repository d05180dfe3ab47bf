package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// errKilled means that the connection ended, as it does when the server is killed.
var errKilled = errors.New("the connection ended")

// maxRecordsBytes bounds what the records of a compressed batch come to.
const maxRecordsBytes = 16 << 20

// peer speaks the native protocol frame by frame, without a client library
// between the test and the server.
type peer struct {
	conn net.Conn
	in   *bufio.Reader
	buf  []byte
}

// dialPeer connects and says Hello.
func dialPeer(addr string) (*peer, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return nil, err
	}
	p := &peer{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
	hello := wire.Hello{MinVersion: wire.Version, MaxVersion: wire.Version, Software: "e2e", SoftwareVersion: "1"}
	if _, err := conn.Write(hello.AppendTo(nil, 1)); err != nil {
		conn.Close()
		return nil, err
	}
	if f, err := p.read(); err != nil || f.Kind != wire.KindWelcome {
		conn.Close()
		return nil, fmt.Errorf("hello answered by %v: %w", f.Kind, err)
	}
	return p, nil
}

// read returns the next frame, valid until the next call; an Error frame as a
// *wire.Error.
func (p *peer) read() (wire.Frame, error) {
	var head [wire.HeadSize]byte
	if _, err := io.ReadFull(p.in, head[:]); err != nil {
		return wire.Frame{}, err
	}
	h, err := wire.ParseHead(head[:])
	if err != nil {
		return wire.Frame{}, err
	}
	if cap(p.buf) < int(h.Length) {
		p.buf = make([]byte, h.Length)
	}
	f := wire.Frame{Head: h, Payload: p.buf[:h.Length]}
	if _, err := io.ReadFull(p.in, f.Payload); err != nil {
		return f, err
	}
	if h.Kind == wire.KindError {
		refused, err := wire.ParseError(f)
		if err != nil {
			return f, err
		}
		return f, refused
	}
	return f, nil
}

// call sends a request and returns its answer, valid until the next call. Errors: a
// *wire.Error of the server, errKilled.
func (p *peer) call(request []byte) (wire.Frame, error) {
	if _, err := p.conn.Write(request); err != nil {
		return wire.Frame{}, errKilled
	}
	f, err := p.read()
	if refused := (*wire.Error)(nil); err != nil && !errors.As(err, &refused) {
		return f, errKilled
	}
	return f, err
}

// fetch asks once for what stands in a partition from m.Offset on, gives its
// records to take in order, and returns the offset behind the last and the high
// watermark. It checks what a client can: the crc of each batch, and that it begins
// where the one before ends. Only with inBatch may the first begin before m.Offset.
// A batch that the answer cuts off is left out.
//
// Errors: a *wire.Error of the server, errKilled, what is wrong with a batch, those
// of take.
func (p *peer) fetch(m wire.Fetch, inBatch bool, take func(offset int64, value []byte) error) (next, highWatermark int64, err error) {
	next = m.Offset
	frame, err := p.call(m.AppendTo(nil, 9))
	if err != nil {
		return next, 0, err
	}
	data, err := wire.ParseData(frame)
	if err != nil {
		return next, 0, err
	}
	for rest := data.Batches; ; inBatch = false {
		b, after, err := record.Next(rest)
		if errors.Is(err, record.ErrShort) {
			return next, data.Offsets.HighWatermark, nil
		}
		if err == nil {
			next, err = takeBatch(b, next, inBatch, take)
		}
		if err != nil {
			return next, 0, fmt.Errorf("%s-%d: batch for offset %d: %w", m.Topic, m.Partition, next, err)
		}
		rest = after
	}
}

// takeBatch checks a batch and gives its records from an offset on to take. It
// returns the offset behind the last one taken.
func takeBatch(b record.Batch, next int64, inBatch bool, take func(int64, []byte) error) (int64, error) {
	if err := b.Verify(); err != nil {
		return next, err
	}
	if base := int64(b.BaseOffset()); base > next || base < next && !inBatch || int64(b.LastOffset()) < next {
		return next, fmt.Errorf("it holds offsets %d to %d", base, b.LastOffset())
	}
	records, err := b.Decompress(nil, maxRecordsBytes)
	if err != nil {
		return next, err
	}
	it := b.Iterate(records)
	for it.Next() {
		r := it.Record()
		if int64(r.Offset) < next {
			continue
		}
		if int64(r.Offset) != next {
			return next, fmt.Errorf("offset %d follows %d", r.Offset, next-1)
		}
		if err := take(next, r.Value); err != nil {
			return next, err
		}
		next++
	}
	return next, it.Err()
}
