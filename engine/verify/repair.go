package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path"
	"path/filepath"
	"strings"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/vfs"
)

// RepairOptions say how a directory is repaired. The zero value works.
type RepairOptions struct {
	// DryRun only says what would be done.
	DryRun bool
	// Engine are the options that a server opens the directory with, as far as they
	// matter; FS, NodeID and CheckAll are not looked at.
	Engine engine.Options
}

// Step says what kind of thing a repair does.
type Step string

// The steps.
const (
	// SetAside: the file gets another name, under which nobody looks for it.
	SetAside Step = "set aside"
	// Write: the file is written with what other files say.
	Write Step = "write"
	// Rebuild: the file is made anew from the log.
	Rebuild Step = "rebuild"
	// Quarantine: the bytes stay, the rest of the log is served, and readers get an
	// error for these records.
	Quarantine Step = "quarantine"
	// Unmended: nothing can be derived from; it stays as it is.
	Unmended Step = "not mended"
)

// Action is one thing that a repair does, or would do.
type Action struct {
	Step     Step   `json:"step"`
	Path     string `json:"path"`
	Position int64  `json:"position"` // byte in the file, -1: the file as a whole
	Text     string `json:"text"`     // what of it and why
}

// String is the action as one line.
func (a Action) String() string {
	where := a.Path
	if a.Position >= 0 {
		where += fmt.Sprintf(": at position %d", a.Position)
	}
	return fmt.Sprintf("%s %s: %s", a.Step, where, a.Text)
}

// ErrNotRepairable means that a file is damaged from which everything else
// follows. Nothing was changed.
var ErrNotRepairable = errors.New("cannot be repaired")

// Repair mends what is wrong with the data directory at name, as far as it can be
// derived, and puts the rest into quarantine. It deletes no data: what it cannot use
// gets another name, damaged ranges of logs stay where they are. emit is told of each
// action before it is done. It checks the directory first, and does nothing if there
// is no problem; it blocks for the disk.
//
// Then it opens the directory as a server would, with engine.Options.CheckAll, and
// stops it cleanly.
//
// Errors: vfs.ErrLocked if a server has the directory open; ErrNotRepairable; those
// of Dir, of engine.Open and of emit.
func Repair(ctx context.Context, name string, options RepairOptions, emit func(Action) error) error {
	root, err := vfs.OpenExistingOS(name)
	if err != nil {
		return err
	}
	defer root.Close()
	r := &repair{fs: root, options: options, emit: emit, seen: map[string]bool{}}
	if err := r.examine(ctx, name); err != nil || len(r.seen) == 0 {
		return err
	}
	if r.hopeless {
		return fmt.Errorf("%w: %s: see above; put the file back from a backup", ErrNotRepairable, name)
	}
	if options.DryRun {
		return nil
	}
	if err := r.mend(); err != nil {
		return err
	}
	return r.recover(ctx, name)
}

// repair is one call of Repair.
type repair struct {
	fs      *vfs.OS
	options RepairOptions
	emit    func(Action) error

	seen     map[string]bool // files that an action was made for
	aside    []string        // names below the directory, to be set aside
	ids      map[string]string
	write    []string // partition directories whose metadata is to be written
	hopeless bool
}

// examine checks the directory and tells what is to be done about each problem.
// While it runs, and until the engine has it, nobody else may open the directory.
func (r *repair) examine(ctx context.Context, name string) error {
	locked, err := r.fs.Locked(lockFile)
	if err != nil {
		return err
	}
	if locked {
		return fmt.Errorf("%w: %s", vfs.ErrLocked, filepath.Join(name, lockFile))
	}
	r.ids = map[string]string{}
	c := &checker{ctx: ctx, fs: r.fs, options: Options{Width: 2}}
	c.emit = func(f Finding) error {
		if f.Severity != Problem {
			return nil
		}
		return r.plan(c, f)
	}
	return c.run()
}

// plan finds what to do about a problem, once for each file that is made anew.
func (r *repair) plan(c *checker, f Finding) error {
	rel, err := filepath.Rel(r.fs.Path(), f.Path)
	if err != nil {
		return err
	}
	kind := dump.KindOf(path.Base(rel))
	action := Action{Path: f.Path, Position: -1, Text: f.Text}
	switch {
	case kind == dump.KindLog && !f.foreign:
		action.Step, action.Position = Quarantine, f.Position
		if f.Offset >= 0 {
			action.Text = fmt.Sprintf("offset %d: %s", f.Offset, f.Text)
		}
		r.seen[rel] = true
		return r.emit(action)
	case r.seen[rel]:
		return nil
	}
	r.seen[rel] = true
	present := !strings.HasPrefix(f.Text, "missing")
	switch kind {
	case dump.KindMetaProperties, dump.KindMetadataLog, dump.KindLock:
		action.Step = Unmended
		r.hopeless = true
	case dump.KindOffsetIndex, dump.KindTimeIndex:
		action.Step = Rebuild
		if f.foreign {
			r.aside = append(r.aside, rel)
		}
	case dump.KindPartition:
		action.Step = Unmended
		if id, problems := c.topicID(path.Dir(rel)); len(problems) > 0 || id == "" {
			action.Step = Write
			r.write = append(r.write, path.Dir(rel))
			r.ids[path.Dir(rel)] = c.image.partition(path.Dir(rel)).id
			if present {
				r.aside = append(r.aside, rel)
			}
		}
	case dump.KindJournal:
		// The engine replays what is good of it before it sets it aside.
		action.Step = Rebuild
		if f.foreign {
			r.aside = append(r.aside, rel)
		}
	case dump.KindLeaderEpochs, dump.KindProducers, dump.KindRecoveryPoints, dump.KindLogStarts, dump.KindSnapshotList,
		dump.KindQuarantine, dump.KindCleanShutdown, dump.KindBoot, dump.KindFailure, dump.KindBallast:
		action.Step = Rebuild
		if present {
			action.Step = SetAside
			r.aside = append(r.aside, rel)
		}
	default:
		action.Step = Unmended
	}
	return r.emit(action)
}

// asideRepaired ends the name of a file that a repair has set aside.
const asideRepaired = ".damaged"

// mend does what needs no engine.
func (r *repair) mend() error {
	lock, err := r.fs.Lock(lockFile)
	if err != nil {
		return err
	}
	defer lock.Close()
	dirs := map[string]bool{}
	for _, name := range r.aside {
		free := name + asideRepaired
		for n := 1; ; n++ {
			if _, err := r.fs.Stat(free); errors.Is(err, fs.ErrNotExist) {
				break
			} else if err != nil {
				return err
			}
			free = fmt.Sprintf("%s%s.%d", name, asideRepaired, n)
		}
		if err := r.fs.Rename(name, free); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		dirs[path.Dir(name)] = true
	}
	for _, dir := range r.write {
		if err := r.writeMetadata(dir); err != nil {
			return err
		}
		dirs[dir] = true
	}
	for dir := range dirs {
		if err := r.fs.SyncDir(dir); err != nil {
			return err
		}
	}
	return nil
}

// writeMetadata writes partition.metadata, docs/format/data-directory.md.
func (r *repair) writeMetadata(dir string) error {
	f, err := r.fs.OpenFile(path.Join(dir, partitionMetadataFile), os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.WriteAt(0, []byte("version: 0\ntopic_id: "+r.ids[dir])); err != nil {
		return err
	}
	return f.Datasync()
}

// recover has an engine check everything, and tells which partitions it could not
// make ready.
func (r *repair) recover(ctx context.Context, name string) error {
	o := r.options.Engine
	o.FS, o.CheckAll = nil, true
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	o.NodeID = r.nodeID()
	e, err := engine.Open(name, o)
	if err != nil {
		return err
	}
	err = e.WaitReady(ctx)
	for _, t := range e.Topics() {
		for _, p := range t.Partitions() {
			if state, why := p.State(); err == nil && state == engine.Failed {
				err = r.emit(Action{Step: Unmended, Path: filepath.Join(name, p.String()), Position: -1, Text: why.Error()})
			}
		}
	}
	return errors.Join(err, e.Close())
}

// nodeID is what meta.properties says.
func (r *repair) nodeID() int32 {
	f, err := r.fs.Open(metaPropertiesFile)
	if err != nil {
		return 0
	}
	defer f.Close()
	id := int64(0)
	dump.Contents(f, metaPropertiesFile, dump.Options{}, func(item dump.Item) error {
		if p, ok := item.(dump.Property); ok && p.Key == "node.id" {
			id, _ = decimal(p.Value, 1<<31-1)
		}
		return nil
	})
	return int32(id)
}
