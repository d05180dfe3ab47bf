package contestant

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/rollway/rollway/perf/bare"
	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/zerocopy"
)

// bareArgument as the first argument makes a program that calls ServeChild a bare
// server; the second is its bareConfig.
const bareArgument = "-bare-server"

// journalBytes is the length of bare-journal's ring: as rollway's is by default.
const journalBytes = 64 << 20

// ServeChild is what a program that starts bare contestants calls before anything
// else, with its arguments behind the name: they are processes of the same
// program. If handled, this was one, and the program is to exit.
func ServeChild(args []string) (handled bool, err error) {
	if len(args) != 2 || args[0] != bareArgument {
		return false, nil
	}
	var c bareConfig
	if err := json.Unmarshal([]byte(args[1]), &c); err != nil {
		return true, err
	}
	s := &bareProcess{config: c}
	if err := s.serve(bareQuestion{Topic: firstTopic, Partitions: 1}); err != nil {
		return true, err
	}
	return true, child.Serve(s.served.Addr(), s.answer)
}

// bareConfig says what a bare server is to be.
type bareConfig struct {
	Name       string // of the contestant
	Dir        string // where each topic gets a directory
	Congestion string
}

// bareQuestion asks a bare server to serve another topic than before: one of new
// files, or the one file that a fetcher is given. Without a topic it serves none,
// and tells what went wrong with the last one.
type bareQuestion struct {
	Topic      string
	Partitions int
}

// bareAnswer is what it answers.
type bareAnswer struct {
	Addr netip.AddrPort // where it listens for the topic
}

// listener is a bare.Server, bare.Loop or bare.RingLoop.
type listener interface {
	Addr() netip.AddrPort
	Close() error // returns the first error that a connection had
}

// bareProcess is what runs in the process of a bare server.
type bareProcess struct {
	config bareConfig
	served listener    // nil: no topic
	files  []io.Closer // of that topic
}

func (s *bareProcess) answer(line json.RawMessage) (any, error) {
	var q bareQuestion
	if err := json.Unmarshal(line, &q); err != nil {
		return nil, err
	}
	if err := s.close(); err != nil {
		return nil, err
	}
	if q.Topic == "" {
		return bareAnswer{}, nil
	}
	if err := s.serve(q); err != nil {
		return nil, err
	}
	return bareAnswer{Addr: s.served.Addr()}, nil
}

// close ends what is served.
func (s *bareProcess) close() error {
	if s.served == nil {
		return nil
	}
	errs := []error{s.served.Close()}
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	s.served, s.files = nil, nil
	return errors.Join(errs...)
}

// serve opens a topic's files and listens.
func (s *bareProcess) serve(q bareQuestion) (err error) {
	dir := filepath.Join(s.config.Dir, q.Topic)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	switch name := s.config.Name; name {
	case BareSendFile, BareCopy, BareSplice, BareEpoll:
		return s.serveFetcher(bare.SinkFile(dir, 0))
	case BareSink, BareFdatasync:
		sink, err := bare.NewSink(bare.SinkOptions{Dir: dir, Partitions: q.Partitions, Sync: name == BareFdatasync})
		if err != nil {
			return err
		}
		s.files = append(s.files, sink)
		return s.listen(bare.Listen(sink, s.config.Congestion))
	case BareEpollSink, BareURingSink, BareJournal:
		o := bare.LoopSinkOptions{Dir: dir, Partitions: q.Partitions}
		if name == BareJournal {
			o.JournalBytes = journalBytes
		}
		sink, err := bare.NewLoopSink(o)
		if err != nil {
			return err
		}
		s.files = append(s.files, sink)
		if name == BareURingSink {
			return s.listen(bare.ListenRing(sink, s.config.Congestion, bare.RingOptions{}))
		}
		return s.listen(bare.ListenLoop(sink, s.config.Congestion))
	}
	return fmt.Errorf("bare server %q, want one that there is", s.config.Name)
}

// serveFetcher serves a file, which is made empty if it is missing.
func (s *bareProcess) serveFetcher(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	s.files = append(s.files, f)
	info, err := f.Stat()
	if err != nil {
		return err
	}
	fetcher := &bare.Fetcher{File: f, Size: info.Size()}
	switch s.config.Name {
	case BareEpoll:
		return s.listen(bare.ListenLoop(fetcher, s.config.Congestion))
	case BareCopy:
		fetcher.Path = zerocopy.Copy
	case BareSplice:
		fetcher.Path = zerocopy.Splice
	}
	return s.listen(bare.Listen(fetcher, s.config.Congestion))
}

func (s *bareProcess) listen(l listener, err error) error {
	if err == nil {
		s.served = l
	}
	return err
}
