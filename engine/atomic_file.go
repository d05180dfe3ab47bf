package engine

import (
	"errors"
	"fmt"
	"os"
	"path"

	"github.com/rollway/rollway/engine/vfs"
)

// tempSuffix marks a file that is being written. Kafka's checkpoints use the
// same, so either program overwrites what a crash of the other left behind.
const tempSuffix = ".tmp"

// writeFileAtomic replaces dir/name by content: after a crash the file is the
// old one or the new one, whole. It is the new one for certain once nil is
// returned. dir is "." for the root of fs. The temporary file dir/name.tmp is
// overwritten, so there may be one writer per name at a time.
//
// Errors: ErrStorageFailed when a write or a sync went wrong, which is final
// for the directory; any other error (no space, no permission) costs this call
// only and leaves the old file.
func writeFileAtomic(fs vfs.FS, dir, name string, content []byte) error {
	name = path.Join(dir, name)
	temp := name + tempSuffix
	err := writeFile(fs, temp, content)
	if err == nil {
		err = fs.Rename(temp, name)
	}
	if err != nil {
		fs.Remove(temp) // a leftover is overwritten the next time
		return err
	}
	if err := fs.SyncDir(dir); err != nil {
		return syncFault(err)
	}
	return nil
}

// writeFile makes the file name hold content, durably but not atomically.
func writeFile(fs vfs.FS, name string, content []byte) error {
	f, err := fs.OpenFile(name, os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(0, content); err != nil {
		err = writeFault(err)
	} else if err = f.Datasync(); err != nil {
		err = syncFault(err)
	}
	if closeErr := f.Close(); err == nil && closeErr != nil {
		err = writeFault(closeErr) // close(2) may report an earlier write's error
	}
	return err
}

// errOversized means that a file is larger than one of its kind can be.
var errOversized = errors.New("file too large")

// readFileBounded returns the content of a file of at most limit bytes. A
// larger one is errOversized, before anything is allocated for it.
func readFileBounded(fs vfs.FS, name string, limit int64) ([]byte, error) {
	f, err := fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	if size > limit {
		return nil, fmt.Errorf("%w: %s: %d bytes, want at most %d", errOversized, f.Name(), size, limit)
	}
	content := make([]byte, size)
	if _, err := f.ReadAt(content, 0); err != nil {
		return nil, err
	}
	return content, nil
}
