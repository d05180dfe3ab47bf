package broker

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/wire"
)

// answers tells whether the other end of conn answers request: if not, it has
// closed the connection.
func answers(conn net.Conn, request []byte) bool {
	if _, err := conn.Write(request); err != nil {
		return false
	}
	_, err := conn.Read(make([]byte, 64<<10)) // an answer is one write
	return err == nil
}

// ownAddress returns an address of this host that is not loopback, "" if there is
// none.
func ownAddress() string {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() && n.IP.To4() != nil {
			return n.IP.String()
		}
	}
	return ""
}

// Bounds of connections that are altered hold for the next that comes, to listeners of both protocols, each on its own,
// and after another start; who is there stays.
func TestAlterConnectionLimits(t *testing.T) {
	dir := t.TempDir()
	start := func() *Broker {
		return open(t, Options{DataDir: dir, Wire: "0.0.0.0:0", Kafka: "0.0.0.0:0", AllowAnonymous: true, MaxConnections: 1})
	}
	b := start()
	alter := func(name string, bound int) {
		t.Helper()
		if err := b.node.AlterSettings(false, map[string]string{name: strconv.Itoa(bound)}, nil); err != nil {
			t.Fatal(err)
		}
	}
	versions := kmsg.NewRequestFormatter().AppendRequest(nil, kmsg.NewPtrApiVersionsRequest(), 1)
	hello := (&wire.Hello{MinVersion: 1, MaxVersion: 1, Software: "test", SoftwareVersion: "1"}).AppendTo(nil, 1)
	topics := (&wire.ListTopics{}).AppendTo(nil, 2)
	for _, protocol := range []struct {
		name         string
		at           func() net.Addr
		first, later []byte // requests of a connection
	}{
		{"kafka", func() net.Addr { return b.KafkaAddrs()[0] }, versions, versions},
		{"wire", func() net.Addr { return b.WireAddr() }, hello, topics},
	} {
		t.Run(protocol.name, func(t *testing.T) {
			var there []net.Conn
			// call has so many let in from host and the next one refused.
			call := func(host string, more int) {
				t.Helper()
				for i := range more + 1 {
					at := net.JoinHostPort(host, strconv.Itoa(protocol.at().(*net.TCPAddr).Port))
					conn, err := net.Dial("tcp", at)
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { conn.Close() })
					conn.SetDeadline(time.Now().Add(time.Minute)) // a test that hangs
					switch in := answers(conn, protocol.first); {
					case in != (i < more):
						t.Fatalf("connection %d to %s let in: %v, want %d more", i+1, host, in, more)
					case in:
						there = append(there, conn)
					}
				}
				for i, conn := range there {
					if !answers(conn, protocol.later) {
						t.Fatalf("connection %d of %d was ended", i+1, len(there))
					}
				}
			}
			call("127.0.0.1", 1)
			alter("max.connections", 3)
			call("127.0.0.1", 2)
			alter("max.connections", 2)
			call("127.0.0.1", 0)
			if own := ownAddress(); own != "" {
				alter("max.connections", 10)
				alter("max.connections.per.ip", 2)
				call(own, 2)
				alter("max.connections.per.ip", 3)
				call(own, 1)
				alter("max.connections.per.ip", 1)
				call(own, 0)
				call("127.0.0.1", 4)
			}
			alter("max.connections", 2)
			b.Close()
			b, there = start(), nil
			call("127.0.0.1", 2)
			alter("max.connections", 1)
		})
	}
}
