package client

import (
	"errors"
	"fmt"
)

var (
	// ErrClosed is the cause of the *ConnectionError after Client.Close.
	ErrClosed = errors.New("closed by this client")

	// ErrProducerClosed: the Producer was closed before the record was sent.
	ErrProducerClosed = errors.New("client: producer closed")

	// ErrRecordTooLarge: a record does not fit into a frame of this connection.
	ErrRecordTooLarge = errors.New("client: record too large")

	// ErrOvertaken: a batch was refused for now, and meanwhile the server took
	// a later one of the same partition, so that sending it again would change
	// the order. It was not appended.
	ErrOvertaken = errors.New("client: a later batch was appended before this one could be sent again")

	// ErrUnsubscribed: the Subscription was closed.
	ErrUnsubscribed = errors.New("client: subscription closed")

	// ErrEnded: the server has ended the Subscription without saying why.
	ErrEnded = errors.New("client: subscription ended by the server")
)

// ConnectionError is what all calls on a broken connection return. If the
// server has said why it closes, the chain holds its *wire.Error.
type ConnectionError struct {
	Addr string // as given to Dial
	Err  error  // the cause
}

// Error names the address and the cause.
func (e *ConnectionError) Error() string {
	return fmt.Sprintf("connection to %s: %v", e.Addr, e.Err)
}

// Unwrap returns the cause.
func (e *ConnectionError) Unwrap() error { return e.Err }

// InDoubtError says that the records of one batch may or may not be in the
// log, and may still get there: the connection ended before the answer, or the
// server answered that it does not know, and there was no other answer while the
// client went on trying. Without idempotence it does not try: sending them again
// may store them twice.
type InDoubtError struct {
	Topic     string
	Partition int32

	// Sequence numbers the first of the records among all that this Producer
	// was given for the partition, from 0. Those of the batch follow it.
	Sequence int64
	Records  int

	// Err is the cause: a *ConnectionError, a *wire.Error whose InDoubt is
	// true, or that of the context that ended Producer.Close.
	Err error
}

// Error names the partition, the range and the cause.
func (e *InDoubtError) Error() string {
	return fmt.Sprintf("produce to %s-%d: in doubt, records %d..%d of this producer: %v",
		e.Topic, e.Partition, e.Sequence, e.Sequence+int64(e.Records)-1, e.Err)
}

// Unwrap returns the cause.
func (e *InDoubtError) Unwrap() error { return e.Err }

// CorruptError says that what the server sent as batches of a partition is not
// what a log can hold. The connection is not concerned.
type CorruptError struct {
	Topic     string
	Partition int32
	Offset    int64 // the next that was expected
	Err       error // often one of package record
}

// Error names the partition, the offset and what is wrong.
func (e *CorruptError) Error() string {
	return fmt.Sprintf("%s-%d: batch at offset %d: %v", e.Topic, e.Partition, e.Offset, e.Err)
}

// Unwrap returns what is wrong.
func (e *CorruptError) Unwrap() error { return e.Err }
