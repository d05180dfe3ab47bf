package contestant

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/iouring"
	"github.com/rollway/rollway/perf/bare"
	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

// bareTexts say what each bare server is, for who reads the conditions.
var bareTexts = map[string]string{
	BareSendFile:  "a goroutine for each connection, sendfile(2)",
	BareCopy:      "a goroutine for each connection, pread(2) and write(2)",
	BareSplice:    "a goroutine for each connection, splice(2) through a pipe of 1 MiB",
	BareEpoll:     "one thread for all connections, epoll(7), sendfile(2)",
	BareSink:      "a goroutine for each connection: receive, crc32c, one pwritev(2) for what a receive brought; page cache",
	BareEpollSink: "one thread for all connections, epoll(7): receive, crc32c, one pwritev(2) for each partition; page cache",
	BareURingSink: "one thread for all connections, io_uring: multishot receive, crc32c, one pwritev(2) for each partition out of the receive buffers; page cache",
	BareFdatasync: "as bare-sink, with an fdatasync(2) behind each pwritev(2)",
	BareJournal:   "as bare-epoll-sink, with one write and fdatasync(2) of a ring of 64 MiB, written before, for all partitions",
}

// bareContestant is one of the mechanisms of perf/bare, in a process of its own.
type bareContestant struct{ name string }

func newBare(name string, _ Options) (Contestant, error) { return &bareContestant{name: name}, nil }

func (b *bareContestant) Name() string { return b.name }

// fetches tells whether it answers fetches, and not produces.
func (b *bareContestant) fetches() bool {
	switch b.name {
	case BareSendFile, BareCopy, BareSplice, BareEpoll:
		return true
	}
	return false
}

// ringError is what the lab is told when there can be no ring. What stands in err
// says who likely forbids it and what to do.
func ringError(err error) error {
	if errors.Is(err, iouring.ErrUnavailable) {
		return &UnavailableError{Name: BareURingSink, Lacks: err.Error()}
	}
	return err
}

// Start starts this program once more, see ServeChild.
func (b *bareContestant) Start(ctx context.Context, s Setup) (Server, error) {
	if len(s.Expect) > 0 {
		return nil, fmt.Errorf("%s: start with topics %v of an earlier one, want none: it recovers nothing", b.name, s.Expect)
	}
	if b.name == BareURingSink {
		if err := ringError(iouring.ProbeSockets()); err != nil {
			return nil, err
		}
	}
	if err := os.RemoveAll(filepath.Join(s.Dir, firstTopic)); err != nil {
		return nil, err
	}
	config, err := json.Marshal(bareConfig{Name: b.name, Dir: s.Dir, Congestion: s.Congestion})
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	began := time.Now()
	// Not with ctx, with which the process would end.
	p, err := child.StartOn(context.WithoutCancel(ctx), s.Cores, program, bareArgument, string(config))
	if err != nil {
		return nil, err
	}
	server := &bareServer{contestant: b, process: p, dir: s.Dir, congestion: s.Congestion, addr: p.Addr, topic: firstTopic, ready: time.Since(began)}
	if !b.fetches() {
		if err := firstProduce(ctx, server.Target()); err != nil {
			return nil, errors.Join(err, server.Stop(ctx))
		}
		server.first = time.Since(began)
	}
	return server, nil
}

// bareServer serves one topic at a time.
type bareServer struct {
	contestant   *bareContestant
	process      *child.Process
	dir          string
	congestion   string
	addr         netip.AddrPort
	topic        string // that is served
	ready, first time.Duration
	ended        bool
}

func (s *bareServer) Target() load.Target  { return load.Target{Addr: s.addr, Congestion: s.congestion} }
func (s *bareServer) PID() int             { return s.process.PID() }
func (s *bareServer) DataDir() string      { return s.dir }
func (s *bareServer) Ready() time.Duration { return s.ready }
func (s *bareServer) First() time.Duration { return s.first }

func (s *bareServer) Conditions() []result.Condition {
	return []result.Condition{{Contestant: s.contestant.name, Name: "mechanism", Text: bareTexts[s.contestant.name]}}
}

// file is that of a partition.
func (s *bareServer) file(topic string, partition int) string {
	return bare.SinkFile(filepath.Join(s.dir, topic), partition)
}

func (s *bareServer) TopicConfigs() map[string]string { return map[string]string{} }

// CreateTopic has the server serve a topic of new, empty files instead of the one
// before. It has no configs. A server for fetches has a file for partition 0 only.
func (s *bareServer) CreateTopic(_ context.Context, name string, partitions int, _ map[string]string) error {
	if _, err := os.Stat(s.file(name, 0)); !errors.Is(err, os.ErrNotExist) {
		return errors.Join(fmt.Errorf("create topic %s: it exists", name), err)
	}
	return s.serve(name, partitions)
}

// serve has the server serve a topic; none if the name is empty.
func (s *bareServer) serve(topic string, partitions int) error {
	var a bareAnswer
	if err := s.process.Ask(bareQuestion{Topic: topic, Partitions: partitions}, &a); err != nil {
		s.ended = true // Ask has ended it
		return fmt.Errorf("%s: serve topic %q: %w", s.contestant.name, topic, err)
	}
	s.addr, s.topic = a.Addr, topic
	return nil
}

func (s *bareServer) DeleteTopic(_ context.Context, name string) error {
	if s.topic == name {
		if err := s.serve("", 0); err != nil {
			return err
		}
	}
	dir := filepath.Join(s.dir, name)
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return os.RemoveAll(dir)
}

// Fill writes the file itself: a server for fetches takes no batches.
func (s *bareServer) Fill(_ context.Context, topic string, f Filling) (load.Log, error) {
	size := f.Batch.Size()
	log := load.Log{Topic: topic, Bytes: f.Bytes - f.Bytes%size, BatchBytes: size, Step: size} // its offsets are positions
	if !s.contestant.fetches() {
		return log, fmt.Errorf("%s: fill %s: it serves no fetches", s.contestant.name, topic)
	}
	if err := appendBatches(s.file(topic, 0), f.Batch, log.Bytes); err != nil {
		return log, err
	}
	return log, s.serve(topic, 1) // the length of the file is looked at only then
}

// appendBatches makes a file one of so many bytes, whole batches.
func appendBatches(path string, batch record.Batch, bytes int64) (err error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	have, err := out.Seek(0, io.SeekEnd)
	for ; err == nil && have < bytes; have += int64(len(batch)) {
		_, err = out.Write(batch)
	}
	return err
}

// Verify reads the files.
func (s *bareServer) Verify(_ context.Context, topic string, partitions int, f Filling) error {
	size := f.Batch.Size()
	var bytes int64
	for i := range partitions {
		path := s.file(topic, i)
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		n, err := verifyBatches(file, f.Batch)
		file.Close()
		if err != nil {
			return fmt.Errorf("verify %s: %w", path, err)
		}
		bytes += n
	}
	if want := f.Bytes - f.Bytes%size; bytes != want {
		return fmt.Errorf("verify %s: %d bytes in %d files, want %d", topic, bytes, partitions, want)
	}
	return nil
}

// verifyBatches looks at the first and the last batch of a file and returns its
// length.
func verifyBatches(file *os.File, want record.Batch) (bytes int64, err error) {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return 0, err
	}
	p := make([]byte, want.Size())
	for _, at := range []int64{0, info.Size() - want.Size()} {
		if _, err := file.ReadAt(p, max(0, at)); err != nil {
			return 0, fmt.Errorf("at %d: %w", at, err)
		}
		b, rest, err := record.Next(p)
		if err == nil {
			err = b.Verify()
		}
		if err == nil && (len(rest) > 0 || b.Count() != want.Count()) {
			err = fmt.Errorf("batch of %d bytes and %d records, want %d and %d", b.Size(), b.Count(), want.Size(), want.Count())
		}
		if err != nil {
			return 0, fmt.Errorf("at %d: %w", at, err)
		}
	}
	return info.Size(), nil
}

// Stop ends it, and returns what went wrong with a connection.
func (s *bareServer) Stop(context.Context) error {
	if s.ended {
		return nil
	}
	if err := s.serve("", 0); err != nil {
		return err
	}
	s.ended = true
	return s.process.Stop()
}

// Kill ends it.
func (s *bareServer) Kill() error {
	s.ended = true
	s.process.Kill()
	return nil
}
