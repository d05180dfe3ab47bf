package contestant

import (
	"fmt"
	"strings"
)

// Names of contestants.
const (
	RollwayNative = "rollway-native"
	RollwayKafka  = "rollway-kafka"
	Kafka         = "kafka"       // as it is shipped: what is acknowledged is in the page cache
	KafkaFsync    = "kafka-fsync" // with flush.messages=1: what is acknowledged is synced

	BareSendFile  = "bare-sendfile"   // fetch
	BareCopy      = "bare-copy"       // fetch
	BareSplice    = "bare-splice"     // fetch
	BareEpoll     = "bare-epoll"      // fetch, by an event loop
	BareEpollSink = "bare-epoll-sink" // produce into the page cache, by an event loop
	BareSink      = "bare-sink"       // produce into the page cache
	BareURingSink = "bare-uring-sink" // produce into the page cache, by io_uring
	BareFdatasync = "bare-fdatasync"  // produce, synced one by one
	BareJournal   = "bare-journal"    // produce, synced together

	NATS  = "nats"  // JetStream, driven by a client of its own
	KFake = "kfake" // franz-go's broker in memory
)

// Names returns all names, in the order in which the lab prints them.
func Names() []string {
	names := make([]string, 0, len(recipes))
	for _, r := range recipes {
		names = append(names, r.name)
	}
	return names
}

// Title is how pages call the contestant of that name; the name itself if there is
// none.
func Title(name string) string {
	for _, r := range recipes {
		if r.name == name {
			return r.title
		}
	}
	return name
}

// recipe makes the contestant of a name.
type recipe struct {
	name, title string
	make        func(name string, o Options) (Contestant, error)
}

// New returns the contestant of that name. It starts nothing.
//
// Errors: a name that Names does not have, options that it cannot do with.
func New(name string, o Options) (Contestant, error) {
	for _, r := range recipes {
		if r.name == name {
			return r.make(name, o)
		}
	}
	return nil, fmt.Errorf("contestant %q, want one of %s", name, strings.Join(Names(), ", "))
}

// recipes are all contestants.
var recipes = []recipe{
	{RollwayNative, "rollway, own protocol", newRollway},
	{RollwayKafka, "rollway, Kafka's protocol", newRollway},
	{Kafka, "Apache Kafka", newKafka},
	{KafkaFsync, "Apache Kafka, synced", newKafka},
	{BareSendFile, "bare sendfile", newBare},
	{BareCopy, "bare copy", newBare},
	{BareSplice, "bare splice", newBare},
	{BareEpoll, "bare sendfile, epoll", newBare},
	{BareSink, "bare pwritev", newBare},
	{BareEpollSink, "bare pwritev, epoll", newBare},
	{BareURingSink, "bare pwritev, io_uring", newBare},
	{BareFdatasync, "bare fdatasync", newBare},
	{BareJournal, "bare journal", newBare},
	{NATS, "NATS JetStream", newPeer},
	{KFake, "kfake", newPeer},
}
