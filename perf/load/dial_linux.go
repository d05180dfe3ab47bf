package load

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/wire"
)

// answerTime is how long a client waits for a server that has stopped
// answering.
const answerTime = 30 * time.Second

// A Target is where a server is and what the connection to it is to be like.
type Target struct {
	Addr       netip.AddrPort
	Congestion string // congestion control algorithm of the client's side; empty: the system's
	Kafka      bool   // the server there speaks Kafka's protocol, and not rollway's
}

// protocol returns what is spoken on a connection to t.
func (t Target) protocol() protocol {
	if t.Kafka {
		return new(kafka)
	}
	return new(native)
}

// dial connects and opens the conversation. The connection is closed when ctx
// ends.
func (t Target) dial(ctx context.Context) (*net.TCPConn, error) {
	d := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) (err error) {
		if e := raw.Control(func(fd uintptr) { err = setCongestion(int(fd), t.Congestion) }); e != nil {
			return e
		}
		return err
	}}
	c, err := d.DialContext(ctx, "tcp4", t.Addr.String())
	if err != nil {
		return nil, err
	}
	conn := c.(*net.TCPConn)
	context.AfterFunc(ctx, func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(answerTime))
	if err := t.protocol().open(conn); err != nil {
		conn.Close()
		return nil, err
	}
	conn.SetDeadline(time.Time{})
	return conn, nil
}

func setCongestion(fd int, name string) error {
	if name == "" {
		return nil
	}
	if err := unix.SetsockoptString(fd, unix.IPPROTO_TCP, unix.TCP_CONGESTION, name); err != nil {
		return fmt.Errorf("setsockopt TCP_CONGESTION %s: %w; see /proc/sys/net/ipv4/tcp_available_congestion_control", name, err)
	}
	return nil
}

// hello opens the conversation.
func hello(conn io.ReadWriter) error {
	m := wire.Hello{MinVersion: wire.Version, MaxVersion: wire.Version, Software: "rollway-bench", SoftwareVersion: "1"}
	if _, err := conn.Write(m.AppendTo(nil, 1)); err != nil {
		return err
	}
	f, err := readFrame(conn)
	if err != nil {
		return err
	}
	_, err = wire.ParseWelcome(f)
	return err
}

// readFrame reads one frame in full. An Error is an error.
func readFrame(conn io.Reader) (wire.Frame, error) {
	p := make([]byte, wire.HeadSize)
	if _, err := io.ReadFull(conn, p); err != nil {
		return wire.Frame{}, err
	}
	h, err := wire.ParseHead(p)
	if err != nil {
		return wire.Frame{}, err
	}
	f := wire.Frame{Head: h, Payload: make([]byte, h.Length)}
	if _, err := io.ReadFull(conn, f.Payload); err != nil {
		return wire.Frame{}, err
	}
	return f, refusal(f)
}

// refusal returns the Error in f if it is one.
func refusal(f wire.Frame) error {
	if f.Kind != wire.KindError {
		return nil
	}
	e, err := wire.ParseError(f)
	if err != nil {
		return err
	}
	return e
}

// CreateTopic makes a topic.
func (t Target) CreateTopic(ctx context.Context, topic wire.CreateTopic) error {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	conn, err := t.dial(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(topic.AppendTo(nil, 2)); err != nil {
		return err
	}
	f, err := readFrame(conn)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", topic.Topic, err)
	}
	_, err = wire.ParseDone(f)
	return err
}
