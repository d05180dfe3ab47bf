package e2e

import (
	"encoding/binary"
	"fmt"
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
	if err := c.trySend(m, version); err != nil {
		c.t.Fatal(err)
	}
}

// receive reads the answer to m.
func (c *kafkaConn) receive(m kmsg.Request) kmsg.Response {
	c.t.Helper()
	answer, err := c.tryReceive(m)
	if err != nil {
		c.t.Fatal(err)
	}
	return answer
}

// trySend is send that returns the error, for other goroutines than the test's.
func (c *kafkaConn) trySend(m kmsg.Request, version int16) error {
	c.correlation++
	m.SetVersion(version)
	_, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, m, c.correlation))
	return err
}

// tryReceive is receive that returns the error.
func (c *kafkaConn) tryReceive(m kmsg.Request) (kmsg.Response, error) {
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return nil, err
	}
	head := make([]byte, 8)
	if _, err := io.ReadFull(c, head); err != nil {
		return nil, fmt.Errorf("answer to %s: %w", kmsg.NameForKey(m.Key()), err)
	}
	if got := int32(binary.BigEndian.Uint32(head[4:])); got != c.correlation {
		return nil, fmt.Errorf("answer to %s: correlation id %d, want %d", kmsg.NameForKey(m.Key()), got, c.correlation)
	}
	body := make([]byte, binary.BigEndian.Uint32(head)-4)
	if _, err := io.ReadFull(c, body); err != nil {
		return nil, err
	}
	if m.IsFlexible() && m.Key() != 18 {
		body = body[1:]
	}
	answer := m.ResponseKind()
	answer.SetVersion(m.GetVersion())
	return answer, answer.ReadFrom(body)
}

// tryAsk is ask that returns the error.
func (c *kafkaConn) tryAsk(m kmsg.Request, version int16) (kmsg.Response, error) {
	if err := c.trySend(m, version); err != nil {
		return nil, err
	}
	return c.tryReceive(m)
}

// ask sends a request and returns its answer.
func (c *kafkaConn) ask(m kmsg.Request, version int16) kmsg.Response {
	c.t.Helper()
	c.send(m, version)
	return c.receive(m)
}
