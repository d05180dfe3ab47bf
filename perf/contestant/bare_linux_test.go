package contestant

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/needs"
	"github.com/rollway/rollway/iouring"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
)

// Bare servers for fetches serve what was filled, one topic after another.
func TestBareFetchers(t *testing.T) {
	for _, name := range []string{BareSendFile, BareCopy, BareSplice, BareEpoll} {
		t.Run(name, func(t *testing.T) {
			s := start(t, name, Options{}, Setup{Dir: t.TempDir()})
			if s.Ready() <= 0 || s.First() != 0 || len(s.Conditions()) == 0 || s.Conditions()[0].Text == "" {
				t.Errorf("ready after %v, first batch after %v, conditions %v; want the first and the last", s.Ready(), s.First(), s.Conditions())
			}
			for _, topic := range []string{"filled", "other"} {
				if err := s.CreateTopic(t.Context(), topic, 1, nil); err != nil {
					t.Fatal(err)
				}
				if err := s.Verify(t.Context(), topic, 1, testBatch(t)); err == nil {
					t.Error("verify an empty topic: no error")
				}
				checkFill(t, s, topic)
				checkVerify(t, s, topic, 1)
			}
			checkTopics(t, s)
			checkStop(t, s)
		})
	}
}

// The lab goes on without a sink on a ring where there can be none, and says why.
func TestRingUnavailable(t *testing.T) {
	err := ringError(fmt.Errorf("probe: %w", &iouring.UnavailableError{Op: "io_uring_setup", Err: unix.EPERM, Cause: "seccomp"}))
	want := "bare-uring-sink: not available here: probe: io_uring_setup: operation not permitted; seccomp"
	if !IsUnavailable(err) || err.Error() != want {
		t.Errorf("%v, want that it is unavailable: %s", err, want)
	}
	if err := ringError(unix.EMFILE); IsUnavailable(err) || err != unix.EMFILE {
		t.Errorf("%v, want EMFILE", err)
	}
	if err := ringError(nil); err != nil {
		t.Error(err)
	}
}

// Bare servers for produces write what was sent to the files of the topic that was
// made last.
func TestBareSinks(t *testing.T) {
	for _, name := range []string{BareSink, BareEpollSink, BareURingSink, BareFdatasync, BareJournal} {
		t.Run(name, func(t *testing.T) {
			if name == BareURingSink {
				needs.Feature(t, "io_uring", iouring.ProbeSockets())
			}
			dir := filepath.Join(t.TempDir(), "data")
			s := start(t, name, Options{}, Setup{Dir: dir})
			if s.First() < s.Ready() || s.Ready() <= 0 {
				t.Errorf("ready after %v, first batch after %v; want both", s.Ready(), s.First())
			}
			f := testBatch(t)
			for _, topic := range []string{"filled", "other"} {
				if err := s.CreateTopic(t.Context(), topic, 2, nil); err != nil {
					t.Fatal(err)
				}
				p, err := load.NewProducers(t.Context(), s.Target(), load.ProducerOptions{Topic: topic, Partitions: 2, Connections: 2, Window: 4, Batch: f.Batch})
				if err != nil {
					t.Fatal(err)
				}
				_, err = p.Run(load.ProduceRun{Batches: f.Bytes / f.Batch.Size()})
				p.Close()
				if err != nil {
					t.Fatal(err)
				}
				checkVerify(t, s, topic, 2)
			}
			if _, err := s.Fill(t.Context(), "filled", f); err == nil {
				t.Error("fill a server that serves no fetches: no error")
			}
			checkTopics(t, s)
			checkStop(t, s)

			// Nothing is recovered, but it may be started over what was there.
			s = start(t, name, Options{}, Setup{Dir: dir})
			if err := s.Kill(); err != nil {
				t.Errorf("kill: %v", err)
			}
			checkGone(t, s)
			c, err := New(name, Options{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := c.Start(t.Context(), Setup{Dir: dir, Expect: []Topic{{"filled", 2}}}); err == nil {
				t.Error("start with topics to recover: no error")
			}
		})
	}
}

// What went wrong with a connection is told when the server stops or goes on to
// the next topic.
func TestBareFailure(t *testing.T) {
	s := start(t, BareSink, Options{}, Setup{Dir: t.TempDir()})
	p, err := load.NewProducers(t.Context(), s.Target(), load.ProducerOptions{
		Topic: "lab-first", Partitions: 5, Connections: 5, Window: 1, Batch: testBatch(t).Batch, // it has one partition
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if _, err := p.Run(load.ProduceRun{Batches: 5}); err == nil {
		t.Error("produce to partition 4 of 1: no error")
	}
	if err := s.Stop(t.Context()); err == nil || !strings.Contains(err.Error(), "want one below 1") {
		t.Errorf("stop: %v, want what the server said of the partition", err)
	}
	if err := s.Stop(t.Context()); err != nil {
		t.Errorf("stop again: %v", err)
	}
	checkGone(t, s)
}

// A server is on the cores that it was given, and on no other.
func TestCores(t *testing.T) {
	cores, err := host.Cores()
	if err != nil {
		t.Fatal(err)
	}
	last := cores[len(cores)-1:]
	for name, o := range map[string]Options{BareSink: {}, RollwayNative: {Program: program}} {
		s := start(t, name, o, Setup{Dir: t.TempDir(), Cores: last})
		if got := coresOf(t, s.PID()); len(got) != 1 || got[0] != last[0] {
			t.Errorf("%s: cores %v, want %v", name, got, last)
		}
	}
}

// checkVerify verifies a filled topic, and that what was not produced is found.
func checkVerify(t *testing.T, s Server, topic string, partitions int) {
	t.Helper()
	f := testBatch(t)
	if err := s.Verify(t.Context(), topic, partitions, f); err != nil {
		t.Error(err)
	}
	if err := s.Verify(t.Context(), topic, partitions, Filling{Batch: f.Batch, Bytes: 2 << 20}); err == nil {
		t.Error("verify twice the bytes that were produced: no error")
	}
	if err := s.Verify(t.Context(), topic, partitions, otherBatch(t)); err == nil {
		t.Error("verify batches of another length: no error")
	}
}

// checkTopics creates and deletes what is there, "filled", and what is not.
func checkTopics(t *testing.T, s Server) {
	t.Helper()
	if err := s.CreateTopic(t.Context(), "filled", 2, nil); err == nil {
		t.Error("create a topic that is there: no error")
	}
	if err := s.CreateTopic(t.Context(), "gone", 1, nil); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteTopic(t.Context(), "gone"); err != nil {
		t.Error(err)
	}
	if err := s.DeleteTopic(t.Context(), "never"); err == nil {
		t.Error("delete a topic that is not there: no error")
	}
}

// checkStop stops a server twice.
func checkStop(t *testing.T, s Server) {
	t.Helper()
	for range 2 {
		if err := s.Stop(t.Context()); err != nil {
			t.Errorf("stop: %v", err)
		}
	}
	checkGone(t, s)
}
