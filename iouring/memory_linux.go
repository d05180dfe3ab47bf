package iouring

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// Allocate returns n bytes, zero, that begin on a page and lie outside the Go
// heap: what the kernel may read and write while no Go variable points to it.
// They cost memory only once they are touched. Give them back with Free, when
// nothing is in flight that uses them.
func Allocate(n int) ([]byte, error) {
	p, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return nil, fmt.Errorf("mmap %d bytes: %w", n, err)
	}
	return p, nil
}

// Free gives back what Allocate has returned, in full. p is invalid then.
func Free(p []byte) error {
	if err := unix.Munmap(p); err != nil {
		return fmt.Errorf("munmap %d bytes: %w", len(p), err)
	}
	return nil
}
