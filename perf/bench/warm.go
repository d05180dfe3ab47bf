package main

import (
	"errors"
	"fmt"
	"os"
)

// warmed are files whose next pages are in the cache before anything is
// appended to them.
//
// In a virtual machine free memory goes back to the host within seconds (free
// page reporting), and a write to a page that must be fetched again costs
// several times as much: the same loop took 0.3 to 2.5 s/GiB, by chance. So
// zeros are written behind the end of each contestant's file, which it then
// overwrites: both bare.Sink and the engine write at positions that they know
// themselves.
type warmed struct {
	files []string
	sizes []int64
}

// warm writes bytes of zeros, in all, behind the ends of the files, to which
// nobody appends meanwhile.
func warm(files []string, bytes int64) (warmed, error) {
	w := warmed{files: files}
	for _, name := range files {
		size, err := appendZeros(name, bytes/int64(len(files)))
		if err != nil {
			return w, err
		}
		w.sizes = append(w.sizes, size)
	}
	return w, nil
}

// appendZeros makes a file at least so much longer and returns its size.
func appendZeros(name string, bytes int64) (size int64, err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	block := make([]byte, 1<<20)
	for at := int64(0); at < bytes; at += int64(len(block)) {
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
	}
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// check returns an error if anything was written behind the warm pages: then it
// was not them that were measured.
func (w warmed) check() error {
	for i, name := range w.files {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		if info.Size() != w.sizes[i] {
			return fmt.Errorf("%s has %d bytes, want the %d that were in the page cache before", name, info.Size(), w.sizes[i])
		}
	}
	return nil
}
