package dump

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/vfs"
)

// Options say how much is read. The zero value works.
type Options struct {
	// Records also opens the batches of logs and emits what is in them.
	Records bool
}

// Path reads the file at name, or all files of the directory at name and of
// the directories in it, in order of their names, and calls emit for each Item.
// It returns how many of them were Problems.
//
// Errors: that of emit, which ends the reading; what the file system says when
// name cannot be opened. A file inside a directory that cannot be read is a
// Problem.
func Path(name string, options Options, emit func(Item) error) (problems int, err error) {
	d := &dumper{options: options, emit: emit}
	d.fs, err = vfs.OpenExistingOS(name)
	if err == nil {
		defer d.fs.Close()
		err = d.directory(".", 1)
		return d.problems, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	// It is no directory, of which os.OpenRoot makes an error without a type,
	// or one that cannot be opened: then opening it as a file fails likewise.
	if d.fs, err = vfs.OpenExistingOS(filepath.Dir(name)); err != nil {
		return 0, err
	}
	defer d.fs.Close()
	f, err := d.fs.Open(filepath.Base(name))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	err = d.file(filepath.Base(name), f)
	return d.problems, err
}

// Contents reads the open file f as Path reads a file of that name (its last
// element), and calls emit for each Item. It returns how many of them were
// Problems, and emit's error, which ends the reading. f stays the caller's.
func Contents(f vfs.File, name string, options Options, emit func(Item) error) (problems int, err error) {
	d := &dumper{options: options, emit: emit}
	err = d.file(name, f)
	return d.problems, err
}

// dumper is one call of Path.
type dumper struct {
	fs       *vfs.OS
	options  Options
	emit     func(Item) error
	problems int
}

// problem emits one at a position of the current file.
func (d *dumper) problem(position int64, format string, args ...any) error {
	d.problems++
	return d.emit(Problem{Position: position, Text: fmt.Sprintf(format, args...)})
}

// lineProblem emits one at a line of the current file, a text file.
func (d *dumper) lineProblem(line int, format string, args ...any) error {
	d.problems++
	return d.emit(Problem{Position: -1, Line: line, Text: fmt.Sprintf(format, args...)})
}

// directory reads all files in dir, and depth levels of directories below it:
// a data directory has one.
func (d *dumper) directory(dir string, depth int) error {
	entries, err := d.fs.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		name := path.Join(dir, entry.Name())
		switch {
		case entry.IsDir() && depth > 0:
			err = d.subdirectory(name, depth-1)
		case entry.Type().IsRegular():
			err = d.named(name)
		default:
			err = d.emit(File{Path: d.full(name), Kind: KindOther})
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// subdirectory is directory, but one that cannot be listed costs only itself.
func (d *dumper) subdirectory(dir string, depth int) error {
	if _, err := d.fs.ReadDir(dir); err != nil {
		return d.unreadable(d.full(dir), err)
	}
	return d.directory(dir, depth)
}

// named reads the file name of a directory. One that is gone by now was
// removed by the server.
func (d *dumper) named(name string) error {
	f, err := d.fs.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return d.unreadable(d.full(name), err)
	}
	defer f.Close()
	return d.file(path.Base(name), f)
}

func (d *dumper) unreadable(file string, cause error) error {
	if err := d.emit(File{Path: file, Kind: KindOther}); err != nil {
		return err
	}
	return d.problem(-1, "%v", cause)
}

func (d *dumper) full(name string) string { return filepath.Join(d.fs.Path(), name) }

// file reads f by what its name says that it is.
func (d *dumper) file(name string, f vfs.File) error {
	size, err := f.Size()
	if err != nil {
		return d.unreadable(f.Name(), err)
	}
	kind, base := kindOf(name)
	if err := d.emit(File{Path: f.Name(), Kind: kind, Size: size}); err != nil {
		return err
	}
	switch kind {
	case KindLog:
		return d.log(f, size, base)
	case KindOffsetIndex:
		return d.offsetIndex(f, size, base)
	case KindTimeIndex:
		return d.timeIndex(f, size, base)
	case KindOther, KindLock, KindBallast, KindFailure:
		return nil
	case KindJournal:
		return d.journal(f, size)
	}
	content, err := readAll(f, size)
	if err != nil {
		return d.problem(-1, "%v", err)
	}
	switch kind {
	case KindRecoveryPoints, KindLogStarts:
		return d.offsetCheckpoint(content)
	case KindLeaderEpochs:
		return d.leaderEpochs(content)
	case KindSnapshotList:
		return d.offsetCheckpoint(content)
	case KindProducers:
		return d.producerSnapshot(content, base)
	case KindMetaProperties:
		return d.metaProperties(content)
	case KindPartition:
		return d.partitionMetadata(content)
	case KindQuarantine:
		return d.quarantine(content)
	case KindBoot:
		return d.boot(content)
	case KindCleanShutdown:
		return d.cleanShutdown(content)
	default:
		return d.metadataLog(content)
	}
}

// kinds has the files with fixed names.
var kinds = map[string]Kind{
	"recovery-point-offset-checkpoint": KindRecoveryPoints,
	"log-start-offset-checkpoint":      KindLogStarts,
	"leader-epoch-checkpoint":          KindLeaderEpochs,
	"rollway-producer-snapshots":       KindSnapshotList,
	"meta.properties":                  KindMetaProperties,
	"partition.metadata":               KindPartition,
	"rollway-metadata.log":             KindMetadataLog,
	".kafka_cleanshutdown":             KindCleanShutdown,
	".lock":                            KindLock,
	"rollway-ballast":                  KindBallast,
	"rollway-journal":                  KindJournal,
	"rollway-quarantine":               KindQuarantine,
	"rollway-boot":                     KindBoot,
	"rollway-storage-failed":           KindFailure,
}

// KindOf tells what a file is by its name, without directories.
func KindOf(name string) Kind {
	kind, _ := kindOf(name)
	return kind
}

// kindOf tells what a file is by its name, and the base offset that the name of
// a segment's file carries; unknownBase if it is not 20 digits, as of a file
// that was copied away.
func kindOf(name string) (Kind, record.Offset) {
	if kind, ok := kinds[name]; ok {
		return kind, unknownBase
	}
	base := record.Offset(unknownBase)
	digits, suffix, _ := strings.Cut(name, ".")
	if n, err := strconv.ParseInt(digits, 10, 64); err == nil && len(digits) == 20 && n >= 0 {
		base = record.Offset(n)
	}
	switch {
	case strings.HasSuffix(suffix, "timeindex"):
		return KindTimeIndex, base
	case strings.HasSuffix(suffix, "index") && !strings.HasSuffix(suffix, "txnindex"):
		return KindOffsetIndex, base
	case suffix == "snapshot" || strings.HasSuffix(suffix, ".snapshot"):
		return KindProducers, base
	case suffix == "log" || strings.HasSuffix(suffix, ".log"):
		return KindLog, base
	}
	return KindOther, base
}

// unknownBase is the base offset of a segment whose name does not tell it.
const unknownBase = -1

// maxTextBytes bounds what is read as a whole: 256 MiB, the most that a
// metadata log has; checkpoints have a quarter of that.
const maxTextBytes = 256 << 20

// readAll returns the first size bytes of f.
func readAll(f vfs.File, size int64) ([]byte, error) {
	if size > maxTextBytes {
		return nil, fmt.Errorf("%d bytes, want at most %d", size, maxTextBytes)
	}
	content := make([]byte, size)
	_, err := f.ReadAt(content, 0)
	return content, err
}
