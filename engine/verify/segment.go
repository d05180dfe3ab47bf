package verify

import (
	"fmt"
	"path"
	"strconv"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// The widths of index entries, docs/format/indexes.md.
const (
	offsetEntryWidth = 8
	timeEntryWidth   = 12
)

// segmentCheck is the check of one segment: its batches, and its indexes beside
// them.
type segmentCheck struct {
	*partitionCheck
	file    segmentFile
	path    string // of the .log file
	last    bool   // of the partition: it may still grow
	offsets offsetWalk
	times   *timeWalk

	findings   []Finding     // of the indexes, until it is known what they mean
	indexable  record.Offset // the first batch that an offset index must have an entry for, -1: none
	unreported int64         // bytes of progress
}

// segment checks s, the last one or not.
func (p *partitionCheck) segment(s segmentFile, last bool) error {
	p.checker.segments.Add(1)
	c := &segmentCheck{partitionCheck: p, file: s, path: p.full(path.Join(p.dir, s.name)), last: last, indexable: -1}
	p.epochs.judge = c.judged
	if err := c.continues(); err != nil {
		return err
	}
	// The indexes first: what they say by now is of batches that are in the log
	// already, however fast it grows.
	if err := c.openIndexes(); err != nil {
		return err
	}
	defer c.offsets.close()
	defer c.times.close()
	f, err := p.open(s.name)
	if f == nil && err == nil {
		p.sequence.Skip() // removed by retention
		return nil
	}
	var size int64
	if err == nil {
		defer f.Close()
		size, err = f.Size()
	}
	if err != nil {
		p.sequence.Skip()
		p.damaged = true
		return p.report(whole(Problem, c.path, "%v", err))
	}
	if err := c.walk(f, size); err != nil {
		return err
	}
	return c.finish(size)
}

// continues checks that the segment begins where the one before it ends.
func (c *segmentCheck) continues() error {
	q := c.partitionCheck.sequence
	if q == nil {
		c.partitionCheck.sequence = dump.NewSequence(c.file.base)
		return nil
	}
	follows, end := q.Continues(c.file.base), q.Next()
	q.Restart(c.file.base)
	c.damaged = false
	if follows || c.inQuarantine(end, c.file.base) {
		return nil
	}
	return c.report(Finding{Severity: Problem, Path: c.path, Position: -1, Offset: c.file.base,
		Text: fmt.Sprintf("the segment begins with offset %d, want %d, where the one before it ends", c.file.base, end)})
}

// openIndexes begins the walks over both indexes.
func (c *segmentCheck) openIndexes() error {
	collect := func(f Finding) error { c.findings = append(c.findings, f); return nil }
	walk := func(suffix string, width int64) (*indexWalk, error) {
		name := c.file.name[:len(c.file.name)-len(".log")] + suffix
		file := c.full(path.Join(c.dir, name))
		var f vfs.File
		if c.indexes[name] {
			var err error
			if f, err = c.open(name); err != nil {
				collect(whole(Problem, file, "%v", err))
			}
		}
		return openIndex(f, file, name, width, collect)
	}
	offsets, err := walk(".index", offsetEntryWidth)
	if err != nil {
		return err
	}
	c.offsets = offsetWalk{offsets}
	times, err := walk(".timeindex", timeEntryWidth)
	c.times = &timeWalk{indexWalk: times, newest: record.NoTimestamp, last: dump.TimeEntry{Timestamp: record.NoTimestamp}}
	return err
}

// walk goes through the batches.
func (c *segmentCheck) walk(f vfs.File, size int64) error {
	scan := dump.NewLogScan(f, size)
	scan.Least = c.file.base
	for scan.Next() {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		step := c.batch
		if scan.Batch == nil {
			step = c.damage
		}
		if err := step(scan); err != nil {
			return err
		}
		scan.Least = c.sequence.Next()
		c.count(scan.Len)
	}
	if err := scan.Err(); err != nil {
		c.damaged = true
		c.sequence.Skip()
		c.times.skip()
		if c.live {
			return nil // cut or removed while it was read
		}
		return c.report(Finding{Severity: Problem, Path: c.path, Position: scan.Position, Offset: c.sequence.Next(),
			Text: fmt.Sprintf("%v; nothing behind it was read", err)})
	}
	return nil
}

// count takes note of bytes that were checked.
func (c *segmentCheck) count(bytes int64) {
	const step = 1 << 20
	c.bytes.Add(bytes)
	if c.unreported += bytes; c.unreported >= step {
		c.progressed(c.unreported)
		c.unreported = 0
	}
}

// batch takes a whole batch.
func (c *segmentCheck) batch(scan *dump.LogScan) error {
	b := scan.Batch
	c.batches.Add(1)
	c.damaged = false
	first := c.sequence.Next()
	wrong, order := c.sequence.Check(b)
	last := c.sequence.Next() - 1
	if wrong == nil {
		first = b.BaseOffset()
	}
	if err := c.beside(scan, first, wrong, order); err != nil {
		return err
	}
	if scan.Position > c.topic.indexIntervalBytes() && c.indexable < 0 {
		c.indexable = last
	}
	if err := c.offsets.batch(scan.Position, last, b.LastOffset()); err != nil {
		return err
	}
	return c.times.batch(b.MaxTimestamp(), first, last, b.LastOffset())
}

// beside reports what is wrong with a whole batch beside those before it, unless
// that is known.
func (c *segmentCheck) beside(scan *dump.LogScan, first record.Offset, wrong, order error) error {
	if c.isKnownDamage(c.file.base, scan.Position, scan.Position+scan.Len) {
		return nil
	}
	if wrong != nil {
		f := Finding{Severity: Problem, Path: c.path, Position: scan.Position, Offset: first, Text: wrong.Error()}
		if err := c.report(c.judged(f)); err != nil {
			return err
		}
	}
	return c.epochs.batch(c.path, scan.Position, first, scan.Batch.LeaderEpoch(), order)
}

// damage takes a range without a whole batch.
func (c *segmentCheck) damage(scan *dump.LogScan) error {
	next := c.sequence.Next()
	c.sequence.Skip()
	c.damaged = true
	c.times.skip()
	if err := c.offsets.damage(scan.Position + scan.Len); err != nil {
		return err
	}
	if c.isKnownDamage(c.file.base, scan.Position, scan.Position+scan.Len) {
		return nil
	}
	f := Finding{Severity: Problem, Path: c.path, Position: scan.Position, Offset: next}
	switch {
	case !scan.Last():
		f.Text = fmt.Sprintf("%v; %d bytes skipped to the next whole batch", scan.Wrong, scan.Len)
	case !c.last || c.clean:
		f.Text = fmt.Sprintf("%v; no whole batch in the last %d bytes", scan.Wrong, scan.Len)
	case next < c.durable:
		f.Text = fmt.Sprintf("%v; no whole batch in the last %d bytes, but everything below offset %d was durable, so this is no torn tail", scan.Wrong, scan.Len, c.durable)
	case c.live:
		return nil // it is being written
	default:
		f.Severity = Note
		f.Text = fmt.Sprintf("%v; no whole batch in the last %d bytes: a torn tail, which the next start cuts off", scan.Wrong, scan.Len)
	}
	return c.report(c.judged(f))
}

// judged makes a note of a problem that the next start mends from the journal.
func (c *segmentCheck) judged(f Finding) Finding {
	if f.Severity == Problem && !c.clean && c.journal.holds(c.topic.id, c.dir, c.file.base, f.Position) {
		f.Severity = Note
		f.Text += "; the journal has these bytes, and the next start writes them"
	}
	return f
}

// finish takes the end of the file and reports what was found in the indexes.
func (c *segmentCheck) finish(size int64) error {
	c.progressed(c.unreported)
	// Above the recovery point an index is made anew by the next start, and
	// behind the newest checkpoint a live server has entries in memory.
	settled := c.clean || c.hasPoint && c.sequence.Next() <= c.point
	if err := c.offsets.end(size); err != nil {
		return err
	}
	if settled && c.indexable >= 0 && c.offsets.entries == 0 && c.offsets.found == 0 {
		c.findings = append(c.findings, whole(Problem, c.offsets.path, "missing or empty, want entries: the batch that ends with offset %d begins behind %d bytes", c.indexable, c.topic.indexIntervalBytes()))
	}
	if err := c.times.end(c.sequence.Next(), settled); err != nil {
		return err
	}
	for _, f := range c.findings {
		if !settled {
			f.Severity = Note
			f.Text += "; the next start makes it anew"
		}
		if err := c.report(f); err != nil {
			return err
		}
	}
	return nil
}

func offsetText(o record.Offset) string { return strconv.FormatInt(int64(o), 10) }
