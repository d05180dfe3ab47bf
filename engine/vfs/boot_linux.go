package vfs

import (
	"os"
	"strings"
)

// BootID is the id that the kernel gave this boot (random(4)), "" if it has none:
// while it stays the same, the page cache has what processes wrote, however they
// ended.
func BootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
