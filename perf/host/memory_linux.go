package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FreshMemory takes so many bytes of memory and gives them back. A hypervisor that
// was given back idle pages must find them again when they are first written, which
// costs several times the write itself, and whose turn it hits is chance: after this
// all of them find the pages there.
func FreshMemory(bytes int64) error {
	p, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANONYMOUS|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("mmap %d bytes: %w", bytes, err)
	}
	return unix.Munmap(p)
}
