package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// Options say how a directory is checked. The zero value works.
type Options struct {
	// Width is how many partitions are checked at a time. Default 2: the disk is
	// the server's.
	Width int
	// Progress, if not nil, is told how many of how many bytes of logs are
	// checked. It is called concurrently, often, and must be quick.
	Progress func(done, total int64)
}

// Dir checks the data directory at name and calls emit with everything that an
// operator should know, problems among it, which the summary counts. It blocks
// for the disk; emit is called by one goroutine at a time.
//
// Errors: that of emit or of ctx, which end the check; what the file system says
// when name cannot be opened; ErrNoDataDirectory. What goes wrong with a file
// inside is a finding.
func Dir(ctx context.Context, name string, options Options, emit func(Finding) error) (Summary, error) {
	if options.Width < 1 {
		options.Width = 2
	}
	root, err := vfs.OpenExistingOS(name)
	if err != nil {
		return Summary{}, err
	}
	defer root.Close()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := &checker{ctx: ctx, fs: root, options: options, emit: emit}
	err = c.run()
	c.summary.Segments = c.segments.Load()
	c.summary.Batches = c.batches.Load()
	c.summary.Bytes = c.bytes.Load()
	return c.summary, err
}

// ErrNoDataDirectory means that the directory holds nothing that a data
// directory has.
var ErrNoDataDirectory = errors.New("no data directory")

// checker is one call of Dir.
type checker struct {
	ctx     context.Context
	fs      *vfs.OS
	options Options
	emit    func(Finding) error
	summary Summary

	// What the files of the data directory say, for the partitions to be held
	// against; written before the first of them is checked.
	live, clean bool
	image       *image
	points      map[string]record.Offset // recovery points by partition directory
	starts      map[string]record.Offset // log start offsets, likewise
	journal     *journal

	segments, batches, bytes atomic.Int64
	done, total              atomic.Int64 // bytes, for Progress
}

func (c *checker) run() error {
	entries, err := c.fs.ReadDir(".")
	if err != nil {
		return err
	}
	if !isDataDirectory(entries) {
		return fmt.Errorf("%w: %s has neither %s nor %s; want the directory that `rollway serve --data` was given", ErrNoDataDirectory, c.fs.Path(), metaPropertiesFile, metadataLogFile)
	}
	if c.live, err = c.fs.Locked(lockFile); err != nil {
		return err
	}
	if err := c.root(entries); err != nil {
		return err
	}
	c.summary.Live, c.summary.Clean = c.live, c.clean
	c.summary.Topics = len(c.image.byName)
	partitions, err := c.partitions(entries)
	if err != nil {
		return err
	}
	c.summary.Partitions = len(partitions)
	return c.checkAll(partitions)
}

// isDataDirectory tells whether there is anything of ours.
func isDataDirectory(entries []fs.DirEntry) bool {
	for _, entry := range entries {
		switch entry.Name() {
		case metaPropertiesFile, metadataLogFile, lockFile:
			return true
		}
	}
	return false
}

// report counts a finding and hands it on. It is for the goroutine of Dir.
func (c *checker) report(f Finding) error {
	switch f.Severity {
	case Problem:
		c.summary.Problems++
	case Note:
		c.summary.Notes++
	}
	return c.emit(f)
}

func (c *checker) full(name string) string { return filepath.Join(c.fs.Path(), name) }

// partitions returns the directories that are to be checked, and reports the
// others and those that are missing.
func (c *checker) partitions(entries []fs.DirEntry) ([]string, error) {
	present := map[string]bool{}
	var dirs []string
	for _, entry := range entries {
		name := entry.Name()
		if !entry.IsDir() {
			continue
		}
		if c.image.partition(name) != nil {
			present[name] = true
			dirs = append(dirs, name)
		} else if err := c.strange(name); err != nil {
			return nil, err
		}
	}
	for _, t := range c.image.topics() {
		for i := range t.partitions {
			name := fmt.Sprintf("%s-%d", t.name, i)
			if present[name] {
				continue
			}
			if _, err := c.fs.Stat(name); err == nil && c.live {
				dirs = append(dirs, name) // the topic was made meanwhile
				continue
			}
			if err := c.missing(t, name); err != nil {
				return nil, err
			}
		}
	}
	for _, dir := range dirs {
		c.total.Add(c.logBytes(dir))
	}
	return dirs, nil
}

// missing reports a partition without a directory, unless its topic was deleted
// meanwhile.
func (c *checker) missing(t *topic, dir string) error {
	if c.live {
		now, err := c.readMetadata(func(dump.Problem) error { return nil })
		if err != nil || now.byID[t.id] == nil {
			return err
		}
	}
	return c.report(whole(Problem, c.full(dir), "missing, but topic %s has %d partitions", t.name, t.partitions))
}

// strange reports a directory that is no partition's.
func (c *checker) strange(dir string) error {
	if rest, ok := strings.CutSuffix(dir, deletedSuffix); ok && strings.Contains(rest, ".") {
		if c.live {
			return nil // it is being removed
		}
		return c.report(whole(Note, c.full(dir), "a deleted partition, which the next start removes"))
	}
	if _, _, ok := splitPartitionDir(dir); !ok {
		return c.report(whole(Note, c.full(dir), "unknown directory, which is ignored"))
	}
	entries, err := c.fs.ReadDir(dir)
	if err != nil && c.live {
		return nil // it is gone
	}
	if err != nil {
		return c.report(whole(Problem, c.full(dir), "%v", err))
	}
	if id, _ := c.topicID(dir); c.image.deleted[id] {
		return c.report(whole(Note, c.full(dir), "a partition of a deleted topic, which the next start removes"))
	}
	for _, entry := range entries {
		// A live server may have made the topic since the metadata log was read.
		if info, err := entry.Info(); !c.live && strings.HasSuffix(entry.Name(), ".log") && err == nil && info.Size() > 0 {
			return c.report(whole(Problem, c.full(dir), "it holds records, but the metadata log has no such partition: nobody can read them"))
		}
	}
	return c.report(whole(Note, c.full(dir), "an empty partition that the metadata log does not have, most likely of a topic whose creation was interrupted"))
}

// topicID returns what partition.metadata says.
func (c *checker) topicID(dir string) (string, []dump.Problem) {
	f, err := c.fs.Open(path.Join(dir, partitionMetadataFile))
	if err != nil {
		return "", []dump.Problem{{Position: -1, Text: err.Error()}}
	}
	defer f.Close()
	id := ""
	var problems []dump.Problem
	dump.Contents(f, partitionMetadataFile, dump.Options{}, func(item dump.Item) error {
		switch i := item.(type) {
		case dump.Property:
			if i.Key == "topic_id" {
				id = i.Value
			}
		case dump.Problem:
			problems = append(problems, i)
		}
		return nil
	})
	return id, problems
}

// logBytes is the size of the .log files in dir, for Progress.
func (c *checker) logBytes(dir string) int64 {
	entries, err := c.fs.ReadDir(dir)
	if err != nil {
		return 0
	}
	bytes := int64(0)
	for _, entry := range entries {
		if _, suffix := segmentName(entry.Name()); suffix != ".log" {
			continue
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
	}
	return bytes
}

// findingsAhead bounds what a partition that is not reported yet has ready.
const findingsAhead = 256

// checkAll checks the partitions, Options.Width at a time, and reports what is
// found in their order. A partition whose turn has not come waits when it has
// found more than findingsAhead.
func (c *checker) checkAll(dirs []string) error {
	ctx, cancel := context.WithCancel(c.ctx)
	var workers sync.WaitGroup
	defer workers.Wait()
	defer cancel()
	found := make([]chan Finding, len(dirs))
	for i := range found {
		found[i] = make(chan Finding, findingsAhead)
	}
	var next atomic.Int64
	for range min(c.options.Width, len(dirs)) {
		workers.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(dirs); i = int(next.Add(1)) - 1 {
				c.checkPartition(ctx, dirs[i], func(f Finding) error {
					select {
					case found[i] <- f:
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				})
				close(found[i])
			}
		})
	}
	for _, findings := range found {
		for f := range findings {
			if err := c.report(f); err != nil {
				return err
			}
		}
	}
	return c.ctx.Err()
}

// progressed counts bytes of logs as checked.
func (c *checker) progressed(bytes int64) {
	done := c.done.Add(bytes)
	if c.options.Progress != nil {
		c.options.Progress(done, c.total.Load())
	}
}
