package verify

import (
	"context"
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// partitionCheck is the check of one partition's directory.
type partitionCheck struct {
	*checker
	ctx    context.Context
	dir    string
	topic  *topic
	report func(Finding) error

	// point: all below was durable when the last process stopped, as far as the
	// recovery points tell; hasPoint is false if they do not.
	point    record.Offset
	hasPoint bool
	// durable is the same with what the journal tells, which is where the log was
	// acknowledged to.
	durable     record.Offset
	quarantined bool                // there is a quarantine file
	ranges      []dump.DamagedRange // what it holds

	segments []segmentFile
	indexes  map[string]bool // names of .index and .timeindex files
	epochs   *epochWalk
	sequence *dump.Sequence // nil before the first segment
	damaged  bool           // the end of the log so far is
}

// segmentFile is one .log file.
type segmentFile struct {
	base record.Offset
	name string // below the partition's directory
}

// checkPartition checks the partition in dir. Its findings go to report, whose
// error ends the check.
func (c *checker) checkPartition(ctx context.Context, dir string, report func(Finding) error) error {
	p := &partitionCheck{checker: c, ctx: ctx, dir: dir, topic: c.image.partition(dir), report: report}
	if c.live {
		p.report = p.unlessDeleted(report)
	}
	p.point, p.hasPoint = c.points[dir]
	p.durable = max(p.point, c.journal.durable(p.topic.id, dir))
	entries, err := c.fs.ReadDir(dir)
	if c.live && errors.Is(err, fs.ErrNotExist) {
		return nil // its topic was deleted meanwhile
	}
	if err != nil {
		return p.report(whole(Problem, c.full(dir), "%v", err))
	}
	if err := p.list(entries); err != nil {
		return err
	}
	if err := p.readQuarantine(); err != nil {
		return err
	}
	for i, s := range p.segments {
		if err := p.segment(s, i+1 == len(p.segments)); err != nil {
			return err
		}
	}
	return p.ends()
}

// errDeleted ends the check of a partition whose topic was deleted meanwhile.
var errDeleted = errors.New("topic deleted")

// unlessDeleted returns report for a live directory: what is found while a
// topic is being deleted means nothing. Its removal is committed first, and its
// directories are renamed then.
func (p *partitionCheck) unlessDeleted(report func(Finding) error) func(Finding) error {
	reread := false
	return func(f Finding) error {
		if _, err := p.fs.Stat(p.dir); err != nil {
			return errDeleted
		}
		if !reread {
			reread = true
			now, err := p.readMetadata(func(dump.Problem) error { return nil })
			if err != nil || now.byID[p.topic.id] == nil {
				return errDeleted
			}
		}
		return report(f)
	}
}

// list takes stock of the directory and checks its small files.
func (p *partitionCheck) list(entries []fs.DirEntry) error {
	p.indexes = map[string]bool{}
	present := map[string]bool{}
	logs := map[record.Offset]bool{}
	for _, entry := range entries {
		if base, suffix := segmentName(entry.Name()); suffix == ".log" {
			logs[base] = true
		}
	}
	for _, entry := range entries {
		name := entry.Name()
		base, suffix := segmentName(name)
		known := name == leaderEpochFile || name == partitionMetadataFile || name == quarantineFile
		switch suffix {
		case ".log", ".index", ".timeindex", ".txnindex", ".snapshot":
			known = true
		}
		var finding Finding
		switch {
		case known && !entry.Type().IsRegular():
			finding = foreignType(p.full(path.Join(p.dir, name)), entry)
		case suffix == ".log":
			p.segments = append(p.segments, segmentFile{base, name})
			continue
		case (suffix == ".index" || suffix == ".timeindex") && logs[base]:
			p.indexes[name] = true
			continue
		case suffix == ".index" || suffix == ".timeindex":
			finding = whole(Note, p.full(path.Join(p.dir, name)), "index without a log, which is ignored: retention was interrupted, or somebody has removed the log")
		case suffix == ".snapshot":
			if err := p.producerSnapshot(name); err != nil {
				return err
			}
			continue
		case known:
			present[name] = true
			continue
		case strings.HasPrefix(suffix, ".log"+asideSuffix):
			finding = whole(Note, p.full(path.Join(p.dir, name)), "a segment that a recovery has set aside; it is not served")
		case strings.HasSuffix(suffix, ".deleted"):
			finding = whole(Note, p.full(path.Join(p.dir, name)), "a file of a deleted segment, which is removed later or by the next start")
		default:
			finding = unknownFile(p.full(path.Join(p.dir, name)))
		}
		if err := p.report(finding); err != nil {
			return err
		}
	}
	p.quarantined = present[quarantineFile]
	if err := p.identity(present[partitionMetadataFile]); err != nil {
		return err
	}
	return p.readEpochs(present[leaderEpochFile])
}

// identity checks which topic the directory says that it belongs to.
func (p *partitionCheck) identity(present bool) error {
	file := p.full(path.Join(p.dir, partitionMetadataFile))
	if !present {
		return p.report(whole(Problem, file, "missing, want topic id %s", p.topic.id))
	}
	id, problems := p.topicID(p.dir)
	for _, problem := range problems {
		if err := p.report(fromDump(Problem, file, problem)); err != nil {
			return err
		}
	}
	if len(problems) == 0 && id != p.topic.id {
		return p.report(whole(Problem, file, "topic id %s, but topic %s has %s", id, p.topic.name, p.topic.id))
	}
	return nil
}

// readEpochs reads leader-epoch-checkpoint.
func (p *partitionCheck) readEpochs(present bool) error {
	file := p.full(path.Join(p.dir, leaderEpochFile))
	p.epochs = &epochWalk{path: file, report: p.report, blamed: noEpoch}
	if !present {
		return nil // which is right for an empty log; ends tells
	}
	f, err := p.fs.Open(path.Join(p.dir, leaderEpochFile))
	if err != nil {
		return p.report(whole(Problem, file, "%v", err))
	}
	defer f.Close()
	problems, err := dump.Contents(f, leaderEpochFile, dump.Options{}, func(item dump.Item) error {
		switch i := item.(type) {
		case dump.EpochEntry:
			p.epochs.entries = append(p.epochs.entries, i)
		case dump.Problem:
			return p.report(fromDump(Problem, file, i))
		}
		return nil
	})
	p.epochs.known = problems == 0 && len(p.epochs.entries) > 0
	p.epochs.damaged = problems > 0
	return err
}

// ends checks where the log begins and ends.
func (p *partitionCheck) ends() error {
	start, end := record.Offset(0), record.Offset(0)
	last := p.dir
	if p.sequence != nil {
		start, end = p.segments[0].base, p.sequence.Next()
		last = path.Join(p.dir, p.segments[len(p.segments)-1].name)
	}
	lost := end < p.durable
	if err := p.epochs.end(end, p.clean && !p.damaged && !lost); err != nil {
		return err
	}
	if end > start && len(p.epochs.entries) == 0 && !p.epochs.damaged {
		if err := p.report(whole(Problem, p.epochs.path, "missing or empty, but the log has records from offset %d on", start)); err != nil {
			return err
		}
	}
	if begin, ok := p.starts[p.dir]; ok && begin > end && !p.damaged {
		if err := p.report(whole(Problem, p.full(logStartFile), "%s begins at offset %d, but its log ends at %d", p.dir, begin, end)); err != nil {
			return err
		}
	}
	switch {
	case p.damaged || p.points == nil || p.inQuarantine(end, p.durable):
	case lost && p.journal.hasNext(p.topic.id, p.dir, p.durable):
		return p.report(Finding{Severity: Note, Path: p.full(last), Position: -1, Offset: end,
			Text: "the log ends here; the journal has what follows up to offset " + offsetText(p.durable) + ", and the next start writes it"})
	case !p.hasPoint && p.clean:
		return p.report(whole(Problem, p.full(recoveryPointFile), "no entry for %s after a clean stop, want offset %d", p.dir, end))
	case lost:
		return p.report(Finding{Severity: Problem, Path: p.full(last), Position: -1, Offset: end,
			Text: "the log ends here, but it was durable up to offset " + offsetText(p.durable)})
	case p.hasPoint && end > p.point && p.clean:
		return p.report(whole(Problem, p.full(recoveryPointFile), "%s was stopped cleanly at offset %d, but its log ends at %d", p.dir, p.point, end))
	}
	return nil
}

// open opens a file of the partition. One that is gone from a live directory is
// nil without an error.
func (p *partitionCheck) open(name string) (vfs.File, error) {
	f, err := p.fs.Open(path.Join(p.dir, name))
	if p.live && errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return f, err
}
