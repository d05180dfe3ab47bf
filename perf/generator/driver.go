package generator

import (
	"context"
	"errors"
	"fmt"
)

// Target is where a workload is run: one of both.
type Target struct {
	Kafka  string // HOST:PORT of a broker of Kafka's protocol, or several with commas between
	Native string // HOST:PORT of a rollway server's own protocol
}

// String names address and protocol.
func (t Target) String() string {
	if t.Kafka != "" {
		return "kafka://" + t.Kafka
	}
	return "rollway://" + t.Native
}

// driver is one protocol. Its methods may be called concurrently.
type driver interface {
	// createTopic makes a topic and returns when all of its partitions take messages.
	createTopic(ctx context.Context, topic string) error
	deleteTopic(ctx context.Context, topic string) error
	// ends returns the offset behind the last message, by partition.
	ends(ctx context.Context, topic string) ([]int64, error)
	// newSender returns a sender to a topic. delivered is told the fate of all that
	// it takes, never concurrently: count messages from sequence on, in the order of
	// each partition, have these times; err is nil if they were acknowledged. dues is
	// valid until it returns. It must not call the sender.
	newSender(ctx context.Context, topic string, delivered func(partition int32, sequence int64, dues []int64, err error)) (sender, error)
	// newReceiver returns a receiver of partitions of a topic, each from its start on.
	newReceiver(ctx context.Context, topic string, partitions []int32) (receiver, error)
	close()
}

// sender sends the messages of one worker, on a connection of its own.
type sender interface {
	// send takes a message with a sequence of its own in its partition, from 0 on. It
	// keeps none of its arguments. It may wait for room; not for an answer.
	send(ctx context.Context, m *message, key, value []byte) error
	// flush waits until the fate of everything was told, or ctx ends.
	flush(ctx context.Context) error
	// close gives up what is not sent.
	close()
}

// receiver receives the messages of one consumer, on a connection of its own. It is
// for one goroutine.
type receiver interface {
	// receive waits for messages and calls take for each that has come, in the order
	// of the log within a partition. value is valid during the call. What came before
	// an error was taken.
	//
	// Errors: a *corruptError; the cause of ctx; others, for good.
	receive(ctx context.Context, take func(partition int32, offset int64, value []byte)) error
	close()
}

// corruptError says that what came of a partition is not what a log can hold.
type corruptError struct{ err error }

func (e *corruptError) Error() string { return e.err.Error() }
func (e *corruptError) Unwrap() error { return e.err }

// newDriver connects to the target.
func newDriver(ctx context.Context, w Workload, t Target, o Options) (driver, error) {
	switch {
	case (t.Kafka == "") == (t.Native == ""):
		return nil, errors.New("target: want the address of Kafka's protocol or of rollway's own, one of them")
	case t.Kafka != "":
		d, err := newKafkaDriver(ctx, w, t.Kafka, o)
		return orNil(d, err)
	}
	d, err := newNativeDriver(ctx, w, t.Native, o)
	return orNil(d, err)
}

// orNil keeps a nil of a driver's own type out of the interface.
func orNil[D driver](d D, err error) (driver, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

// notAcknowledged is what went wrong with messages, for the first that a worker
// reports.
type notAcknowledged struct {
	topic     string
	partition int32
	err       error
}

func (e *notAcknowledged) Error() string {
	return fmt.Sprintf("produce to %s-%d: %v", e.topic, e.partition, e.err)
}
func (e *notAcknowledged) Unwrap() error { return e.err }
