package main

import (
	"errors"
	"os"
	"path/filepath"
)

// ballast is page cache that is held for a contestant to take over.
//
// A virtual machine gives free memory back to its host within seconds
// (free page reporting), and writing to it then costs several times as much:
// 0.3 to 2.5 s/GiB of the same loop, by chance. So a file as long as what a
// contestant will append is written before its turn, when the one before it has
// just given its pages back, and removed right before its measurement. It must
// be a file of the same file system: memory freed in other pieces, as of memfd,
// was not found again.
type ballast struct{ path string }

// hold writes a file of so many bytes to dir.
func hold(dir string, bytes int64) (ballast, error) {
	b := ballast{path: filepath.Join(dir, "ballast")}
	f, err := os.Create(b.path)
	if err != nil {
		return b, err
	}
	block := make([]byte, 1<<20)
	for at := int64(0); at < bytes && err == nil; at += int64(len(block)) {
		_, err = f.Write(block)
	}
	return b, errors.Join(err, f.Close())
}

// release gives the pages back. It may be called again.
func (b ballast) release() error {
	if err := os.Remove(b.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
