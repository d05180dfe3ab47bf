package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaConn is one connection to a Kafka listener, in raw frames.
type kafkaConn struct {
	net.Conn
	t           testing.TB
	correlation int32
}

// dialKafka connects to s, until the test ends.
func dialKafka(t testing.TB, s *server) *kafkaConn {
	t.Helper()
	conn, err := net.Dial("tcp", s.kafka)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &kafkaConn{Conn: conn, t: t}
}

// send sends a request.
func (c *kafkaConn) send(m kmsg.Request, version int16) {
	c.t.Helper()
	c.correlation++
	m.SetVersion(version)
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, m, c.correlation)); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to m.
func (c *kafkaConn) receive(m kmsg.Request) kmsg.Response {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		c.t.Fatal(err)
	}
	head := make([]byte, 8)
	if _, err := io.ReadFull(c, head); err != nil {
		c.t.Fatalf("answer to %s: %v", kmsg.NameForKey(m.Key()), err)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != c.correlation {
		c.t.Fatalf("correlation id %d, want %d", got, c.correlation)
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(c, body); err != nil {
		c.t.Fatal(err)
	}
	if m.IsFlexible() && m.Key() != 18 {
		body = body[1:]
	}
	answer := m.ResponseKind()
	if err := answer.ReadFrom(body); err != nil {
		c.t.Fatal(err)
	}
	return answer
}

// ask sends a request and returns its answer.
func (c *kafkaConn) ask(m kmsg.Request, version int16) kmsg.Response {
	c.t.Helper()
	c.send(m, version)
	return c.receive(m)
}
