package load

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/netip"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/host"
)

// A Log is what a Consumer reads, over and over: batches of one length, from
// offset 0 on.
type Log struct {
	Topic      string
	Bytes      int64 // of all batches
	BatchBytes int64
	Step       int64 // how much a batch adds to the offset
}

// Consumer fetches from partition 0 of a log on one connection and discards
// what it gets. It is for one goroutine.
type Consumer struct {
	log      Log
	protocol protocol
	socket   *socket
	request  []byte
	sent     uint32 // request ids
	answered uint32
	next     int64  // byte of the log that the next request begins at
	sum      uint32 // of what a Busy run looks at
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewConsumer connects to the target. It ends with ctx; Close it in any case.
func NewConsumer(ctx context.Context, t Target, log Log) (*Consumer, error) {
	s, err := t.dialSocket(ctx)
	if err != nil {
		return nil, err
	}
	return &Consumer{log: log, protocol: t.protocol(), socket: s, sent: 1, answered: 1}, nil // 1 was the Hello
}

// Close closes the connection.
func (c *Consumer) Close() error { return c.socket.Close() }

// TCP returns the options of our side, and our address, by which the server's
// side can be found.
func (c *Consumer) TCP() (host.TCP, netip.AddrPort, error) {
	local, err := c.socket.local()
	if err != nil {
		return host.TCP{}, local, err
	}
	tcp, err := c.socket.options()
	return tcp, local, err
}

// A FetchRun is what a Consumer is to do.
type FetchRun struct {
	Bytes    int64         // in all; rounded up to whole answers
	Time     time.Duration // after which no more is asked for; 0: no bound
	MaxBytes int           // of one answer; divides the log and is a multiple of its batches
	Depth    int           // requests in flight
	Rate     float64       // answers in a second that are asked for, at most; 0: no bound
	// Copy is how many bytes of an answer a receive copies into memory, at most, as
	// readers do that look at what they get; 0: the kernel discards them.
	Copy int
	// Busy has it check what it has got, over and over, until more is due, as readers
	// are busy that decode; otherwise it sleeps.
	Busy bool
}

// wait waits until one more answer is due, when so many were asked for since start.
func (c *Consumer) wait(r FetchRun, start time.Time, asked int64) {
	if r.Rate == 0 {
		return
	}
	due := start.Add(time.Duration(float64(asked) / r.Rate * float64(time.Second)))
	for r.Busy && time.Now().Before(due) {
		c.sum = crc32.Update(c.sum, castagnoli, c.socket.discard[:min(max(r.Copy, 4<<10), discardBytes)])
	}
	time.Sleep(time.Until(due))
}

// Run fetches and returns the bytes of batches that came and how long it took.
func (c *Consumer) Run(r FetchRun) (bytes int64, elapsed time.Duration, err error) {
	if r.Depth < 1 || int64(r.MaxBytes)%c.log.BatchBytes != 0 || c.log.Bytes%int64(r.MaxBytes) != 0 {
		return 0, 0, fmt.Errorf("fetch %+v from a log of %d bytes in batches of %d, want whole batches and answers",
			r, c.log.Bytes, c.log.BatchBytes)
	}
	c.next -= c.next % int64(r.MaxBytes) // where the last run, of other answers, has ended
	answers := (r.Bytes + int64(r.MaxBytes) - 1) / int64(r.MaxBytes)
	start := time.Now()
	asked, got := int64(0), int64(0)
	for ; got < answers; got++ {
		if r.Time > 0 && time.Since(start) >= r.Time {
			answers = asked // what is in flight
			if got == answers {
				break
			}
		}
		if more := min(answers, got+int64(r.Depth)) - asked; more > 0 {
			c.wait(r, start, asked)
			if err := c.ask(r.MaxBytes, int(more)); err != nil {
				return 0, 0, err
			}
			asked += more
		}
		behind, err := c.nextAnswer(r.MaxBytes)
		if err == nil {
			err = c.discard(r.MaxBytes+behind, r.Copy)
		}
		if err != nil {
			return 0, 0, err
		}
	}
	return got * int64(r.MaxBytes), time.Since(start), nil
}

// ask sends requests for what follows.
func (c *Consumer) ask(maxBytes, count int) error {
	c.request = c.request[:0]
	for range count {
		c.sent = max(1, c.sent+1) // 0 is no request id
		f := fetch{topic: c.log.Topic, offset: c.next / c.log.BatchBytes * c.log.Step, maxBytes: maxBytes}
		c.request = c.protocol.appendFetch(c.request, f, c.sent)
		c.next = (c.next + int64(maxBytes)) % c.log.Bytes
	}
	_, err := c.socket.Write(c.request)
	return err
}

// nextAnswer reads what stands before the batches of an answer, of maxBytes, and
// returns how many bytes stand behind them.
func (c *Consumer) nextAnswer(maxBytes int) (behind int, err error) {
	c.answered = max(1, c.answered+1)
	return c.protocol.readFetched(c.socket, c.log.Topic, maxBytes, c.answered)
}

// discard reads n bytes of an answer, see FetchRun.Copy.
func (c *Consumer) discard(n, copied int) error {
	if copied == 0 {
		return c.socket.skip(n)
	}
	for n > 0 {
		done, err := c.socket.Read(c.socket.discard[:min(n, copied, discardBytes)])
		if err != nil {
			return err
		}
		n -= done
	}
	return nil
}

// Check fetches maxBytes once, in full, and verifies each batch.
func (c *Consumer) Check(maxBytes int) error {
	if err := c.ask(maxBytes, 1); err != nil {
		return err
	}
	behind, err := c.nextAnswer(maxBytes)
	if err != nil {
		return err
	}
	rest := make([]byte, maxBytes+behind)
	if _, err := io.ReadFull(c.socket, rest); err != nil {
		return err
	}
	rest = rest[:maxBytes]
	for len(rest) > 0 {
		var b record.Batch
		if b, rest, err = record.Next(rest); err != nil {
			return err
		}
		if err := b.Verify(); err != nil {
			return err
		}
		if int64(b.Size()) != c.log.BatchBytes {
			return fmt.Errorf("batch of %d bytes, want %d", b.Size(), c.log.BatchBytes)
		}
	}
	return nil
}
