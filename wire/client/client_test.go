package client

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollway/rollway/wire"
)

// What Dial makes of the first answer.
func TestDialAnswers(t *testing.T) {
	f := func(name string, answer func(s *fake, hello wire.Frame), want string) {
		t.Helper()
		addr := listen(t, func(s *fake) {
			answer(s, s.expect(wire.KindHello))
			s.conn.Close()
		})
		c, err := Dial(t.Context(), addr, Options{})
		if err == nil {
			c.Close()
			t.Fatalf("%s: no error, want %q", name, want)
		}
		wantError(t, err, want)
		wantError(t, err, addr)
		var broken *ConnectionError
		if !errors.As(err, &broken) {
			t.Errorf("%s: %T, want a *ConnectionError", name, err)
		}
	}
	f("refused", func(s *fake, hello wire.Frame) {
		s.send(wire.Errorf(wire.CodeLimitReached, "1000 connections, want fewer"), hello.RequestID)
	}, "limit reached: 1000 connections, want fewer")
	f("refused for the connection", func(s *fake, hello wire.Frame) {
		s.send(wire.Errorf(wire.CodeServerClosing, "bye"), 0)
	}, "server closing: bye")
	f("silence", func(*fake, wire.Frame) {}, "closed by the server without an answer, want Welcome")
	f("other kind", func(s *fake, hello wire.Frame) { s.send(&wire.Done{}, hello.RequestID) }, "want 0x81 (Welcome)")
	f("other id", func(s *fake, hello wire.Frame) { w := welcomeOf; s.send(&w, hello.RequestID+1) }, "Welcome with request id 2, want 1")
	f("other version", func(s *fake, hello wire.Frame) {
		w := welcomeOf
		w.Version = 2
		s.send(&w, hello.RequestID)
	}, "version 2, want 1")
	f("other protocol", func(s *fake, _ wire.Frame) { s.raw([]byte("HTTP/1.1 400 Bad Request\r\n\r\n")) }, "not of this protocol")
	f("long", func(s *fake, hello wire.Frame) {
		s.raw(wire.AppendHead(nil, wire.Head{Kind: wire.KindWelcome, Length: wire.MaxHelloFrame + 1, RequestID: hello.RequestID}))
	}, "32769 payload bytes, want at most 32768")
	f("cut", func(s *fake, hello wire.Frame) {
		w := welcomeOf
		p := w.AppendTo(nil, hello.RequestID)
		s.raw(p[:len(p)-1])
	}, "unexpected EOF")
}

// Dial ends with its context, also while it waits for the Welcome.
func TestDialCancelled(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	addr := listen(t, func(s *fake) {
		s.expect(wire.KindHello)
		cancel(errors.New("enough"))
		s.end()
	})
	_, err := Dial(ctx, addr, Options{})
	wantError(t, err, "enough")
	_, err = Dial(longAgo(), addr, Options{})
	wantError(t, err, "cancel")
}

// Options that cannot be are named.
func TestOptionsValidate(t *testing.T) {
	f := func(o Options, want string) {
		t.Helper()
		_, err := Dial(t.Context(), "127.0.0.1:1", o)
		wantError(t, err, want)
	}
	f(Options{MaxFrame: 5}, "MaxFrame: 5 bytes, want 65536..268435456")
	f(Options{MaxRequests: -1}, "MaxRequests: -1, want at least 1")
	f(Options{DialTimeout: -1}, "DialTimeout")
	f(Options{ClientName: "\xff"}, "ClientName")
	f(Options{ClientVersion: strings.Repeat("x", 256)}, "ClientVersion")
}

// The congestion control asked for is set, one that there is not is an error.
func TestCongestion(t *testing.T) {
	serveWith(t, welcomeOf, Options{Congestion: "reno"}, (*fake).end)
	addr := listen(t, (*fake).end)
	_, err := Dial(t.Context(), addr, Options{Congestion: "nonesuch"})
	wantError(t, err, "TCP_CONGESTION nonesuch")
}

// Each call sends its request and returns its answer.
func TestTopicCalls(t *testing.T) {
	description := wire.TopicDescription{
		Topic: "orders", TopicID: [16]byte{1},
		Partitions: []wire.Partition{{State: wire.StateReady, HighWatermark: 7, LogEnd: 8}},
		Configs:    []wire.ConfigDescription{{Key: "retention.ms", Value: "5", Source: wire.SourceTopic, Documentation: "doc"}},
	}
	list := wire.TopicList{Topics: []wire.TopicEntry{{Topic: "orders", Partitions: 3}}}
	found := wire.OffsetFound{Offset: 42, TimestampMs: 9, LeaderEpoch: 2}
	create := wire.CreateTopic{Topic: "orders", Partitions: 3, Configs: []wire.Config{{Key: "a", Value: "b"}}}
	alter := wire.AlterTopic{Topic: "orders", Reset: []string{"a"}, Partitions: 4}
	skip := wire.SkipDamage{Topic: []byte("orders"), Partition: 1, Offset: 42, DryRun: true}
	damage := wire.DamageSkipped{Ranges: []wire.DamagedRange{{From: 40, To: 43}}}
	c := serve(t, func(s *fake) {
		fr := s.expect(wire.KindCreateTopic)
		if m, err := wire.ParseCreateTopic(fr); err != nil || !reflect.DeepEqual(m, create) {
			s.fail("%+v %v", m, err)
		}
		s.send(&wire.Done{}, fr.RequestID)
		s.send(&description, s.expect(wire.KindDescribeTopic).RequestID)
		s.send(&list, s.expect(wire.KindListTopics).RequestID)
		fr = s.expect(wire.KindAlterTopic)
		if m, err := wire.ParseAlterTopic(fr); err != nil || !reflect.DeepEqual(m, alter) {
			s.fail("%+v %v", m, err)
		}
		s.send(&wire.Done{}, fr.RequestID)
		s.send(&found, s.expect(wire.KindListOffsets).RequestID)
		fr = s.expect(wire.KindDeleteRecords)
		if m, err := wire.ParseDeleteRecords(fr); err != nil || string(m.Topic) != "orders" || m.Partition != 2 || m.Before != 9 {
			s.fail("%+v %v", m, err)
		}
		s.send(&wire.RecordsDeleted{LogStart: 11}, fr.RequestID)
		s.send(wire.Errorf(wire.CodeOffsetOutOfRange, "at most 12"), s.expect(wire.KindDeleteRecords).RequestID)
		fr = s.expect(wire.KindSkipDamage)
		if m, err := wire.ParseSkipDamage(fr); err != nil || !reflect.DeepEqual(m, skip) {
			s.fail("%+v %v", m, err)
		}
		s.send(&damage, fr.RequestID)
		s.send(wire.Errorf(wire.CodeOffsetOutOfRange, "orders-1 has no damage at 42"), s.expect(wire.KindSkipDamage).RequestID)
		s.send(wire.Errorf(wire.CodeUnknownTopic, "no topic orders"), s.expect(wire.KindDeleteTopic).RequestID)
		s.send(&wire.Done{}, s.expect(wire.KindDeleteTopic).RequestID)
		s.end()
	})
	ctx := t.Context()
	if err := c.CreateTopic(ctx, create); err != nil {
		t.Error(err)
	}
	if d, err := c.DescribeTopic(ctx, "orders"); err != nil || !reflect.DeepEqual(d, description) {
		t.Errorf("%+v %v", d, err)
	}
	if l, err := c.ListTopics(ctx); err != nil || !reflect.DeepEqual(l, list.Topics) {
		t.Errorf("%+v %v", l, err)
	}
	if err := c.AlterTopic(ctx, alter); err != nil {
		t.Error(err)
	}
	if o, err := c.ListOffsets(ctx, "orders", 1, wire.QueryTimestamp, 8); err != nil || o != found {
		t.Errorf("%+v %v", o, err)
	}
	if start, err := c.DeleteRecords(ctx, "orders", 2, 9); err != nil || start != 11 {
		t.Errorf("log start %d, %v", start, err)
	}
	_, err := c.DeleteRecords(ctx, "orders", 2, wire.ToHighWatermark)
	wantCode(t, err, wire.CodeOffsetOutOfRange)
	wantError(t, err, "delete records of orders-2: offset out of range: at most 12")
	if d, err := c.SkipDamage(ctx, skip); err != nil || !reflect.DeepEqual(d, damage.Ranges) {
		t.Errorf("%+v %v", d, err)
	}
	_, err = c.SkipDamage(ctx, skip)
	wantCode(t, err, wire.CodeOffsetOutOfRange)
	wantError(t, err, "skip damage of orders-1: offset out of range: orders-1 has no damage at 42")
	err = c.DeleteTopic(ctx, "orders")
	wantCode(t, err, wire.CodeUnknownTopic)
	wantError(t, err, "delete topic orders: unknown topic: no topic orders")
	if err := c.DeleteTopic(ctx, "orders"); err != nil {
		t.Error(err)
	}

	// What cannot be is refused before it is sent.
	wantCode(t, c.DeleteTopic(ctx, ""), wire.CodeInvalidTopicName)
	_, err = c.ListOffsets(ctx, "orders", -1, wire.QueryLatest, 0)
	wantCode(t, err, wire.CodeInvalidRequest)
	_, err = c.SkipDamage(ctx, wire.SkipDamage{Topic: []byte("orders"), Offset: -2})
	wantCode(t, err, wire.CodeInvalidRequest)
}

// A request longer than the server's frames is refused here, and the connection stays.
func TestRequestTooLong(t *testing.T) {
	welcome := welcomeOf
	welcome.MaxFrame = wire.MinMaxFrame
	c := serveWith(t, welcome, Options{}, (*fake).end)
	m := wire.CreateTopic{Topic: "t", Partitions: 1}
	for i := range 10 {
		m.Configs = append(m.Configs, wire.Config{Key: fmt.Sprint(i), Value: strings.Repeat("v", wire.MaxConfigValue)})
	}
	wantError(t, c.CreateTopic(t.Context(), m), "want at most the server's 65536")
	if err := c.Err(); err != nil {
		t.Error(err)
	}
}

// An answer that fits no read-ahead buffer is received whole, and so is what follows.
func TestLongAnswer(t *testing.T) {
	var list wire.TopicList
	for i := range 5_000 { // of 34 bytes
		list.Topics = append(list.Topics, wire.TopicEntry{Topic: fmt.Sprintf("topic-%06d", i), Partitions: 1})
	}
	c := serve(t, func(s *fake) {
		for range 2 {
			s.send(&list, s.expect(wire.KindListTopics).RequestID)
		}
		s.end()
	})
	for range 2 {
		got, err := c.ListTopics(t.Context())
		if err != nil || !reflect.DeepEqual(got, list.Topics) {
			t.Fatalf("%d topics, %v", len(got), err)
		}
	}
}

// Requests are sent while others are unanswered, and each gets its own answer.
func TestPipelining(t *testing.T) {
	const n = 100
	c := serve(t, func(s *fake) {
		var frames []wire.Frame
		for range n {
			frames = append(frames, s.expect(wire.KindListOffsets))
		}
		for _, f := range frames {
			m, err := wire.ParseListOffsets(f)
			if err != nil {
				s.fail("%v", err)
			}
			s.send(&wire.OffsetFound{Offset: int64(m.Partition)}, f.RequestID)
		}
		s.end()
	})
	var calls sync.WaitGroup
	for i := range int32(n) {
		calls.Add(1)
		go func() {
			defer calls.Done()
			found, err := c.ListOffsets(t.Context(), "t", i, wire.QueryLatest, 0)
			if err != nil || found.Offset != int64(i) {
				t.Errorf("partition %d: offset %d, %v", i, found.Offset, err)
			}
		}()
	}
	calls.Wait()
}

// The late answer to a cancelled call is dropped, whatever its kind, and the connection goes on.
func TestLateAnswers(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	c := serve(t, func(s *fake) {
		list := s.expect(wire.KindListTopics)
		fetch := s.expect(wire.KindFetch)
		refused := s.expect(wire.KindListTopics)
		cancel(errors.New("enough"))
		last := s.expect(wire.KindDeleteTopic) // all are cancelled now
		s.send(&wire.TopicList{}, list.RequestID)
		s.data(fetch.RequestID, 0, make([]byte, 100_000))
		s.send(wire.Errorf(wire.CodeNotReady, "late"), refused.RequestID)
		s.send(&wire.Done{}, last.RequestID)
		s.end()
	})
	var calls sync.WaitGroup
	call := func(f func() error) {
		calls.Add(1)
		before := c.unansweredCount()
		go func() {
			defer calls.Done()
			wantError(t, f(), "enough")
		}()
		eventually(t, "request queued", func() bool { return c.unansweredCount() > before })
	}
	call(func() error { _, err := c.ListTopics(ctx); return err })
	call(func() error { _, err := c.Fetch(ctx, FetchRequest{Topic: "t"}); return err })
	call(func() error { _, err := c.ListTopics(ctx); return err })
	calls.Wait()
	if err := c.DeleteTopic(t.Context(), "t"); err != nil {
		t.Error(err)
	}
	eventually(t, "all slots given back", func() bool { return len(c.slots) == 0 })
}

// unansweredCount returns how many requests wait for an answer.
func (c *Client) unansweredCount() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.pending.count
}

// Calls beyond MaxRequests wait, and end with their context or the connection.
func TestMaxRequests(t *testing.T) {
	release := make(chan struct{})
	c := serveWith(t, welcomeOf, Options{MaxRequests: 1}, func(s *fake) {
		f := s.expect(wire.KindDeleteTopic)
		<-release
		s.send(&wire.Done{}, f.RequestID)
		s.send(&wire.Done{}, s.expect(wire.KindDeleteTopic).RequestID)
		s.expect(wire.KindDeleteTopic)
		s.conn.Close()
	})
	first := make(chan error, 1)
	go func() { first <- c.DeleteTopic(t.Context(), "t") }()
	eventually(t, "slot taken", func() bool { return len(c.slots) == 1 })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.DeleteTopic(ctx, "t"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v, want the deadline", err)
	}
	close(release)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := c.DeleteTopic(t.Context(), "t"); err != nil {
		t.Error(err)
	}
	if err := c.DeleteTopic(longAgo(), "t"); !errors.Is(err, context.Canceled) {
		t.Errorf("%v, want that of the context", err)
	}
	go func() { first <- c.DeleteTopic(t.Context(), "t") }()
	eventually(t, "slot taken", func() bool { return len(c.slots) == 1 })
	wantError(t, c.DeleteTopic(t.Context(), "t"), "closed by the server")
	wantError(t, <-first, "closed by the server")
}

// Frames that the protocol does not allow break the connection: every call fails, with one error that says why.
func TestHostileFrames(t *testing.T) {
	// The client sends a ListTopics and a Fetch; answer gets their ids.
	f := func(name string, answer func(s *fake, list, fetch uint32), want string) {
		t.Helper()
		c := serve(t, func(s *fake) {
			list := s.expect(wire.KindListTopics).RequestID
			fetch := s.expect(wire.KindFetch).RequestID
			answer(s, list, fetch)
			s.end()
		})
		errs := make(chan error, 2)
		go func() {
			_, err := c.ListTopics(t.Context())
			errs <- err
		}()
		eventually(t, "request queued", func() bool { return c.unansweredCount() == 1 })
		go func() {
			_, err := c.Fetch(t.Context(), FetchRequest{Topic: "t", Partition: 3})
			errs <- err
		}()
		answered := 0
		for range 2 {
			err := <-errs
			if err == nil && answered == 0 {
				answered++ // by the good frame before the bad
				continue
			}
			var broken *ConnectionError
			if !errors.As(err, &broken) || broken != c.Err() {
				t.Errorf("%s: %v, want the error of the connection", name, err)
			}
			wantError(t, err, want)
			wantError(t, err, c.Addr())
		}
		_, err := c.ListTopics(t.Context())
		wantError(t, err, want)
		c.Close()
	}
	head := func(h wire.Head) []byte { return wire.AppendHead(nil, h) }
	list := func(s *fake, id uint32) { s.send(&wire.TopicList{}, id) }

	f("out of order", func(s *fake, _, fetch uint32) { s.data(fetch, 3, nil) },
		"Data for request id 4, want an answer to request id 2 (TopicList)")
	f("unknown id", func(s *fake, l, _ uint32) { list(s, l+100) }, "request id 102")
	f("id 0", func(s *fake, _, _ uint32) { list(s, 0) }, "request id 0")
	f("twice", func(s *fake, l, _ uint32) { list(s, l); list(s, l) }, "want an answer to request id 4 (Data)")
	f("other kind", func(s *fake, l, _ uint32) { s.send(&wire.Done{}, l) }, "Done for request id 2, want TopicList")
	f("client's kind", func(s *fake, l, _ uint32) { s.send(&wire.Unsubscribe{}, l) }, "Unsubscribe for request id 2")
	f("unknown kind", func(s *fake, l, _ uint32) { s.raw(head(wire.Head{Kind: 0xee, RequestID: l})) }, "Kind(0xee)")
	f("unknown flag", func(s *fake, l, _ uint32) { s.raw(headFor(wire.KindTopicList, 4, l, []byte{0, 0, 0, 0})) }, "flags 0x04")
	f("bad check", func(s *fake, l, _ uint32) { s.raw(damaged(head(wire.Head{Kind: wire.KindDone, RequestID: l}), 3)) }, "head: check")
	f("too long", func(s *fake, l, _ uint32) {
		s.raw(head(wire.Head{Kind: wire.KindTopicList, RequestID: l, Length: wire.DefaultMaxFrame + 1}))
	}, "16777217 payload bytes, want at most 16777216")
	f("count", func(s *fake, l, _ uint32) { s.raw(headFor(wire.KindTopicList, 0, l, []byte{255, 255, 255, 255})) }, "4294967295 elements")
	f("head cut", func(s *fake, l, _ uint32) {
		s.raw(head(wire.Head{Kind: wire.KindTopicList, RequestID: l})[:7])
		s.conn.Close()
	}, "head cut after 7 of 16 bytes")
	f("payload cut", func(s *fake, l, _ uint32) {
		s.raw(head(wire.Head{Kind: wire.KindTopicList, RequestID: l, Length: 1 << 20}))
		s.raw(make([]byte, 100_000))
		s.conn.Close()
	}, "TopicList of 1048576 payload bytes cut")
	f("data cut", func(s *fake, l, fetch uint32) {
		list(s, l)
		s.raw(wire.AppendDataHead(nil, fetch, &wire.Data{Partition: 3}, 1<<20))
		s.raw(make([]byte, 100_000))
		s.conn.Close()
	}, "cut: unexpected EOF")
	f("data fields", func(s *fake, l, fetch uint32) { list(s, l); s.raw(headFor(wire.KindData, 0, fetch, make([]byte, 31))) }, "leader epoch: 3 bytes left")
	f("data partition", func(s *fake, l, fetch uint32) { list(s, l); s.data(fetch, 4, nil) }, "partition 4, want 3")
	f("data end", func(s *fake, l, fetch uint32) { list(s, l); s.send(&wire.Data{End: true, Partition: 3}, fetch) }, "flag end")
	f("data offsets", func(s *fake, l, fetch uint32) {
		list(s, l)
		s.send(&wire.Data{Partition: 3, Offsets: wire.Offsets{LogStart: 5, LastStable: 4, HighWatermark: 6}}, fetch)
	}, "log start 5, last stable 4")
	f("data for nobody", func(s *fake, _, _ uint32) { s.data(1, 3, nil) }, "Data for request id 1")
	f("bad error", func(s *fake, l, _ uint32) { s.raw(headFor(wire.KindError, 0, l, []byte{0})) }, "Error: code: 1 bytes left")
	f("close", func(s *fake, _, _ uint32) { s.conn.Close() }, "closed by the server")
	f("reset", func(s *fake, _, _ uint32) { s.reset() }, "connection reset by peer")
}

// An Error about the connection, or about a request that is not the next to be answered, is why it closes.
func TestServerSaysWhy(t *testing.T) {
	f := func(id func(first, second uint32) uint32) {
		t.Helper()
		c := serve(t, func(s *fake) {
			first := s.expect(wire.KindListTopics).RequestID
			second := s.expect(wire.KindListTopics).RequestID
			s.send(wire.Errorf(wire.CodeFrameTooLarge, "what you sent"), id(first, second))
			s.reset()
		})
		var calls sync.WaitGroup
		for range 2 {
			calls.Add(1)
			go func() {
				defer calls.Done()
				_, err := c.ListTopics(t.Context())
				wantCode(t, err, wire.CodeFrameTooLarge)
				wantError(t, err, "closed by the server: frame too large: what you sent")
			}()
		}
		calls.Wait()
	}
	f(func(_, _ uint32) uint32 { return 0 })
	f(func(_, second uint32) uint32 { return second })
	f(func(_, second uint32) uint32 { return second + 100 })
}

// Close ends what waits and may be called again.
func TestClose(t *testing.T) {
	got := make(chan struct{})
	c := serve(t, func(s *fake) {
		s.expect(wire.KindListTopics)
		close(got)
		s.end()
	})
	errs := make(chan error, 1)
	go func() {
		_, err := c.ListTopics(t.Context())
		errs <- err
	}()
	<-got
	for range 2 {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := <-errs; !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
	if _, err := c.ListTopics(t.Context()); !errors.Is(err, ErrClosed) {
		t.Errorf("%v, want ErrClosed", err)
	}
}

// An idle connection shows signs of life that mean nothing, before the server's timeout.
func TestSignOfLife(t *testing.T) {
	welcome := welcomeOf
	welcome.IdleTimeoutMs = 30
	done := make(chan struct{})
	c := serveWith(t, welcome, Options{}, func(s *fake) {
		for range 3 {
			if f := s.expect(wire.KindUnsubscribe); f.RequestID == 0 {
				s.fail("request id 0")
			}
		}
		close(done)
		s.end()
	})
	<-done
	if err := c.Err(); err != nil {
		t.Error(err)
	}
}

// An answer that nobody has asked for breaks the connection.
func TestUnaskedAnswer(t *testing.T) {
	c := serve(t, func(s *fake) {
		s.send(&wire.Done{}, 2)
		s.end()
	})
	<-c.broken
	wantError(t, c.Err(), "Done for request id 2, want an answer to nothing")
}

// The queue of requests keeps its order while it grows and wraps.
func TestRequestQueue(t *testing.T) {
	var q requestQueue
	next, first := uint32(0), uint32(0)
	for round := range 100 {
		for range round {
			q.push(unanswered{id: next})
			next++
		}
		q.sent = q.count
		for range round * 3 / 4 {
			if u := q.pop(); u.id != first {
				t.Fatalf("id %d, want %d", u.id, first)
			}
			first++
		}
		if q.sent != q.count {
			t.Fatalf("%d sent of %d", q.sent, q.count)
		}
	}
	for q.count > 0 {
		if u := q.pop(); u.id != first {
			t.Fatalf("id %d, want %d", u.id, first)
		}
		first++
	}
}
