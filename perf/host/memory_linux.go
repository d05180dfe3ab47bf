package host

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// FreshMemory takes so many bytes of memory and gives them back. A hypervisor that
// was given back idle pages must find them again when they are first written, which
// costs several times the write itself, and whose turn it hits is chance. After this
// they find the pages there, as long as the hypervisor leaves them: some take them
// back within seconds (docs/decisions/0037).
func FreshMemory(bytes int64) error {
	p, err := unix.Mmap(-1, 0, int(bytes), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANONYMOUS|unix.MAP_PRIVATE|unix.MAP_POPULATE)
	if err != nil {
		return fmt.Errorf("mmap %d bytes: %w", bytes, err)
	}
	return unix.Munmap(p)
}
