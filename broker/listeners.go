package broker

import (
	"context"
	"fmt"
	"net"
	"strconv"
	"strings"

	"github.com/rollway/rollway/internal/kafka"
	"github.com/rollway/rollway/internal/netloop"
)

// listeners are the sockets of a broker before anything is served on them.
type listeners struct {
	wire  *net.TCPListener // nil when it is off
	kafka []kafkaListener
	http  *net.TCPListener // nil when it is off
}

// kafkaListener is one listener of the Kafka protocol.
type kafkaListener struct {
	name       string // as in Kafka's listeners, upper case
	address    string
	advertised kafka.Address
	socket     *net.TCPListener // nil until it listens
}

// listen listens everywhere, or nowhere and returns why.
func (o Options) listen() (l listeners, err error) {
	defer func() {
		if err != nil {
			l.close()
		}
	}()
	if l.kafka, err = parseKafkaListeners(o.kafka(), o.KafkaAdvertised); err != nil {
		return l, err
	}
	if address := o.wire(); address != Off {
		if l.wire, err = o.listenOn("wire", address); err != nil {
			return l, err
		}
	}
	for i := range l.kafka {
		k := &l.kafka[i]
		if k.socket, err = o.listenOn("kafka", k.address); err != nil {
			return l, err
		}
	}
	if address := o.http(); address != Off {
		if l.http, err = o.listenOn("http", address); err != nil {
			return l, err
		}
	}
	return l, nil
}

// close closes the sockets.
func (l *listeners) close() {
	if l.wire != nil {
		l.wire.Close()
	}
	if l.http != nil {
		l.http.Close()
	}
	for _, k := range l.kafka {
		if k.socket != nil {
			k.socket.Close()
		}
	}
}

// listenOn listens on address, for the protocol what.
func (o Options) listenOn(what, address string) (*net.TCPListener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s listener %s: %w", what, address, err)
	}
	if !resolved.IP.IsLoopback() && !o.AllowAnonymous {
		may := "read, write and delete"
		if what == "http" {
			may = "see which topics there are and what they are used for"
		}
		return nil, fmt.Errorf("%s listener %s is not on loopback, and there is no authentication: whoever reaches it may %s; "+
			"listen on 127.0.0.1, or allow anonymous access (AllowAnonymous, --allow-anonymous)", what, address, may)
	}
	// What was checked is what is listened on: the name is not resolved again.
	ln, err := netloop.Listen(context.Background(), resolved.String())
	if err != nil {
		return nil, fmt.Errorf("%s listener %s: %w", what, address, err)
	}
	return ln, nil
}

// parseKafkaListeners reads Options.Kafka and Options.KafkaAdvertised.
func parseKafkaListeners(addresses, advertised string) ([]kafkaListener, error) {
	if addresses == Off {
		return nil, nil
	}
	var list []kafkaListener
	for _, text := range strings.Split(addresses, ",") {
		name, address := splitListener(text)
		if err := checkProtocol(name); err != nil {
			return nil, fmt.Errorf("kafka listener %s: %w", text, err)
		}
		if _, _, err := net.SplitHostPort(address); err != nil {
			return nil, fmt.Errorf("kafka listener %s: want HOST:PORT or NAME://HOST:PORT: %w", text, err)
		}
		if byName(list, name) != nil {
			return nil, fmt.Errorf("kafka listeners: %s comes twice in %s, want a name for each", name, addresses)
		}
		list = append(list, kafkaListener{name: name, address: address})
	}
	if advertised == "" {
		return list, nil
	}
	return list, advertise(list, advertised)
}

// advertise gives listeners the addresses that clients are told.
func advertise(list []kafkaListener, advertised string) error {
	for _, text := range strings.Split(advertised, ",") {
		name, address := splitListener(text)
		k := byName(list, name)
		if k == nil && len(list) == 1 && !strings.Contains(text, "://") {
			k = &list[0]
		}
		if k == nil {
			return fmt.Errorf("kafka advertised listener %s: no listener is called %s", text, name)
		}
		if k.advertised != (kafka.Address{}) {
			return fmt.Errorf("kafka advertised listeners: %s comes twice in %s", name, advertised)
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return fmt.Errorf("kafka advertised listener %s: want HOST:PORT or NAME://HOST:PORT: %w", text, err)
		}
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil {
			return fmt.Errorf("kafka advertised listener %s: port %q, want 0 to 65535, 0 being the one that is listened on", text, port)
		}
		if ip := net.ParseIP(host); ip.IsUnspecified() {
			return fmt.Errorf("kafka advertised listener %s: no client can connect to %s; leave the host out, and each is told the address that it came to", text, host)
		}
		k.advertised = kafka.Address{Host: host, Port: int32(n)}
	}
	return nil
}

// splitListener takes NAME://HOST:PORT apart; without a name it is PLAINTEXT.
// Names are in upper case, since Kafka's do not tell cases apart.
func splitListener(text string) (name, address string) {
	name, address, found := strings.Cut(strings.TrimSpace(text), "://")
	if !found {
		return "PLAINTEXT", name
	}
	return strings.ToUpper(name), address
}

// checkProtocol refuses the names that mean what is not there yet.
func checkProtocol(name string) error {
	switch name {
	case "":
		return fmt.Errorf("its name is empty, want NAME://HOST:PORT")
	case "SSL", "SASL_SSL", "SASL_PLAINTEXT":
		return fmt.Errorf("security protocol %s is not there yet, want PLAINTEXT", name)
	}
	return nil
}

func byName(list []kafkaListener, name string) *kafkaListener {
	for i := range list {
		if list[i].name == name {
			return &list[i]
		}
	}
	return nil
}
