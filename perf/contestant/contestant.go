package contestant

import (
	"context"
	"errors"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

// Contestant is one that can be started. It may be started again after its Server
// was stopped, or in another directory beside it.
type Contestant interface {
	// Name is the one that New was given.
	Name() string
	// Start starts a server and waits until it is ready, for as long as ctx and its
	// own limit allow. The server does not end with ctx: Stop or Kill it.
	//
	// Errors: *UnavailableError; what the server said when it did not start.
	Start(ctx context.Context, s Setup) (Server, error)
}

// Setup is how a server is to be started.
type Setup struct {
	// Dir is where its data go; it is made if missing. A server that is started in
	// the directory of an earlier one of the same contestant recovers its topics.
	Dir string
	// Cores are those that the process may use; none: all that this one may.
	Cores []int
	// Durable leaves rollway as it comes: what is acknowledged is synced. Otherwise
	// its topics get flush.messages of the highest value, unless they are created
	// with another one. Contestants that have it in their name take no notice.
	Durable bool
	// Congestion is the algorithm of both ends, where an end can be told; empty: the
	// system's.
	Congestion string
	// Expect are topics of an earlier start in Dir: ready is who answers for each of
	// their partitions. Bare servers have none.
	Expect []Topic
}

// Topic is a topic and how many partitions it has.
type Topic struct {
	Name       string
	Partitions int
}

// Filling is what a log is to hold.
type Filling struct {
	Batch record.Batch // over and over
	Bytes int64        // of all of them
}

// Server is a running one. Its methods are for one goroutine.
type Server interface {
	// Target is where clients find it. Ask again after CreateTopic: a bare server
	// listens elsewhere for each topic.
	Target() load.Target
	// PID is the process that does the work.
	PID() int
	// DataDir is where its files are; empty if that is not known.
	DataDir() string
	// Ready is how long it took from the start of the process until it served a
	// topic that was created for it and, given Setup.Expect, all of those partitions;
	// 0 if it was there before.
	Ready() time.Duration
	// First is how long it took from the start of the process until a batch was
	// acknowledged on that topic; 0 if it was there before, or takes no batches.
	First() time.Duration

	// TopicConfigs is what Setup.Durable or the contestant's name says of topics, in
	// Kafka's names. Who makes one by other means than CreateTopic sets it there: else it
	// is synced or not as the server has it, and not as the run wants it. It is a copy.
	TopicConfigs() map[string]string
	// CreateTopic makes a topic, and returns when each of its partitions takes
	// batches. Configs are in Kafka's names, and go before what Setup.Durable or the
	// contestant's name says; nil: nothing beside that.
	CreateTopic(ctx context.Context, name string, partitions int, configs map[string]string) error
	// DeleteTopic deletes one. Its files may stay for the time that the server's
	// file.delete.delay.ms says.
	DeleteTopic(ctx context.Context, name string) error
	// Fill makes sure that partition 0 of a topic that was created holds so many
	// bytes of batches, rounded down to whole ones, and returns the log to read.
	// What is there is taken to be whole repetitions of the batch.
	Fill(ctx context.Context, topic string, f Filling) (load.Log, error)

	// Verify makes sure, from what the server gives back, that the first partitions
	// of a topic hold so many bytes of batches together, and that the first and the
	// last batch of each are whole and of the batch's length: so that all were given
	// the same work, and none has dropped any.
	Verify(ctx context.Context, topic string, partitions int, f Filling) error

	// Conditions are the version, the settings that differ from what it is shipped
	// with, its memory bounds and its command line.
	Conditions() []result.Condition

	// Stop ends it in order, as an operator does, and by SIGKILL if that takes too
	// long, which is an error. It may be called again, and after Kill.
	Stop(ctx context.Context) error
	// Kill ends it by SIGKILL and waits for its end. What it had not synced stays in
	// the page cache.
	Kill() error
}

// Driver is a Server that speaks neither of load's protocols: a client of its own,
// in a process beside it, does what load's clients do with others, and tells what
// came of it. Its Target is where it listens.
type Driver interface {
	Server
	// Produce is load.Producers' NewProducers and Run: a batch is a message to it.
	Produce(ctx context.Context, o load.ProducerOptions, r load.ProduceRun) (load.Produced, error)
	// Consume has so many connections read a filled log, together r.Bytes of it, and
	// discard it. r.Depth is the client's own.
	Consume(ctx context.Context, log load.Log, connections int, r load.FetchRun) (bytes int64, elapsed time.Duration, err error)
}

// Options are for all contestants of a run.
type Options struct {
	// Program is the rollway to start, see Build. Needed by rollway's contestants.
	Program string
	// KafkaLib is the directory of Kafka's jars; empty: where scripts/kafka puts them.
	KafkaLib string
	// Heap is the size of the JVM's heap, first and last; empty: 1g.
	Heap string
	// KafkaEndpoint is a broker that is running: the contestant kafka is that one.
	KafkaEndpoint string
	// KafkaPID is its process; 0: unknown, and then nothing is known of what it uses.
	KafkaPID int
	// Peers is the program of NATS and kfake, see BuildPeers. Needed by them.
	Peers string
	// Source is the root of rollway's source, of which FetchKafka reads what to fetch and
	// BuildPeers builds; empty: where the go command finds it.
	Source string
}

// UnavailableError says that this machine lacks what a contestant needs. The lab
// goes on without it.
type UnavailableError struct {
	Name   string // of the contestant
	Lacks  string // what is missing
	Remedy string // the next step; empty if there is none
}

func (e *UnavailableError) Error() string {
	text := e.Name + ": not available here: " + e.Lacks
	if e.Remedy != "" {
		text += "; " + e.Remedy
	}
	return text
}

// IsUnavailable tells whether err is, or wraps, an *UnavailableError.
func IsUnavailable(err error) bool {
	var e *UnavailableError
	return errors.As(err, &e)
}
