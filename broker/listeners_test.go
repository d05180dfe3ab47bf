package broker

import (
	"net"
	"strings"
	"testing"
)

// Listeners are read in Kafka's syntax, and what cannot be meant is named.
func TestParseKafkaListeners(t *testing.T) {
	good := func(addresses, advertised string, want ...string) {
		t.Helper()
		list, err := parseKafkaListeners(addresses, advertised)
		if err != nil {
			t.Errorf("%q, %q: %v", addresses, advertised, err)
			return
		}
		var got []string
		for _, k := range list {
			got = append(got, k.name+" "+k.address+" "+net.JoinHostPort(k.advertised.Host, itoa(k.advertised.Port)))
		}
		if strings.Join(got, ", ") != strings.Join(want, ", ") {
			t.Errorf("%q, %q: %q, want %q", addresses, advertised, got, want)
		}
	}
	bad := func(addresses, advertised, text string) {
		t.Helper()
		if _, err := parseKafkaListeners(addresses, advertised); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("%q, %q: error %v, want %q in it", addresses, advertised, err, text)
		}
	}
	good(Off, "")
	good(Off, "PLAINTEXT://a:1")
	good("127.0.0.1:0", "", "PLAINTEXT 127.0.0.1:0 :0")
	good("127.0.0.1:0", "host:9092", "PLAINTEXT 127.0.0.1:0 host:9092")
	good("inside://:9092, OUTSIDE://[::1]:9094", "outside://[2001:db8::1]:19094", "INSIDE :9092 :0", "OUTSIDE [::1]:9094 [2001:db8::1]:19094")
	good("INSIDE://:9092", "host:1", "INSIDE :9092 host:1")
	good("PLAINTEXT://:9092", "PLAINTEXT://:1", "PLAINTEXT :9092 :1")

	bad("127.0.0.1", "", "want HOST:PORT")
	bad("", "", "want HOST:PORT")
	bad("A://h:1,a://h:2", "", "A comes twice")
	bad("://h:1", "", "name is empty")
	bad("SASL_SSL://h:1", "", "SASL_SSL is not there yet")
	bad("A://h:1", "B://h:2", "no listener is called B")
	bad("A://h:1", "A://h:2,A://h:3", "A comes twice")
	bad("A://h:1", "A://h", "want HOST:PORT")
	bad("A://h:1", "A://h:99999", `port "99999"`)
	bad("A://h:1", "A://0.0.0.0:9092", "no client can connect to 0.0.0.0")
}

func itoa(n int32) string { return strings.TrimPrefix((&net.TCPAddr{Port: int(n)}).String(), ":") }
