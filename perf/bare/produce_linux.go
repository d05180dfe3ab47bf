package bare

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

const (
	// receiveBytes is the size of a connection's receive buffer: a batch of 1 MiB
	// with what stands around it. A larger one gains nothing.
	receiveBytes = 1<<20 + 16<<10

	// maxVectors is the most that one pwritev takes (IOV_MAX of limits.h).
	maxVectors = 1024
)

// castagnoli is the polynomial of a batch's crc.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Sink answers Produce frames: it receives as much as there is, checks the crc
// of each batch, writes all of them by one pwritev and answers.
type Sink struct {
	files []*sinkFile // one per partition
	sync  bool
	syncs atomic.Int64
}

// sinkFile is where the batches of one partition go.
type sinkFile struct {
	file *os.File
	end  atomic.Int64 // of what was given away to writers
}

// SinkOptions describe a Sink.
type SinkOptions struct {
	Dir        string // where to make the files
	Partitions int
	Sync       bool // fdatasync after each pwritev, before the answers
}

// SinkFile is the name of a partition's file.
func SinkFile(dir string, partition int) string {
	return filepath.Join(dir, fmt.Sprintf("bare-%d", partition))
}

// NewSink makes the files.
func NewSink(o SinkOptions) (*Sink, error) {
	s := &Sink{sync: o.Sync}
	for i := range o.Partitions {
		f, err := os.OpenFile(SinkFile(o.Dir, i), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o644)
		if err != nil {
			return nil, errors.Join(err, s.Close())
		}
		s.files = append(s.files, &sinkFile{file: f})
	}
	return s, nil
}

// Syncs returns the number of fdatasyncs so far.
func (s *Sink) Syncs() int64 { return s.syncs.Load() }

// Close closes the files.
func (s *Sink) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.file.Close())
	}
	return errors.Join(errs...)
}

func (s *Sink) serve(conn *net.TCPConn) error {
	in := frames{conn: conn, buffer: make([]byte, receiveBytes)}
	g := group{sink: s}
	for {
		if err := in.receive(); err != nil {
			return err
		}
		for done := false; !done; {
			frame, err := in.next()
			done = err == wire.ErrIncomplete
			switch {
			case done:
			case err != nil:
				return err
			default:
				if err := g.add(frame); err != nil {
					return err
				}
			}
			if done || len(g.batches) == maxVectors {
				if err := g.write(); err != nil {
					return err
				}
			}
		}
		if len(g.out) > 0 {
			if _, err := conn.Write(g.out); err != nil {
				return err
			}
			g.out = g.out[:0]
		}
	}
}

// group is what one receive has brought.
type group struct {
	sink      *Sink
	partition int32
	batches   [][]byte
	ids       []uint32
	bytes     int64
	out       []byte // answers
}

// add checks a frame and puts its batch into the group.
func (g *group) add(frame wire.Frame) error {
	if frame.Kind == wire.KindHello {
		g.out = welcome(g.out, frame)
		return nil
	}
	m, err := checkProduce(frame, len(g.sink.files))
	if err != nil {
		return err
	}
	if len(g.batches) > 0 && m.Partition != g.partition {
		return fmt.Errorf("partition %d on a connection of partition %d", m.Partition, g.partition)
	}
	g.partition = m.Partition
	g.batches = append(g.batches, m.Batches)
	g.ids = append(g.ids, frame.RequestID)
	g.bytes += int64(len(m.Batches))
	return nil
}

// checkProduce reads a Produce to one of so many partitions and checks its batch.
func checkProduce(frame wire.Frame, partitions int) (wire.Produce, error) {
	m, err := wire.ParseProduce(frame)
	if err != nil {
		return m, err
	}
	b := m.Batches
	switch {
	case int(m.Partition) >= partitions:
		return m, fmt.Errorf("partition %d, want one below %d", m.Partition, partitions)
	case len(b) < record.HeaderSize:
		return m, fmt.Errorf("batch of %d bytes, want at least %d", len(b), record.HeaderSize)
	}
	// A batch's crc is at 17 and covers what follows it.
	if found, want := binary.BigEndian.Uint32(b[17:]), crc32.Checksum(b[21:], castagnoli); found != want {
		return m, fmt.Errorf("batch crc %08x, want %08x", found, want)
	}
	return m, nil
}

// write writes the group, syncs it if asked to, and appends the answers.
func (g *group) write() error {
	if len(g.batches) == 0 {
		return nil
	}
	f := g.sink.files[g.partition]
	at := f.end.Add(g.bytes) - g.bytes
	n, err := unix.Pwritev(int(f.file.Fd()), g.batches, at)
	if err != nil || int64(n) != g.bytes {
		return fmt.Errorf("pwritev of %d bytes at %d: %d written, %w", g.bytes, at, n, err)
	}
	if g.sink.sync {
		g.sink.syncs.Add(1)
		if err := unix.Fdatasync(int(f.file.Fd())); err != nil {
			return fmt.Errorf("fdatasync: %w", err)
		}
	}
	for i, b := range g.batches {
		end := at + int64(len(b))
		p := wire.Produced{BaseOffset: at, NextOffset: end, LogAppendTimeMs: -1}
		g.out = p.AppendTo(g.out, g.ids[i])
		at = end
	}
	clear(g.batches)
	g.batches, g.ids, g.bytes = g.batches[:0], g.ids[:0], 0
	return nil
}
