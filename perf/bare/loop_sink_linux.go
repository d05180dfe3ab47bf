package bare

import (
	"errors"
	"fmt"
	"os"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/wire"
)

// leastRoom is what must be left of the receive memory of a turn for one more
// receive: a socket seldom has more for one that is served often.
const leastRoom = 64 << 10

// LoopSink answers Produce frames on one thread: it checks the crc of each batch
// that a wakeup brought, on any connection, and then writes all of them, by one
// pwritev for each partition. It is for one loop at a time.
type LoopSink struct {
	files   []*loopFile
	sync    bool
	journal *journal // nil: none
	syncs   atomic.Int64

	arena   []byte // what a turn of a Loop receives into
	used    int    // of arena
	scratch scratch

	// What was received in this turn and not yet written.
	dirty    []*loopFile
	answered []*sinkConn
}

// LoopSinkOptions describe a LoopSink.
type LoopSinkOptions struct {
	Dir        string // where to make the files
	Partitions int

	// Sync has each file that a wakeup wrote to synced by fdatasync, one after
	// the other, before the answers.
	Sync bool

	// JournalBytes, if not 0, is the length of a ring that is written in full
	// first: what a wakeup brought is written there once more, as one record,
	// and only that is synced before the answers. 4 MiB at least.
	JournalBytes int64
}

// loopFile is where the batches of one partition go.
type loopFile struct {
	file      *os.File
	partition int
	end       int64

	// In this turn.
	batches [][]byte
	asked   []asked
	bytes   int64
}

// asked is who waits for a batch.
type asked struct {
	conn *sinkConn
	id   uint32
}

// sinkConn is a connection of a LoopSink.
type sinkConn struct {
	assembler assembler
	out       []byte         // answers of this turn
	send      func(p []byte) // sends them; they are overwritten afterwards
}

// NewLoopSink makes the files.
func NewLoopSink(o LoopSinkOptions) (*LoopSink, error) {
	if o.Sync && o.JournalBytes != 0 {
		return nil, errors.New("sink that syncs its files and has a journal, want one of them")
	}
	s := &LoopSink{sync: o.Sync, arena: make([]byte, receiveBytes)}
	for i := range o.Partitions {
		f, err := os.OpenFile(SinkFile(o.Dir, i), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.files = append(s.files, &loopFile{file: f, partition: i})
	}
	if o.JournalBytes != 0 {
		j, err := newJournal(o.Dir, o.JournalBytes, &s.syncs)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.journal = j
	}
	return s, nil
}

// Syncs returns the number of fdatasyncs so far.
func (s *LoopSink) Syncs() int64 { return s.syncs.Load() }

// Close closes the files. The loop must have been closed.
func (s *LoopSink) Close() error {
	var errs []error
	if s.journal != nil {
		errs = append(errs, s.journal.close())
	}
	for _, f := range s.files {
		errs = append(errs, f.file.Close())
	}
	return errors.Join(errs...)
}

func (s *LoopSink) open(c *loopConn) {
	c.sink = sinkConn{assembler: assembler{scratch: &s.scratch}, send: c.sendAnswers}
}

// readable receives what a partial frame lacks where it is to be, and what
// follows behind what others have received in this turn.
func (s *LoopSink) readable(c *loopConn) error {
	if len(s.arena)-s.used < leastRoom {
		if err := s.turned(); err != nil {
			return err
		}
		if c.blocked || c.closed {
			return nil
		}
	}
	missing, behind := c.sink.assembler.missing(), s.arena[s.used:]
	n, err := c.receive(missing, behind)
	if err != nil {
		c.sink.assembler.drop()
		return err
	}
	filled := min(n, len(missing))
	s.used += n - filled
	c.sink.assembler.extend(filled)
	return s.receive(&c.sink, behind[:n-filled])
}

func (s *LoopSink) writable(c *loopConn) error {
	done, rest, err := sendHead(c.fd, c.rest, false)
	c.rest = rest
	if err != nil || !done {
		return err
	}
	return c.block(false)
}

// sendAnswers sends what the socket takes. It takes all but of a peer who reads
// none of his answers.
func (c *loopConn) sendAnswers(p []byte) {
	if c.closed {
		return
	}
	done, rest, err := sendHead(c.fd, p, false)
	if err == nil && !done {
		c.rest = append(c.rest[:0], rest...)
		err = c.block(true)
	}
	if err != nil {
		c.loop.end(c, err)
	}
}

// receive takes what c has received. p must stay until turned.
func (s *LoopSink) receive(c *sinkConn, p []byte) error {
	return c.assembler.feed(p, func(frame wire.Frame) error {
		if frame.Kind == wire.KindHello {
			s.willAnswer(c)
			c.out = welcome(c.out, frame)
			return nil
		}
		m, err := checkProduce(frame, len(s.files))
		if err != nil {
			return err
		}
		f := s.files[m.Partition]
		if len(f.batches) == 0 {
			s.dirty = append(s.dirty, f)
		}
		f.batches = append(f.batches, m.Batches)
		f.asked = append(f.asked, asked{c, frame.RequestID})
		f.bytes += int64(len(m.Batches))
		return nil
	})
}

// willAnswer has c be sent what is in its out at the end of the turn. Call it
// before out is appended to.
func (s *LoopSink) willAnswer(c *sinkConn) {
	if len(c.out) == 0 {
		s.answered = append(s.answered, c)
	}
}

// turned writes what was received in this turn, makes it durable if asked to,
// and answers.
func (s *LoopSink) turned() error {
	if err := s.write(); err != nil {
		return err
	}
	for _, f := range s.dirty {
		at := f.end
		for i, b := range f.batches {
			end := at + int64(len(b))
			p := wire.Produced{BaseOffset: at, NextOffset: end, LogAppendTimeMs: -1}
			c := f.asked[i].conn
			s.willAnswer(c)
			c.out = p.AppendTo(c.out, f.asked[i].id)
			at = end
		}
		f.end = at
		clear(f.batches)
		clear(f.asked)
		f.batches, f.asked, f.bytes = f.batches[:0], f.asked[:0], 0
	}
	for _, c := range s.answered {
		c.send(c.out)
		c.out = c.out[:0]
	}
	clear(s.dirty)
	clear(s.answered)
	s.dirty, s.answered, s.used = s.dirty[:0], s.answered[:0], 0
	s.scratch.reset()
	return nil
}

func (s *LoopSink) write() error {
	for _, f := range s.dirty {
		if err := writeVectors(f.file, f.batches, f.end); err != nil {
			return err
		}
		if s.sync {
			s.syncs.Add(1)
			if err := unix.Fdatasync(int(f.file.Fd())); err != nil {
				return os.NewSyscallError("fdatasync", err)
			}
		}
	}
	if s.journal != nil && len(s.dirty) > 0 {
		return s.journal.commit(s.dirty)
	}
	return nil
}

// writeVectors writes all of them behind one another by as few pwritev(2) as it
// can be done.
func writeVectors(f *os.File, vectors [][]byte, at int64) error {
	for len(vectors) > 0 {
		some := vectors[:min(len(vectors), maxVectors)]
		vectors = vectors[len(some):]
		var bytes int64
		for _, p := range some {
			bytes += int64(len(p))
		}
		n, err := unix.Pwritev(int(f.Fd()), some, at)
		if err == nil && int64(n) != bytes {
			err = errors.New("short write")
		}
		if err != nil {
			return fmt.Errorf("pwritev of %d bytes at %d: %d written, %w", bytes, at, n, err)
		}
		at += bytes
	}
	return nil
}
