package engine

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
)

// fullDisk is the hook of a disk on which the first changes find room and all
// later ones do not. A write that fails has written its first half.
type fullDisk struct {
	room int64
	n    atomic.Int64
}

func (d *fullDisk) refuse(c call) error {
	switch c.op {
	case "write", "create", "mkdir", "rename":
		if d.n.Add(1) > d.room {
			return syscall.ENOSPC
		}
	}
	return nil
}

// fullRun is one engine on a disk that fills up.
type fullRun struct {
	t    *testing.T
	name string
	e    *Engine
	want map[string][]string // by topic: what was acknowledged
	next int
}

// may fails the test if err is another error than that of a full disk.
func (r *fullRun) may(what string, err error) bool {
	r.t.Helper()
	if err != nil && (!isNoSpace(err) || isFinal(err)) {
		r.t.Errorf("%s: %s: %v", r.name, what, err)
	}
	if err := r.e.Failure(); err != nil {
		r.t.Fatalf("%s: %s: the directory has stopped: %v", r.name, what, err)
	}
	return err == nil
}

// produce appends n records, one by one.
func (r *fullRun) produce(topic string, n int) bool {
	r.t.Helper()
	whole := true
	for range n {
		v := fmt.Sprintf("%50d", r.next)
		r.next++
		p := partition(r.t, r.e, topic)
		tune(p, segmentBytes(300))
		if r.may("produce to "+topic, p.Produce(context.Background(), &AppendRequest{Batches: batchOf(r.t, 1, v), Acks: AcksAll})) {
			r.want[topic] = append(r.want[topic], v)
		} else {
			whole = false
		}
	}
	return whole
}

// work rolls segments, writes checkpoints, commits metadata, and makes and
// deletes a topic; it tells whether all of that succeeded.
func (r *fullRun) work() bool {
	r.t.Helper()
	whole := r.produce("t", 8)
	_, err := r.e.checkpoint(false)
	whole = r.may("checkpoint", err) && whole
	_, err = r.e.AlterTopic("t", TopicChange{Set: map[string]string{"retention.ms": fmt.Sprint(100_000 + r.next)}})
	whole = r.may("alter topic", err) && whole
	name := fmt.Sprintf("new-%d", r.next)
	if _, err = r.e.CreateTopic(TopicSpec{Name: name}); r.may("create topic", err) {
		whole = r.produce(name, 1) && whole
		if err = r.e.DeleteTopic(name); r.may("delete topic", err) {
			delete(r.want, name)
		} else {
			whole = false
		}
	} else {
		whole = false
	}
	return r.produce("t", 2) && whole
}

// check holds the topics against what was acknowledged.
func (r *fullRun) check() {
	r.t.Helper()
	for topic, want := range r.want {
		if got := values(r.t, partition(r.t, r.e, topic), 0, 1<<20); !slices.Equal(got, want) {
			r.t.Fatalf("%s: %s holds %.300q, want %.300q", r.name, topic, got, want)
		}
	}
}

// On a disk that is full from the Nth change on, for each N of a start, of rolls,
// checkpoints, commits of metadata, atomic renames, creations, deletions and a
// stop, nothing is lost, nothing unacknowledged is seen, and the directory does
// not stop. When there is room it goes on without a restart; a stop on the full
// disk says that it was clean only if it was (KAFKA-13773).
func TestFullFromEachStep(t *testing.T) {
	from := t.TempDir()
	e := openEngine(t, from)
	p := createTopic(t, e, "t", "index.interval.bytes", "10")
	tune(p, segmentBytes(300))
	produceEach(t, p, padded(5)...)
	crash(t, e)
	for _, end := range []string{"room", "close", "room, with a journal"} {
		journal := func(o *Options) {
			if strings.HasSuffix(end, "journal") {
				withJournal(o)
			}
		}
		for n := int64(0); ; n++ {
			fs := traceDir(t, copyDir(t, from))
			fs.noSync = true
			disk := &fullDisk{room: n}
			fs.hook(disk.refuse)
			r := &fullRun{t: t, name: fmt.Sprintf("full after %d changes, then %s", n, end), want: map[string][]string{"t": padded(5)}}
			r.e = openEngine(t, "", onFS(fs), journal)
			r.check()
			done := r.work()
			r.check()
			if end == "close" {
				if err := r.e.Close(); err != nil && (!isNoSpace(err) || isFinal(err)) {
					t.Errorf("%s: %v", r.name, err)
				}
			} else {
				fs.hook(nil)
				if !r.work() {
					t.Fatalf("%s: not all goes on when there is room", r.name)
				}
				r.check()
				crash(t, r.e)
			}
			fs.hook(nil)
			r.e = openEngine(t, "", onFS(fs), journal)
			r.check()
			if !r.work() {
				t.Fatalf("%s: not all goes on after a restart", r.name)
			}
			r.check()
			if err := r.e.Close(); err != nil {
				t.Fatalf("%s: %v", r.name, err)
			}
			if t.Failed() || done && disk.n.Load() <= n {
				break
			}
		}
	}
}

// What cannot be opened on a full disk says so, and opens when there is room.
func TestNewDirectoryOnFullDisk(t *testing.T) {
	for n := int64(0); ; n++ {
		fs := traceDir(t, t.TempDir())
		disk := &fullDisk{room: n}
		fs.hook(disk.refuse)
		e, err := Open("", Options{FS: fs, Log: quiet, MinFreeBytes: -1, BallastBytes: -1, JournalBytes: -1})
		if err == nil {
			if err := e.Close(); err != nil && !isNoSpace(err) {
				t.Error(err)
			}
		} else if !errors.Is(err, syscall.ENOSPC) || isFinal(err) {
			t.Errorf("full after %d changes: %v", n, err)
		}
		fs.hook(nil)
		e = openEngine(t, "", onFS(fs))
		produceEach(t, createTopic(t, e, "t"), "0")
		if err := e.Close(); err != nil {
			t.Error(err)
		}
		if disk.n.Load() <= n || t.Failed() {
			return
		}
	}
}

// A checkpoint on a full disk takes two lines of the log, not one for each
// partition.
func TestCheckpointOnFullDiskIsBrief(t *testing.T) {
	var log lockedBuffer
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs), logInto(&log))
	topic, err := e.CreateTopic(TopicSpec{Name: "t", Partitions: 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range topic.Partitions() {
		produceEach(t, p, "0")
	}
	fs.hook((&fullDisk{}).refuse)
	if _, err := e.checkpoint(false); err != nil && !isNoSpace(err) {
		t.Fatal(err)
	}
	if n := log.count("recovery point"); n != 2 || log.count("partitions=20") != 1 {
		t.Errorf("%d lines, want 2", n)
	}
}
