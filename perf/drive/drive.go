// Package drive is what perf/contestant asks the client of a peer that speaks
// neither of the lab's protocols, and what that answers, as lines of JSON that
// perf/child carries. The client is in a module of its own, perf/peers.
package drive

import "time"

// Question asks for one thing: one of its fields is set.
type Question struct {
	Create  *Topic   `json:",omitempty"`
	Delete  *Topic   `json:",omitempty"`
	Look    *Topic   `json:",omitempty"` // what it holds
	Produce *Produce `json:",omitempty"`
	Consume *Consume `json:",omitempty"`
}

// Topic is a topic and its partitions.
type Topic struct {
	Name       string
	Partitions int
}

// Produce is load.ProducerOptions and load.ProduceRun. A batch is a message.
type Produce struct {
	Topic       Topic
	Connections int
	Window      int
	Batch       []byte
	Batches     int64         // 0: no bound
	Time        time.Duration // 0: no bound
	Rate        float64       // batches a second; 0: no bound
}

// Consume is to read partition 0 over and over, on each connection its share of so
// many bytes, and to discard it, until either bound is reached.
type Consume struct {
	Topic       string
	Connections int
	Bytes       int64         // of all connections together
	Time        time.Duration // when it ends at the latest; 0: no bound
	MaxBytes    int           // of what is asked for at a time
}

// Answer has what was asked for.
type Answer struct {
	Error     string          `json:",omitempty"` // why nothing came of it
	Batches   int64           // that were produced, or are there
	Bytes     int64           // that were consumed
	Elapsed   time.Duration   // of the produce or consume
	Latencies []time.Duration `json:",omitempty"` // of each batch, in no order
	Ends      [][]byte        `json:",omitempty"` // first and last batch of each partition that has any
}
