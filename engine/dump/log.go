package dump

import (
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// logFile is a log that is being read.
type logFile struct {
	d        *dumper
	f        vfs.File
	size     int64
	sequence *Sequence
	scratch  []byte // uncompressed records
}

// log emits the batches of f, and what is wrong between them.
func (d *dumper) log(f vfs.File, size int64, base record.Offset) error {
	l := &logFile{d: d, f: f, size: size, sequence: NewSequence(base)}
	scan := NewLogScan(f, size)
	for scan.Next() {
		emit := l.batch
		if scan.Batch == nil {
			emit = l.damage
		}
		if err := emit(scan); err != nil {
			return err
		}
		scan.Least = l.sequence.Next()
	}
	if err := scan.Err(); err != nil {
		return d.problem(scan.Position, "%v; nothing behind it was read", err)
	}
	return nil
}

// batch emits the batch, its records if they are wanted, and what is wrong with
// it beside the batch before.
func (l *logFile) batch(scan *LogScan) error {
	position, b := scan.Position, scan.Batch
	if err := l.d.emit(Batch{Position: position, Batch: b}); err != nil {
		return err
	}
	offset, epoch := l.sequence.Check(b)
	for _, wrong := range []error{offset, epoch} {
		if wrong == nil {
			continue
		}
		if err := l.d.problem(position, "%v", wrong); err != nil {
			return err
		}
	}
	if l.d.options.Records {
		return l.records(position, b)
	}
	return nil
}

// damage reports a range without a whole batch. A log that has grown since it
// was opened was caught in the middle of an append, which is no problem.
func (l *logFile) damage(scan *LogScan) error {
	l.sequence.Skip()
	switch {
	case !scan.Last():
		return l.d.problem(scan.Position, "%v; %d bytes skipped to the next whole batch", scan.Wrong, scan.Len)
	case l.grown():
		return nil
	}
	return l.d.problem(scan.Position, "%v; no whole batch in the last %d bytes: a torn tail if no server has this file open", scan.Wrong, scan.Len)
}

func (l *logFile) records(position int64, b record.Batch) error {
	records, err := b.Decompress(l.scratch, maxBatchBytes)
	if err != nil {
		return l.d.problem(position, "%v", err)
	}
	if b.Codec() != record.CodecNone {
		l.scratch = records
	}
	it := b.Iterate(records)
	for it.Next() {
		if err := l.d.emit(Record{it.Record()}); err != nil {
			return err
		}
	}
	if err := it.Err(); err != nil {
		return l.d.problem(position, "%v", err)
	}
	return nil
}

// grown tells whether the file was appended to since it was opened.
func (l *logFile) grown() bool {
	size, err := l.f.Size()
	return err == nil && size > l.size
}
