package broker

import (
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Each Kafka listener tells its clients its own address: the one that is
// advertised, or where they have come to.
func TestKafkaListeners(t *testing.T) {
	b := open(t, Options{
		DataDir:         t.TempDir(),
		Kafka:           "INSIDE://127.0.0.1:0,ANY://0.0.0.0:0,OUTSIDE://127.0.0.1:0",
		KafkaAdvertised: "OUTSIDE://logs.example.org:19092",
		AllowAnonymous:  true,
	})
	addrs := b.KafkaAddrs()
	f := func(at net.Addr, wantHost string, wantPort int) {
		t.Helper()
		port := at.(*net.TCPAddr).Port
		if wantPort == 0 {
			wantPort = port
		}
		seed := (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port}).String()
		client, err := kgo.NewClient(kgo.SeedBrokers(seed))
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		m := kmsg.NewPtrMetadataRequest()
		m.Topics = []kmsg.MetadataRequestTopic{}
		answer, err := m.RequestWith(t.Context(), client.SeedBrokers()[0])
		if err != nil {
			t.Fatal(err)
		}
		if got := answer.Brokers; len(got) != 1 || got[0].Host != wantHost || int(got[0].Port) != wantPort {
			t.Errorf("%v tells %+v, want %s:%d", at, got, wantHost, wantPort)
		}
	}
	f(addrs[0], "127.0.0.1", 0)
	f(addrs[1], "127.0.0.1", 0)
	f(addrs[2], "logs.example.org", 19092)
}
