package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollway/rollway/wire"
)

// breakingServer accepts one connection, says that every topic has one
// partition, and closes the connection instead of answering a Produce.
func breakingServer(t *testing.T) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		conn, err := ln.Accept()
		if err == nil {
			err = breakAtProduce(conn)
			conn.Close()
		}
		ended <- err
	}()
	t.Cleanup(func() {
		ln.Close()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

func breakAtProduce(conn net.Conn) error {
	var received []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buffer)
		if err != nil {
			return err
		}
		received = append(received, buffer[:n]...)
		for {
			f, rest, err := wire.Split(received, wire.DefaultMaxFrame)
			if err == wire.ErrIncomplete {
				break
			}
			if err != nil {
				return err
			}
			var answer []byte
			switch f.Kind {
			case wire.KindHello:
				answer = (&wire.Welcome{Version: wire.Version, Software: "test", SoftwareVersion: "1", MaxFrame: wire.DefaultMaxFrame,
					MaxInFlight: wire.DefaultMaxInFlight, MaxCredit: wire.DefaultMaxCredit}).AppendTo(nil, f.RequestID)
			case wire.KindDescribeTopic:
				answer = (&wire.TopicDescription{Topic: "lines", Partitions: []wire.Partition{{State: wire.StateReady}}}).AppendTo(nil, f.RequestID)
			case wire.KindInitProducer:
				answer = (&wire.ProducerAssigned{ProducerID: 7}).AppendTo(nil, f.RequestID)
			case wire.KindProduce:
				return nil
			default:
				return fmt.Errorf("unexpected %s", f.Kind)
			}
			if _, err := conn.Write(answer); err != nil {
				return err
			}
			received = rest
		}
	}
}

// A connection that breaks before the answer and does not come back leaves records in doubt: they are counted and have an
// exit code of their own, also while the input has not ended.
func TestProduceInDoubt(t *testing.T) {
	f := func(flags ...string) {
		t.Helper()
		r, w := io.Pipe()
		defer w.Close()
		go io.WriteString(w, "one\ntwo\n")
		var stderr lockedBuffer
		code := run(t.Context(), append([]string{"produce", "lines", "--addr", breakingServer(t)}, flags...), r, io.Discard, &stderr)
		const want = "0 of 2 records were acknowledged, 2 are in doubt: they may be in the log or not\n"
		if code != exitInDoubt || !strings.HasSuffix(stderr.String(), want) || strings.Count(stderr.String(), "\n") != 1 {
			t.Errorf("%q: exit code %d, %s; want %d, ... %s", flags, code, stderr.String(), exitInDoubt, want)
		}
	}
	f("--idempotent=false")
	f("--retry-for", "100ms")
	f("--retry-for", "0s")
}

// A signal ends the reading of an input that goes on, and what was read is sent.
func TestProduceSignal(t *testing.T) {
	s := startServer(t, t.TempDir())
	mustExecute(t, "", "topic", "create", "lines", "--addr", s.addr)
	r, w := io.Pipe()
	defer w.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	var stderr lockedBuffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"produce", "lines", "--addr", s.addr, "--linger", "0s"}, r, io.Discard, &stderr)
	}()
	io.WriteString(w, "one\ntwo\n")
	waitForEnd(t, s.addr, "lines", 2)
	cancel(signalError{syscall.SIGINT})
	if code := <-ended; code != 130 || !strings.Contains(stderr.String(), "2 of 2 records were acknowledged") {
		t.Errorf("exit code %d, %s", code, stderr.String())
	}
}

// Progress is one line that is written over, with rates; on what is no terminal there is none.
func TestProgress(t *testing.T) {
	if got, want := progressLine(3000, 6<<20, 2*time.Second), "3000 records, 6.0 MiB, 1500 records/s, 3.0 MiB/s"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	var out lockedBuffer
	silent := newProgress(&out)
	silent.update(1, 1)
	silent.end(1, 1)
	if out.String() != "" {
		t.Errorf("%q on what is no terminal", out.String())
	}
	p := &progress{w: &out, start: time.Now()}
	p.update(1, 1)
	p.update(2, 2) // too soon
	p.end(3, 3)
	if lines := strings.Split(out.String(), "\r"); len(lines) != 3 || !strings.HasPrefix(lines[1], "1 records") || !strings.HasPrefix(lines[2], "3 records") || !strings.HasSuffix(lines[2], "\n") {
		t.Errorf("%q", out.String())
	}
}
