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

// recipe makes the contestant of a name.
type recipe struct {
	name string
	make func(name string, o Options) (Contestant, error)
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
	{RollwayNative, newRollway},
	{RollwayKafka, newRollway},
	{Kafka, newKafka},
	{KafkaFsync, newKafka},
	{BareSendFile, newBare},
	{BareCopy, newBare},
	{BareSplice, newBare},
	{BareEpoll, newBare},
	{BareSink, newBare},
	{BareEpollSink, newBare},
	{BareURingSink, newBare},
	{BareFdatasync, newBare},
	{BareJournal, newBare},
	{NATS, newPeer},
	{KFake, newPeer},
}
