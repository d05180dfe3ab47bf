package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"time"

	"github.com/rollway/rollway/wire"
)

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
