package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// subscribed reads a Subscribe and sends the first Data, which has nothing.
func (s *fake) subscribed() (id uint32, m wire.Subscribe) {
	s.t.Helper()
	f := s.expect(wire.KindSubscribe)
	m, err := wire.ParseSubscribe(f)
	if err != nil {
		s.fail("%v", err)
	}
	s.data(f.RequestID, m.Partition, nil)
	return f.RequestID, m
}

// credit reads a Credit.
func (s *fake) credit(id uint32) int64 {
	s.t.Helper()
	f := s.expect(wire.KindCredit)
	m, err := wire.ParseCredit(f)
	if err != nil || f.RequestID != id {
		s.fail("Credit for id %d, %v, want id %d", f.RequestID, err, id)
	}
	return m.Bytes
}

// unsubscribed reads an Unsubscribe and answers it. The script ends if the
// client has gone before it sent one.
func (s *fake) unsubscribed(id uint32) {
	s.t.Helper()
	f, ok := s.next()
	if !ok {
		runtime.Goexit()
	}
	if f.Kind != wire.KindUnsubscribe || f.RequestID != id {
		s.fail("%s for id %d, want Unsubscribe for %d", f.Kind, f.RequestID, id)
	}
	s.send(&wire.Data{End: true}, id)
}

// subscribe is Client.Subscribe to topic "t", closed when the test ends.
func subscribe(t testing.TB, c *Client, partition int32, offset int64, options SubscribeOptions) *Subscription {
	t.Helper()
	sub, err := c.Subscribe(t.Context(), "t", partition, offset, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sub.Close() })
	return sub
}

// collect calls Next until it has n records.
func collect(t testing.TB, sub *Subscription, n int) (list []string) {
	t.Helper()
	for len(list) < n {
		b, err := sub.Next(t.Context())
		if err != nil {
			t.Fatalf("after %d of %d records: %v", len(list), n, err)
		}
		list = append(list, values(t, &b)...)
	}
	return list
}

// numbered returns a log of batches from offset 0, of each codec, and its records as collect returns them.
func numbered(t testing.TB) (log []byte, records []string) {
	t.Helper()
	offset := int64(0)
	for codec := record.CodecNone; codec <= record.CodecZstd; codec++ {
		var list []string
		for i := range int(codec)%3 + 1 {
			list = append(list, fmt.Sprintf("value %d", i))
			records = append(records, fmt.Sprintf("%d:value %d", offset+int64(i), i))
		}
		log = append(log, batch(t, codec, offset, list...)...)
		offset += int64(len(list))
	}
	return log, records
}

// A log that is cut anywhere, into two pieces or into single bytes, arrives as it is.
func TestSubscriptionCuts(t *testing.T) {
	log, want := numbered(t)
	c := serve(t, func(s *fake) {
		for cut := range len(log) {
			id, _ := s.subscribed()
			if cut == 0 {
				for i := range log {
					s.data(id, 0, log[i:i+1])
				}
			} else {
				s.data(id, 0, log[:cut])
				s.data(id, 0, log[cut:])
			}
			s.unsubscribed(id)
		}
		s.end()
	})
	for cut := range len(log) {
		sub := subscribe(t, c, 0, 0, SubscribeOptions{})
		if got := collect(t, sub, len(want)); !reflect.DeepEqual(got, want) {
			t.Fatalf("cut at %d: %v, want %v", cut, got, want)
		}
		sub.Close()
	}
}

// Records below the offset asked for are left out.
func TestSubscriptionOffset(t *testing.T) {
	log, all := numbered(t)
	for offset := range len(all) {
		c := serve(t, func(s *fake) {
			id, m := s.subscribed()
			if m.Offset != int64(offset) {
				s.fail("offset %d, want %d", m.Offset, offset)
			}
			rest := log
			for {
				b, after, err := record.Next(rest)
				if err != nil {
					s.fail("%v", err)
				}
				if int64(b.LastOffset()) >= int64(offset) {
					break
				}
				rest = after
			}
			s.data(id, 0, rest)
			s.end()
		})
		sub := subscribe(t, c, 0, int64(offset), SubscribeOptions{})
		if got := collect(t, sub, len(all)-offset); !reflect.DeepEqual(got, all[offset:]) {
			t.Errorf("from %d: %v", offset, got)
		}
		c.Close()
	}
}

// A log with batches longer than a block and than the credit arrives whole, in pieces of any length, while the server
// never gets more credit than the window, or the batch that does not fit it.
func TestSubscriptionCredit(t *testing.T) {
	const window = 4 << 10
	rng := rand.New(rand.NewPCG(1, 2))
	var log []byte
	var want []string
	longest := 0
	for offset := range int64(60) {
		value := strings.Repeat("v", rng.IntN(3000))
		if offset%20 == 7 {
			value = strings.Repeat("w", 100_000)
		}
		b := batch(t, record.CodecNone, offset, value)
		longest = max(longest, len(b))
		log = append(log, b...)
		want = append(want, fmt.Sprintf("%d:%s", offset, value))
	}
	c := serve(t, func(s *fake) {
		id, m := s.subscribed()
		if m.Credit != window || m.MaxBytes != window {
			s.fail("credit %d, max bytes %d", m.Credit, m.MaxBytes)
		}
		credit := m.Credit
		for rest := log; len(rest) > 0; {
			for credit == 0 {
				credit += s.credit(id)
			}
			if credit > int64(longest) {
				s.fail("credit %d", credit)
			}
			n := min(1+rng.IntN(window), len(rest), int(credit), int(m.MaxBytes))
			s.data(id, 0, rest[:n])
			rest = rest[n:]
			credit -= int64(n)
		}
		s.end()
	})
	sub := subscribe(t, c, 0, 0, SubscribeOptions{CreditBytes: window})
	if got := collect(t, sub, len(want)); !reflect.DeepEqual(got, want) {
		t.Error("other records than were sent")
	}
	sub.mu.Lock()
	if sub.credit+sub.buffered != window {
		t.Errorf("credit %d and %d buffered, want %d together", sub.credit, sub.buffered, window)
	}
	sub.mu.Unlock()
	if _, _, err := sub.front(); err != nil || len(sub.blocks) > 0 {
		t.Errorf("%d blocks kept when all is consumed, %v, want none", len(sub.blocks), err)
	}
}

// Nothing is granted before it is consumed: a consumer that does not read holds what its credit allows.
func TestSubscriptionWindow(t *testing.T) {
	const window = 64 << 10
	full := make(chan struct{})
	b := batch(t, record.CodecNone, 0, strings.Repeat("x", window/4-100))
	next := func(offset int64) []byte {
		record.Batch(b).SetBaseOffset(record.Offset(offset))
		return b
	}
	c := serve(t, func(s *fake) {
		id, _ := s.subscribed()
		for i := range int64(4) {
			s.data(id, 0, next(i))
		}
		if f := s.expect(wire.KindListTopics); true { // and no Credit before it
			s.send(&wire.TopicList{}, f.RequestID)
		}
		close(full)
		if n := s.credit(id); n < window/4 {
			s.fail("%d bytes granted", n)
		}
		s.data(id, 0, next(4))
		s.end()
	})
	sub := subscribe(t, c, 0, 0, SubscribeOptions{CreditBytes: window})
	eventually(t, "the window is full", func() bool {
		sub.mu.Lock()
		defer sub.mu.Unlock()
		return sub.buffered == 4*int64(len(b))
	})
	if _, err := c.ListTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-full
	if got := collect(t, sub, 5); len(got) != 5 {
		t.Errorf("%d records", len(got))
	}
}

// One subscription that nobody reads does not hold up another, nor calls.
func TestSlowConsumer(t *testing.T) {
	const rounds = 200
	filler := batch(t, record.CodecNone, 0, strings.Repeat("x", 900))
	c := serve(t, func(s *fake) {
		slow, m := s.subscribed()
		for credit, offset := m.Credit, int64(0); credit >= int64(len(filler)); offset++ {
			record.Batch(filler).SetBaseOffset(record.Offset(offset))
			s.data(slow, 0, filler)
			credit -= int64(len(filler))
		}
		fast, m := s.subscribed()
		credit := m.Credit
		for offset := range int64(rounds) {
			for credit < int64(len(filler)) {
				credit += s.credit(fast)
			}
			record.Batch(filler).SetBaseOffset(record.Offset(offset))
			s.data(fast, 1, filler)
			credit -= int64(len(filler))
		}
		for {
			f, ok := s.next()
			if !ok {
				return
			}
			if f.Kind == wire.KindListTopics {
				s.send(&wire.TopicList{}, f.RequestID)
			}
		}
	})
	subscribe(t, c, 0, 0, SubscribeOptions{CreditBytes: 100_000})
	fast := subscribe(t, c, 1, 0, SubscribeOptions{CreditBytes: 4 << 10})
	if got := collect(t, fast, rounds); len(got) != rounds {
		t.Errorf("%d records", len(got))
	}
	if _, err := c.ListTopics(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that sends more than it may, or for another partition, breaks the connection.
func TestSubscriptionHostile(t *testing.T) {
	f := func(name string, options SubscribeOptions, send func(s *fake, id uint32), want string) {
		t.Helper()
		c := serve(t, func(s *fake) {
			id, _ := s.subscribed()
			send(s, id)
			s.end()
		})
		sub := subscribe(t, c, 0, 0, options)
		<-c.broken // before anything is consumed, so that nothing is granted
		for {
			_, err := sub.Next(t.Context())
			if err == nil {
				continue
			}
			var broken *ConnectionError
			if !errors.As(err, &broken) {
				t.Errorf("%s: %v, want a *ConnectionError", name, err)
			}
			wantError(t, err, want)
			break
		}
		c.Close()
	}
	small := batch(t, record.CodecNone, 0, strings.Repeat("x", 1500))
	f("credit", SubscribeOptions{CreditBytes: 2000, MaxBytes: 1800}, func(s *fake, id uint32) {
		s.data(id, 0, small)
		s.data(id, 0, batch(t, record.CodecNone, 1, strings.Repeat("x", 1600)))
	}, "of credit left")
	f("max bytes", SubscribeOptions{MaxBytes: 100}, func(s *fake, id uint32) { s.data(id, 0, small[:101]) }, "101 bytes of batches, want at most the 100 asked for")
	f("partition", SubscribeOptions{}, func(s *fake, id uint32) { s.data(id, 1, nil) }, "partition 1, want 0")
	f("kind", SubscribeOptions{}, func(s *fake, id uint32) { s.send(&wire.Done{}, id) }, "Done for request id")
}

// Data behind the end of a subscription break the connection.
func TestDataBehindEnd(t *testing.T) {
	c := serve(t, func(s *fake) {
		id, _ := s.subscribed()
		s.send(&wire.Data{End: true}, id)
		s.data(id, 0, nil)
		s.end()
	})
	sub := subscribe(t, c, 0, 0, SubscribeOptions{})
	<-c.broken
	wantError(t, c.Err(), "want an answer to nothing")
	if _, err := sub.Next(t.Context()); !errors.Is(err, ErrEnded) {
		t.Errorf("%v, want the first reason", err)
	}
}

// Bytes that are no log end the subscription, behind the batches before them, and not the connection.
func TestSubscriptionCorrupt(t *testing.T) {
	first := batch(t, record.CodecNone, 0, "a", "b")
	second := batch(t, record.CodecNone, 2, "c")
	f := func(name string, bad []byte, offset int64, want string) {
		t.Helper()
		c := serve(t, func(s *fake) {
			id, _ := s.subscribed()
			s.data(id, 0, append(append([]byte(nil), first...), bad...))
			s.data(id, 0, make([]byte, 1000)) // dropped, or part of the bad
			s.unsubscribed(id)
			s.send(&wire.Done{}, s.expect(wire.KindDeleteTopic).RequestID)
			s.end()
		})
		sub := subscribe(t, c, 0, 0, SubscribeOptions{})
		if got := collect(t, sub, 2); len(got) != 2 {
			t.Errorf("%s: %v", name, got)
		}
		for range 2 {
			_, err := sub.Next(t.Context())
			var corrupt *CorruptError
			if !errors.As(err, &corrupt) || corrupt.Topic != "t" || corrupt.Offset != offset {
				t.Errorf("%s: %v, want a *CorruptError at %d", name, err, offset)
			}
			wantError(t, err, want)
		}
		if err := c.DeleteTopic(t.Context(), "t"); err != nil {
			t.Error(err)
		}
		c.Close()
	}
	f("crc", damaged(second, len(second)-1), 2, "crc")
	f("back", batch(t, record.CodecNone, 1, "c", "d"), 2, "base offset 1, want at least 2")
	f("again", first, 2, "base offset 0, want at least 2")
	f("zero", make([]byte, 100), 2, "batchLength 0")
	f("magic", damaged(second, 16), 2, "magic 3")
	f("length", withLength(second, wire.DefaultMaxFrame), 2, "want at most 16777216, the longest frame")
	f("negative length", withLength(second, 1<<31), 2, "batchLength -2147483648")
}

// How a subscription ends: what was received is returned first, then why, again and again.
func TestSubscriptionEnds(t *testing.T) {
	log := batch(t, record.CodecNone, 0, "a", "b")
	f := func(end func(s *fake, id uint32), check func(c *Client, err error)) {
		t.Helper()
		c := serve(t, func(s *fake) {
			id, _ := s.subscribed()
			s.data(id, 0, append(log[:len(log):len(log)], log[:30]...))
			end(s, id)
		})
		sub := subscribe(t, c, 0, 0, SubscribeOptions{})
		if got := collect(t, sub, 2); len(got) != 2 {
			t.Errorf("%v", got)
		}
		for range 2 {
			_, err := sub.Next(t.Context())
			wantError(t, err, "subscription of t-0 at 2: ")
			check(c, err)
		}
		sub.Close()
		if _, err := sub.Next(t.Context()); !errors.Is(err, ErrUnsubscribed) {
			t.Errorf("%v, want ErrUnsubscribed", err)
		}
		c.Close()
	}
	f(func(s *fake, id uint32) {
		s.send(wire.Errorf(wire.CodeUnknownTopic, "deleted"), id)
		s.end()
	}, func(c *Client, err error) {
		wantCode(t, err, wire.CodeUnknownTopic)
		if c.Err() != nil {
			t.Error(c.Err())
		}
	})
	f(func(s *fake, id uint32) {
		s.send(&wire.Data{End: true}, id)
		s.end()
	}, func(_ *Client, err error) {
		if !errors.Is(err, ErrEnded) {
			t.Errorf("%v, want ErrEnded", err)
		}
	})
	f(func(s *fake, _ uint32) {}, func(_ *Client, err error) { wantError(t, err, "closed by the server") })
}

// Damage ends a subscription with what the server says of it, behind all that lies before; one that begins inside, and one
// that passes it, take the gap in the offsets and count it.
func TestSubscriptionDamage(t *testing.T) {
	before, behind := batch(t, record.CodecNone, 0, "a", "b"), batch(t, record.CodecNone, 6, "c")
	c := serve(t, func(s *fake) {
		id, m := s.subscribed()
		s.data(id, m.Partition, before)
		s.send(wire.Errorf(wire.CodeCorruptBatch, "offsets 2 to 5 are damaged"), id)
		id, m = s.subscribed()
		s.data(id, m.Partition, append(before[:len(before):len(before)], behind...))
		s.unsubscribed(id)
		id, m = s.subscribed()
		if m.Offset != 3 {
			s.fail("offset %d, want 3", m.Offset)
		}
		s.data(id, m.Partition, behind)
		s.end()
	})
	sub := subscribe(t, c, 0, 0, SubscribeOptions{})
	collect(t, sub, 2)
	_, err := sub.Next(t.Context())
	wantCode(t, err, wire.CodeCorruptBatch)
	wantError(t, err, "subscription of t-0 at 2: corrupt batch: offsets 2 to 5 are damaged")

	take := func(sub *Subscription, want ...string) {
		t.Helper()
		var got []string
		skipped := int64(0)
		for len(got) < len(want) {
			b, err := sub.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, values(t, &b)...)
			skipped += b.Skipped
			if next := int64(b.Next()); len(got) == len(want) && next != 7 {
				t.Errorf("next %d, want 7", next)
			}
		}
		if !slices.Equal(got, want) || skipped != int64(6-max(2, sub.from)) {
			t.Errorf("%v, skipped %d; want %v", got, skipped, want)
		}
		sub.Close()
	}
	take(subscribe(t, c, 0, 0, SubscribeOptions{}), "0:a", "1:b", "6:c")
	take(subscribe(t, c, 0, 3, SubscribeOptions{}), "6:c")
}

// A Subscribe that is refused returns the Error, and the connection goes on.
func TestSubscribeRefused(t *testing.T) {
	c := serve(t, func(s *fake) {
		s.send(wire.Errorf(wire.CodeOffsetOutOfRange, "offset 9"), s.expect(wire.KindSubscribe).RequestID)
		s.send(&wire.TopicList{}, s.expect(wire.KindListTopics).RequestID)
		s.end()
	})
	_, err := c.Subscribe(t.Context(), "t", 0, 9, SubscribeOptions{})
	wantCode(t, err, wire.CodeOffsetOutOfRange)
	wantError(t, err, "subscribe to t-0 at 9: ")
	if _, err := c.ListTopics(t.Context()); err != nil {
		t.Error(err)
	}
	for _, o := range []SubscribeOptions{{CreditBytes: 1}, {MaxBytes: -1}} {
		if _, err := c.Subscribe(t.Context(), "t", 0, 9, o); err == nil {
			t.Errorf("%+v: no error", o)
		}
	}
	_, err = c.Subscribe(t.Context(), "", 0, 9, SubscribeOptions{})
	wantCode(t, err, wire.CodeInvalidTopicName)
	// The reader gives the slot of ListTopics back after it has answered.
	eventually(t, "all slots given back", func() bool { return len(c.slots) == 0 })
}

// A Subscribe whose context ends is taken back: what comes for it is dropped.
func TestSubscribeCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	c := serve(t, func(s *fake) {
		f := s.expect(wire.KindSubscribe)
		cancel(errors.New("enough"))
		if u := s.expect(wire.KindUnsubscribe); u.RequestID != f.RequestID {
			s.fail("Unsubscribe for id %d", u.RequestID)
		}
		s.data(f.RequestID, 0, make([]byte, 200_000)) // crossed the Unsubscribe
		s.send(&wire.Data{End: true}, f.RequestID)
		s.send(&wire.TopicList{}, s.expect(wire.KindListTopics).RequestID)
		s.end()
	})
	_, err := c.Subscribe(ctx, "t", 0, 0, SubscribeOptions{})
	wantError(t, err, "enough")
	if _, err := c.ListTopics(t.Context()); err != nil {
		t.Error(err)
	}
}

// A Next whose context ends can be called again, and Close ends one that waits.
func TestNextCancelled(t *testing.T) {
	more := make(chan struct{})
	c := serve(t, func(s *fake) {
		id, _ := s.subscribed()
		<-more
		s.data(id, 0, batch(t, record.CodecNone, 0, "a"))
		s.unsubscribed(id)
		s.end()
	})
	sub := subscribe(t, c, 0, 0, SubscribeOptions{})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := sub.Next(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	close(more)
	b, err := sub.Next(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o := sub.Offsets(); o.HighWatermark != 1<<40 || b.Offsets != o {
		t.Errorf("offsets %+v, of the batches %+v", o, b.Offsets)
	}
	var waiting sync.WaitGroup
	waiting.Add(1)
	go func() {
		defer waiting.Done()
		if _, err := sub.Next(t.Context()); !errors.Is(err, ErrUnsubscribed) {
			t.Errorf("%v, want ErrUnsubscribed", err)
		}
	}()
	sub.Close()
	waiting.Wait()
	if got := values(t, &b); len(got) != 1 || got[0] != "0:a" {
		t.Errorf("%v: batches changed by Close", got)
	}
}
