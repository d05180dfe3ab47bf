package verify

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
)

// The files of a data directory, docs/format/data-directory.md.
const (
	lockFile              = ".lock"
	metaPropertiesFile    = "meta.properties"
	metadataLogFile       = "rollway-metadata.log"
	recoveryPointFile     = "recovery-point-offset-checkpoint"
	logStartFile          = "log-start-offset-checkpoint"
	cleanShutdownFile     = ".kafka_cleanshutdown"
	partitionMetadataFile = "partition.metadata"
	leaderEpochFile       = "leader-epoch-checkpoint"

	tempSuffix    = ".tmp"
	deletedSuffix = "-delete"
	asideSuffix   = ".unreachable"
)

// kafkaFiles are those that a Kafka has beside what is ours. Nobody reads them.
var kafkaFiles = map[string]bool{
	"replication-offset-checkpoint": true,
	"cleaner-offset-checkpoint":     true,
	"bootstrap.checkpoint":          true,
}

// root checks the files of the data directory itself.
func (c *checker) root(entries []fs.DirEntry) error {
	checks := map[string]func(present bool) error{
		cleanShutdownFile:  func(present bool) error { c.clean = present && !c.live; return nil },
		metadataLogFile:    c.metadataLog,
		metaPropertiesFile: c.metaProperties,
		recoveryPointFile:  func(present bool) (err error) { c.points, err = c.offsets(recoveryPointFile, present); return err },
		logStartFile:       func(present bool) (err error) { c.starts, err = c.offsets(logStartFile, present); return err },
		lockFile:           c.lock,
		snapshotListFile:   c.snapshotList,
		journalFile:        c.readJournal,
	}
	present := map[string]bool{}
	for _, entry := range entries {
		name := entry.Name()
		_, known := checks[name]
		known = known || isRootFile(name)
		switch {
		case known && !entry.Type().IsRegular():
			if err := c.report(foreignType(c.full(name), entry)); err != nil {
				return err
			}
		case known:
			present[name] = true
		case entry.IsDir() || kafkaFiles[name]:
		default:
			if err := c.report(unknownFile(c.full(name))); err != nil {
				return err
			}
		}
	}
	// In this order: whether the stop was clean decides how the rest is judged.
	for _, name := range []string{cleanShutdownFile, lockFile, metaPropertiesFile, metadataLogFile, recoveryPointFile, logStartFile, snapshotListFile, journalFile} {
		if err := checks[name](present[name]); err != nil {
			return err
		}
	}
	return nil
}

// isRootFile tells the files of a data directory that are checked for nothing but
// that they are files: what is in them is made anew, or nothing.
func isRootFile(name string) bool {
	switch dump.KindOf(name) {
	case dump.KindBallast, dump.KindBoot, dump.KindFailure:
		return true
	}
	return false
}

// foreignType is the problem of a name of ours that is no file.
func foreignType(path string, entry fs.DirEntry) Finding {
	what := "a special file"
	switch {
	case entry.IsDir():
		what = "a directory"
	case entry.Type()&fs.ModeSymlink != 0:
		what = "a symbolic link"
	}
	f := whole(Problem, path, "%s, want a regular file", what)
	f.foreign = true
	return f
}

// unknownFile is the note of a name that is not ours.
func unknownFile(path string) Finding {
	if strings.HasSuffix(path, tempSuffix) {
		return whole(Note, path, "left half written by a crash, and ignored")
	}
	if strings.Contains(path, asideRepaired) {
		return whole(Note, path, "set aside by a repair, or with damage by the server; it is ignored")
	}
	return whole(Note, path, "unknown file, which is ignored")
}

// contents reads a file of the data directory, reports its problems and hands
// over everything else.
func (c *checker) contents(name string, each func(dump.Item)) error {
	f, err := c.fs.Open(name)
	if err != nil {
		return c.report(whole(Problem, c.full(name), "%v", err))
	}
	defer f.Close()
	_, err = dump.Contents(f, name, dump.Options{}, func(item dump.Item) error {
		if p, ok := item.(dump.Problem); ok {
			return c.report(fromDump(Problem, f.Name(), p))
		}
		each(item)
		return nil
	})
	return err
}

// fromDump is the finding of a problem inside a file.
func fromDump(severity Severity, path string, p dump.Problem) Finding {
	return Finding{Severity: severity, Path: path, Position: p.Position, Line: p.Line, Offset: -1, Text: p.Text}
}

// metadataLog reads which topics there are, and reports what is wrong with it.
func (c *checker) metadataLog(present bool) (err error) {
	if !present {
		c.image = newImage()
		return c.report(whole(Problem, c.full(metadataLogFile), "missing, and with it all topics"))
	}
	c.image, err = c.readMetadata(func(p dump.Problem) error {
		severity := Problem
		if p.Torn && !c.clean {
			severity = Note // a commit that was never acknowledged, or is being written
		}
		return c.report(fromDump(severity, c.full(metadataLogFile), p))
	})
	return err
}

// readMetadata reads the metadata log and hands over its problems.
func (c *checker) readMetadata(problem func(dump.Problem) error) (*image, error) {
	m := newImage()
	f, err := c.fs.Open(metadataLogFile)
	if err != nil {
		return m, problem(dump.Problem{Position: -1, Text: err.Error()})
	}
	defer f.Close()
	_, err = dump.Contents(f, metadataLogFile, dump.Options{}, func(item dump.Item) error {
		switch i := item.(type) {
		case dump.Problem:
			return problem(i)
		case dump.Commit:
			for _, change := range i.Changes {
				m.apply(change)
			}
		}
		return nil
	})
	return m, err
}

// metaProperties checks whose directory it is.
func (c *checker) metaProperties(present bool) error {
	if !present {
		return c.report(whole(Problem, c.full(metaPropertiesFile), "missing, so that it is not known whose directory this is"))
	}
	var wrong []string
	err := c.contents(metaPropertiesFile, func(item dump.Item) {
		p, ok := item.(dump.Property)
		if !ok {
			return
		}
		switch p.Key {
		case "node.id":
			if _, ok := decimal(p.Value, 1<<31-1); !ok && p.Value != "" {
				wrong = append(wrong, fmt.Sprintf("node.id %q, want 0 to 2147483647", p.Value))
			}
		case "directory.id":
			if _, err := engine.ParseTopicID(p.Value); err != nil {
				wrong = append(wrong, fmt.Sprintf("directory.id: %v", err))
			}
		}
	})
	for _, text := range wrong {
		if err == nil {
			err = c.report(whole(Problem, c.full(metaPropertiesFile), "%s", text))
		}
	}
	return err
}

// lock checks the lock file, which is empty.
func (c *checker) lock(present bool) error {
	if !present {
		return nil // nobody has opened the directory since it was copied
	}
	info, err := c.fs.Stat(lockFile)
	if err == nil && info.Size() > 0 {
		return c.report(whole(Note, c.full(lockFile), "%d bytes, want none; they are ignored", info.Size()))
	}
	return nil
}

// offsets reads a checkpoint with an offset for each partition; nil if it
// cannot be believed.
func (c *checker) offsets(name string, present bool) (map[string]record.Offset, error) {
	offsets := map[string]record.Offset{}
	if !present {
		if name == recoveryPointFile && c.clean && len(c.image.byName) > 0 {
			return nil, c.report(whole(Problem, c.full(name), "missing after a clean stop"))
		}
		return offsets, nil
	}
	before := c.summary.Problems
	var twice []string
	err := c.contents(name, func(item dump.Item) {
		if e, ok := item.(dump.CheckpointEntry); ok {
			dir := fmt.Sprintf("%s-%d", e.Topic, e.Partition)
			if _, again := offsets[dir]; again {
				twice = append(twice, dir)
			}
			offsets[dir] = e.Offset
		}
	})
	for _, dir := range twice {
		if err == nil {
			err = c.report(whole(Problem, c.full(name), "partition %s twice, want it once", dir))
		}
	}
	if c.summary.Problems > before {
		return nil, err
	}
	return offsets, err
}
