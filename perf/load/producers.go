package load

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/wire"
)

// ProducerOptions describe Producers.
type ProducerOptions struct {
	Topic       string
	Partitions  int // connection i produces to partition i modulo this, but see Spread
	Connections int
	Window      int          // batches in flight on each connection
	Batch       record.Batch // what each request carries
	// Spread has the batches of a window go to one partition after the other,
	// beginning with connection times window.
	Spread bool
}

// Producers are connections that produce the same batch again and again, with
// acks=all.
type Producers struct {
	options ProducerOptions
	conns   []*producer
}

// NewProducers connects to the target. The connections end with ctx; Close them
// in any case.
func NewProducers(ctx context.Context, t Target, o ProducerOptions) (*Producers, error) {
	p := &Producers{options: o}
	for i := range o.Connections {
		conn, err := t.dial(ctx)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.conns = append(p.conns, newProducer(conn, t.protocol(), o, i))
	}
	return p, nil
}

// Close closes the connections.
func (p *Producers) Close() {
	for _, c := range p.conns {
		c.conn.Close()
	}
}

// TCP returns the options of our side of the first connection, and our address,
// by which the server's side can be found.
func (p *Producers) TCP() (tcp host.TCP, local netip.AddrPort, err error) {
	conn := p.conns[0].conn
	raw, err := conn.SyscallConn()
	if err != nil {
		return tcp, local, err
	}
	if e := raw.Control(func(fd uintptr) { tcp, err = host.SocketTCP(int(fd)) }); e != nil {
		return tcp, local, e
	}
	return tcp, conn.LocalAddr().(*net.TCPAddr).AddrPort(), err
}

// A ProduceRun is how much Producers are to produce: until they have reached
// either bound.
type ProduceRun struct {
	Batches int64         // of all connections together; 0: no bound
	Time    time.Duration // 0: no bound
	// Rate is how many batches all connections together send in a second, at most,
	// each its share; who could not send for a while catches up. 0: no bound.
	Rate float64
	// Burst is how many batches of a connection are due at once when there is a Rate;
	// 0: 1.
	Burst int
}

// Produced is what a run has done.
type Produced struct {
	Batches   int64
	Elapsed   time.Duration
	Latencies []time.Duration // of each batch, sorted: from sending it to its answer
}

// Run produces on all connections at once. When it returns, every batch that
// was sent has been answered. It waits for a server that does not answer until
// the context of NewProducers ends.
func (p *Producers) Run(r ProduceRun) (Produced, error) {
	var wg sync.WaitGroup
	errs := make([]error, len(p.conns))
	start := time.Now()
	for i, c := range p.conns {
		share := int64(-1)
		if r.Batches > 0 {
			share = r.Batches / int64(len(p.conns))
			if int64(i) < r.Batches%int64(len(p.conns)) {
				share++
			}
		}
		wg.Go(func() { errs[i] = c.run(share, r.Time, r.Rate/float64(len(p.conns)), int64(max(1, r.Burst))) })
	}
	wg.Wait()
	out := Produced{Elapsed: time.Since(start)}
	for _, c := range p.conns {
		out.Latencies = append(out.Latencies, c.latencies...)
		c.latencies = c.latencies[:0]
	}
	out.Batches = int64(len(out.Latencies))
	slices.Sort(out.Latencies)
	return out, errors.Join(errs...)
}

// producer is one connection. It is for one goroutine.
type producer struct {
	conn      *net.TCPConn
	protocol  protocol
	frames    []byte // window of them, one behind the other, with request ids from firstID on
	frameSize int
	window    int
	sentAt    []time.Time // of each frame
	latencies []time.Duration
	buffer    []byte
	have      int // bytes in buffer
}

const (
	// firstID is the request id of the first frame. Ids are used again, but not
	// of two requests in flight.
	firstID = 1

	// answersBytes has room for the answers of any sensible window.
	answersBytes = 64 << 10
)

// newProducer makes the number-th connection's.
func newProducer(conn *net.TCPConn, speaks protocol, o ProducerOptions, number int) *producer {
	p := &producer{conn: conn, protocol: speaks, window: o.Window, sentAt: make([]time.Time, o.Window), buffer: make([]byte, answersBytes)}
	for i := range o.Window {
		partition := number
		if o.Spread {
			partition = number*o.Window + i
		}
		p.frames = speaks.appendProduce(p.frames, o.Topic, int32(partition%o.Partitions), o.Batch, firstID+uint32(i))
	}
	p.frameSize = len(p.frames) / o.Window
	return p
}

// run produces count batches, unless that is negative, for at most limit, unless
// that is 0, and at most rate a second, unless that is 0.
//
// One goroutine sends and receives: while a send waits for the server, the few
// bytes of answers wait in the socket.
func (p *producer) run(count int64, limit time.Duration, rate float64, burst int64) error {
	start := time.Now()
	var sent, answered int64
	over := false
	for {
		now := time.Now()
		over = over || limit > 0 && now.Sub(start) >= limit
		room := int64(p.window) - (sent - answered)
		if count >= 0 {
			room = min(room, count-sent)
		}
		if rate > 0 {
			due := burst * (1 + int64(now.Sub(start).Seconds()*rate/float64(burst)))
			if sent == answered && sent == due && !over {
				time.Sleep(time.Duration(float64(due)/rate*float64(time.Second)) - now.Sub(start))
				continue
			}
			room = min(room, due-sent)
		}
		if room > 0 && !over {
			if err := p.send(sent, room, now); err != nil {
				return err
			}
			sent += room
		}
		if sent == answered {
			return nil
		}
		n, err := p.receive(answered)
		if err != nil {
			return err
		}
		answered += n
	}
}

// send sends the frames of batches first to first+count-1, which lie behind one
// another in at most two pieces.
func (p *producer) send(first, count int64, now time.Time) error {
	for count > 0 {
		at := first % int64(p.window)
		n := min(count, int64(p.window)-at)
		for i := range n {
			p.sentAt[at+i] = now
		}
		if _, err := p.conn.Write(p.frames[at*int64(p.frameSize) : (at+n)*int64(p.frameSize)]); err != nil {
			return err
		}
		first, count = first+n, count-n
	}
	return nil
}

// receive waits for the answers to batch first and those behind it, and returns
// how many came.
func (p *producer) receive(first int64) (count int64, err error) {
	for count == 0 {
		n, err := p.conn.Read(p.buffer[p.have:])
		if err != nil {
			return 0, err
		}
		p.have += n
		now := time.Now()
		rest := p.buffer[:p.have]
		for {
			at := (first + count) % int64(p.window)
			var ok bool
			if rest, ok, err = p.protocol.splitProduced(rest, firstID+uint32(at)); err != nil {
				return 0, err
			}
			if !ok {
				break
			}
			p.latencies = append(p.latencies, now.Sub(p.sentAt[at]))
			count++
		}
		p.have = copy(p.buffer, rest)
	}
	return count, nil
}

// checkProduced tells whether f says that batch id was appended.
func checkProduced(f wire.Frame, id uint32) error {
	if err := refusal(f); err != nil {
		return err
	}
	if f.RequestID != id {
		return fmt.Errorf("answer to request %d, want %d", f.RequestID, id)
	}
	_, err := wire.ParseProduced(f)
	return err
}
