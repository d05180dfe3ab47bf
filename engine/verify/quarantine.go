package verify

import (
	"fmt"
	"path"
	"slices"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
)

const quarantineFile = "rollway-quarantine"

// readQuarantine reads and reports the damage that the server knows of. It is not
// reported once more where the log is read.
func (p *partitionCheck) readQuarantine() error {
	if !p.quarantined {
		return nil
	}
	file := p.full(path.Join(p.dir, quarantineFile))
	f, err := p.open(quarantineFile)
	if f == nil && err == nil {
		return nil
	}
	if err != nil {
		return p.report(whole(Problem, file, "%v", err))
	}
	defer f.Close()
	problems, err := dump.Contents(f, quarantineFile, dump.Options{}, func(item dump.Item) error {
		switch i := item.(type) {
		case dump.DamagedRange:
			p.ranges = append(p.ranges, i)
		case dump.Problem:
			return p.report(fromDump(Problem, file, i))
		}
		return nil
	})
	if problems > 0 {
		p.ranges = nil // the server does not believe it either
	}
	for _, r := range p.ranges {
		if err == nil {
			err = p.reportRange(r)
		}
	}
	return err
}

func (p *partitionCheck) reportRange(r dump.DamagedRange) error {
	f := Finding{
		Severity: Problem, Path: p.full(path.Join(p.dir, fmt.Sprintf("%020d.log", r.Segment))), Position: r.Start, Offset: r.From,
		Text: fmt.Sprintf("in quarantine: offsets %d to %d are damaged, %d bytes are kept and not served; rollway partition skip lets readers past them", r.From, r.To-1, r.End-r.Start),
	}
	if r.Skipped {
		f.Severity = Note
		f.Text = fmt.Sprintf("in quarantine: offsets %d to %d are damaged, %d bytes are kept; readers are let past them", r.From, r.To-1, r.End-r.Start)
	}
	return p.report(f)
}

// isKnownDamage tells whether the bytes of a segment from start to end are in
// quarantine.
func (p *partitionCheck) isKnownDamage(segment record.Offset, start, end int64) bool {
	return slices.ContainsFunc(p.ranges, func(r dump.DamagedRange) bool {
		return r.Segment == segment && r.Start <= start && end <= r.End
	})
}

// inQuarantine tells whether the offsets from one to another, which no segment has,
// are in quarantine.
func (p *partitionCheck) inQuarantine(from, to record.Offset) bool {
	return from < to && slices.ContainsFunc(p.ranges, func(r dump.DamagedRange) bool { return r.From <= from && to <= r.To })
}
