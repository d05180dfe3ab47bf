package load

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// Tailer fetches from partition 0 what is appended there, as soon as it is, and
// discards it. All batches have one length. It is for one goroutine but for Bytes.
type Tailer struct {
	log      Log
	protocol protocol
	socket   *socket
	request  []byte
	id       uint32
	next     int64 // byte of the log that the next request begins at
	bytes    atomic.Int64
}

// tailWait is how long a request waits at the end of the log: the default of
// Kafka's consumers.
const tailWait = 500 * time.Millisecond

// NewTailer connects to the target. It begins at offset 0; log.Bytes does not
// matter. It ends with ctx; Close it in any case.
func NewTailer(ctx context.Context, t Target, log Log) (*Tailer, error) {
	s, err := t.dialSocket(ctx)
	if err != nil {
		return nil, err
	}
	return &Tailer{log: log, protocol: t.protocol(), socket: s, id: 1}, nil // 1 was the Hello
}

// Close closes the connection.
func (t *Tailer) Close() error { return t.socket.Close() }

// Bytes returns how many bytes of batches have come so far.
func (t *Tailer) Bytes() int64 { return t.bytes.Load() }

// Run fetches until so many bytes have come, in all runs together, one request in
// flight, in answers of at most maxBytes, a multiple of a batch's.
func (t *Tailer) Run(bytes int64, maxBytes int) error {
	if int64(maxBytes)%t.log.BatchBytes != 0 || maxBytes == 0 {
		return fmt.Errorf("answers of %d bytes from a log in batches of %d, want whole batches", maxBytes, t.log.BatchBytes)
	}
	for t.next < bytes {
		t.id = max(1, t.id+1)
		f := fetch{topic: t.log.Topic, offset: t.next / t.log.BatchBytes * t.log.Step, maxBytes: maxBytes, waitMax: tailWait}
		t.request = t.protocol.appendFetch(t.request[:0], f, t.id)
		if _, err := t.socket.Write(t.request); err != nil {
			return err
		}
		n, behind, err := t.protocol.readTail(t.socket, t.log.Topic, t.id)
		if err == nil {
			err = t.socket.skip(n + behind)
		}
		if err != nil {
			return err
		}
		if int64(n)%t.log.BatchBytes != 0 {
			return fmt.Errorf("answer of %d bytes at offset %d, want whole batches of %d", n, f.offset, t.log.BatchBytes)
		}
		t.next += int64(n)
		t.bytes.Add(int64(n))
	}
	return nil
}
