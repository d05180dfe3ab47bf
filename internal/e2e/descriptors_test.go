package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// A server that may open 128 files takes batches for 100 partitions, three files
// each, and serves them, while clients connect until they are refused; nothing it
// does is refused for good, and after a kill it has what it acknowledged. (NATS
// server 2993: a server out of descriptors lost a stream's messages.)
func TestFewDescriptors(t *testing.T) {
	const limit, partitions, rounds = 128, 100, 6
	data := t.TempDir()
	few := []string{"sh", "-c", `ulimit -n ` + strconv.Itoa(limit) + `; "$@"; exit $?`, "sh"}
	args := []string{"--topic-default", "segment.bytes=1048576", "--checkpoint-interval", "1s"}
	s := startTraced(t, few, data, args...)
	s.run(nil, "topic", "create", "t", "--partitions", strconv.Itoa(partitions))

	crowd := connectUntilRefused(t, s.addr)
	for _, c := range crowd[:len(crowd)/2] {
		c.Close()
	}
	var producing sync.WaitGroup
	for n := range 4 {
		producing.Go(func() {
			c := dialSoon(t, s.addr)
			defer c.conn.Close()
			for round := range rounds {
				for p := n; p < partitions; p += 4 {
					if err := c.produceSoon("t", int32(p), fmt.Sprintf("%d of %d", round, p)); err != nil {
						t.Errorf("produce to partition %d: %v", p, err)
						return
					}
				}
			}
		})
	}
	producing.Wait()
	for _, c := range crowd[len(crowd)/2:] {
		c.Close()
	}
	if open := openDescriptors(t, s.pid); open >= limit {
		t.Errorf("%d descriptors are open, want fewer than %d", open, limit)
	}
	expect := func() {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		c, err := client.Dial(ctx, s.addr, client.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		for p := range partitions {
			var want []string
			for round := range rounds {
				want = append(want, fmt.Sprintf("%d of %d", round, p))
			}
			if got, err := fetchSoon(ctx, c, "t", int32(p)); err != nil || !slices.Equal(got, want) {
				t.Errorf("partition %d holds %q, %v, want %q", p, got, err, want)
			}
		}
	}
	expect()
	s.kill()
	s = startTraced(t, few, data, args...)
	expect()
	s.stop()
}

// connectUntilRefused opens connections until the server closes one at once.
func connectUntilRefused(t *testing.T, addr string) []net.Conn {
	t.Helper()
	var crowd []net.Conn
	for range 200 {
		c, err := net.DialTimeout("tcp", addr, 10*time.Second)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			return crowd
		}
		crowd = append(crowd, c)
	}
	t.Fatalf("%d connections were accepted, want one to be refused", len(crowd))
	return nil
}

// dialSoon connects when the server has room.
func dialSoon(t *testing.T, addr string) *peer {
	for range 500 {
		p, err := dialPeer(addr)
		if err == nil {
			return p
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("no connection was taken")
	return nil
}

// produceSoon produces one record, again while there is no descriptor for it.
func (p *peer) produceSoon(topic string, partition int32, value string) error {
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	if err := b.Append(1, nil, []byte(value)); err != nil {
		return err
	}
	batch, err := b.Build(nil)
	if err != nil {
		return err
	}
	m := wire.Produce{Topic: []byte(topic), Partition: partition, Acks: wire.AcksAll, Batches: batch}
	return soon(func() error {
		if _, err := p.conn.Write(m.AppendTo(nil, 7)); err != nil {
			return err
		}
		_, err := p.read()
		return err
	})
}

// fetchSoon returns the values of a partition that fit one fetch.
func fetchSoon(ctx context.Context, c *client.Client, topic string, partition int32) (values []string, err error) {
	var r *client.FetchResult
	err = soon(func() error {
		r, err = c.Fetch(ctx, client.FetchRequest{Topic: topic, Partition: partition})
		return err
	})
	if err != nil {
		return nil, err
	}
	defer r.Release()
	for record, err := range r.Records() {
		if err != nil {
			return values, err
		}
		values = append(values, string(record.Value))
	}
	return values, nil
}

// soon does again what is refused and may be tried again, for ten seconds.
func soon(do func() error) (err error) {
	for range 1000 {
		var refused *wire.Error
		if err = do(); !errors.As(err, &refused) || !refused.Retryable() {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

// openDescriptors counts those of a process.
func openDescriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
