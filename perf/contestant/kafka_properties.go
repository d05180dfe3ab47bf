package contestant

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
)

// property is a line of a properties file.
type property struct{ key, value string }

// shippedProperties are those of the server.properties that Kafka comes with, less
// where it listens and keeps its data.
var shippedProperties = []property{
	{"process.roles", "broker,controller"},
	{"node.id", "1"},
	{"inter.broker.listener.name", "PLAINTEXT"},
	{"controller.listener.names", "CONTROLLER"},
	{"listener.security.protocol.map", "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"},
	{"num.network.threads", "3"},
	{"num.io.threads", "8"},
	{"socket.send.buffer.bytes", "102400"},
	{"socket.receive.buffer.bytes", "102400"},
	{"socket.request.max.bytes", "104857600"},
	{"num.partitions", "1"},
	{"offsets.topic.replication.factor", "1"},
	{"share.coordinator.state.topic.replication.factor", "1"},
	{"share.coordinator.state.topic.min.isr", "1"},
	{"transaction.state.log.replication.factor", "1"},
	{"transaction.state.log.min.isr", "1"},
	{"log.retention.hours", "168"},
	{"log.segment.bytes", "1073741824"},
	{"log.retention.check.interval.ms", "300000"},
}

// ownProperties are what the lab sets, and in what it differs from what is
// shipped.
func ownProperties(broker, controller netip.AddrPort, logDir string) []property {
	listeners := fmt.Sprintf("PLAINTEXT://%v,CONTROLLER://%v", broker, controller)
	return []property{
		{"listeners", listeners},
		{"advertised.listeners", listeners},
		{"controller.quorum.bootstrap.servers", controller.String()},
		{"log.dirs", logDir},
		// The broker's default; files that were shipped had 1 for long. Recovery is
		// measured, and the higher one is the better one for it.
		{"num.recovery.threads.per.data.dir", "2"},
	}
}

// formatProperties is the text of a properties file.
func formatProperties(properties []property) string {
	var b strings.Builder
	for _, p := range properties {
		fmt.Fprintf(&b, "%s=%s\n", p.key, strings.ReplaceAll(p.value, `\`, `\\`))
	}
	return b.String()
}

// readListener returns where a properties file that formatProperties wrote has the
// broker listen.
func readListener(path string) (netip.AddrPort, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return netip.AddrPort{}, err
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(strings.TrimSpace(line), "listeners=PLAINTEXT://"); ok {
			first, _, _ := strings.Cut(rest, ",")
			return netip.ParseAddrPort(first)
		}
	}
	return netip.AddrPort{}, fmt.Errorf("%s: no listeners=PLAINTEXT://HOST:PORT, want what the lab wrote", path)
}

// FreePorts returns addresses of 127.0.0.1 where nobody listens. Another program may
// take one before it is used: Kafka has to be told its ports, and then does not
// start.
func FreePorts(count int) ([]netip.AddrPort, error) {
	var addrs []netip.AddrPort
	for range count {
		ln, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer ln.Close() // only now: so that no port comes twice
		addrs = append(addrs, ln.Addr().(*net.TCPAddr).AddrPort())
	}
	return addrs, nil
}
