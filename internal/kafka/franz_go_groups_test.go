package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Consumers of another implementation share a topic, take over from one that is
// killed, by either way to rebalance, and go on where the last ones have
// committed: everything is read, and nothing again of what was committed.
func TestFranzGoGroups(t *testing.T) {
	t.Parallel() // it waits for most of its time
	for name, balancer := range map[string]func() kgo.GroupBalancer{"eager": kgo.RangeBalancer, "cooperative": kgo.CooperativeStickyBalancer} {
		t.Run(name, func(t *testing.T) {
			f := openGroups(t, "group.min.session.timeout.ms", "1")
			createTopic(t, f, "six", 6)
			s := serveThere(t, f)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			g := &consumers{t: t, ctx: ctx, addr: s.Addr().String(), balancer: balancer, seen: map[string]int{}}
			a, b, killed := g.start(), g.start(), g.start()
			g.produce("first", 600)
			g.await("first", 600)
			// All three have partitions before one is killed.
			for i := 0; !a.has(1) || !b.has(1) || !killed.has(1); i++ {
				g.produce(fmt.Sprint("more", i), 60)
				g.await(fmt.Sprint("more", i), 60)
			}
			killed.kill()
			g.produce("second", 600)
			g.await("second", 600)
			for _, c := range []*consumer{a, b} {
				c.stop()
				if err := c.client.CommitUncommittedOffsets(ctx); err != nil {
					t.Errorf("commit: %v", err)
				}
				c.client.Close()
			}
			g.forget()
			g.produce("third", 600)
			last := g.start()
			g.await("third", 600)
			last.stop()
			last.client.Close()
			if len(g.seen) != 600 {
				t.Errorf("%d records were read by who came last, want the 600 that were not committed", len(g.seen))
			}
			for record, times := range g.seen {
				if times != 1 {
					t.Errorf("%s was read %d times by who came last", record, times)
				}
			}
		})
	}
}

// consumers are the members of one group, and what they have read.
type consumers struct {
	t        *testing.T
	ctx      context.Context
	addr     string
	balancer func() kgo.GroupBalancer

	mu   sync.Mutex
	seen map[string]int // records, how often each was read
}

// consumer is one of them.
type consumer struct {
	group  *consumers
	client *kgo.Client
	stop   func() // ends its polls

	mu    sync.Mutex
	read  int
	conns []net.Conn
	dead  bool
}

// start adds a member that polls until it is stopped.
func (g *consumers) start() *consumer {
	g.t.Helper()
	c := &consumer{group: g}
	var err error
	c.client, err = kgo.NewClient(
		kgo.SeedBrokers(g.addr), kgo.ConsumerGroup("g"), kgo.ConsumeTopics("six"), kgo.Balancers(g.balancer()), kgo.Dialer(c.dial),
		kgo.SessionTimeout(time.Second), kgo.HeartbeatInterval(50*time.Millisecond), kgo.RebalanceTimeout(5*time.Second),
		kgo.AutoCommitInterval(100*time.Millisecond), kgo.FetchMaxWait(50*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 10 * time.Millisecond }),
	)
	if err != nil {
		g.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(g.ctx)
	done := make(chan struct{})
	c.stop = func() {
		cancel()
		<-done
	}
	g.t.Cleanup(func() {
		c.kill()
		c.client.Close()
	})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			c.client.PollFetches(ctx).EachRecord(c.took)
		}
	}()
	return c
}

func (c *consumer) took(r *kgo.Record) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return // nobody has seen what a killed one was about to read
	}
	c.read++
	c.group.mu.Lock()
	c.group.seen[string(r.Value)]++
	c.group.mu.Unlock()
}

// has tells whether it has read n records.
func (c *consumer) has(n int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read >= n
}

func (c *consumer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.dead {
		return nil, errors.New("killed")
	}
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

// kill ends the member as a crash does: the group is not told.
func (c *consumer) kill() {
	c.mu.Lock()
	c.dead = true
	for _, conn := range c.conns {
		conn.Close()
	}
	c.mu.Unlock()
	c.stop()
}

// produce writes n records that begin with a word, in turn to all partitions.
func (g *consumers) produce(word string, n int) {
	g.t.Helper()
	p, err := kgo.NewClient(kgo.SeedBrokers(g.addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		g.t.Fatal(err)
	}
	defer p.Close()
	var records []*kgo.Record
	for i := range n {
		records = append(records, &kgo.Record{Topic: "six", Partition: int32(i % 6), Value: fmt.Appendf(nil, "%s %d", word, i)})
	}
	if err := p.ProduceSync(g.ctx, records...).FirstErr(); err != nil {
		g.t.Fatal(err)
	}
}

// await waits until all n records that begin with word were read.
func (g *consumers) await(word string, n int) {
	g.t.Helper()
	for i := 0; i < n; {
		g.mu.Lock()
		for i < n && g.seen[fmt.Sprintf("%s %d", word, i)] > 0 {
			i++
		}
		g.mu.Unlock()
		if g.ctx.Err() != nil {
			g.t.Fatalf("%s: %d of %d records were read", word, i, n)
		}
		time.Sleep(time.Millisecond)
	}
}

// forget forgets what was read.
func (g *consumers) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	clear(g.seen)
}
