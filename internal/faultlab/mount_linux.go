package faultlab

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/needs"
)

// Disk is a file system of its own, mounted for one test.
type Disk struct {
	// Path is where it is mounted; an empty directory of the test's user.
	Path string
	// Kind is that of Mount.
	Kind string

	t      testing.TB
	filler string // the file that Leave makes
	image  string // the file that the disk is in, "" for none
	thin   *Disk  // what holds that and may be too small for it, nil for none
}

// Mount mounts a new file system of about that many bytes: kind is "tmpfs", or
// "ext4", in a file behind a loop device. It is unmounted with the test, after
// the cleanups that the test adds later.
//
// The test is skipped where this user may not mount.
func Mount(t testing.TB, kind string, bytes int64) *Disk {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("needs root to mount %s", kind)
	}
	dir := t.TempDir()
	d := &Disk{Path: filepath.Join(dir, "mnt"), Kind: kind, t: t}
	switch kind {
	case "tmpfs":
		d.mount(func() error {
			return unix.Mount("rollway-test", d.Path, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes))
		})
	case "ext4":
		d.image = filepath.Join(dir, "image")
		d.mount(func() error { return d.makeImage(bytes) })
	default:
		t.Fatalf("mount %q, want tmpfs or ext4", kind)
	}
	return d
}

// MountThin mounts an ext4 of bytes that has room for fewer, backing, and finds
// out when it writes back: as a thin volume does, or a disk that fails. A write
// into its page cache succeeds; the sync behind it fails, and the bytes are gone.
func MountThin(t testing.TB, bytes, backing int64) *Disk {
	t.Helper()
	thin := Mount(t, "tmpfs", backing)
	d := &Disk{Path: filepath.Join(t.TempDir(), "mnt"), Kind: "ext4", t: t, image: filepath.Join(thin.Path, "image"), thin: thin}
	d.mount(func() error { return d.makeImage(bytes) })
	d.wholePages()
	return d
}

// wholePages has the loop device write one page of its image at a time. Of more,
// the image may take the first part and have no room for the rest: a short
// write, which the kernel's loop driver takes for a whole one (lo_complete_rq of
// drivers/block/loop.c looks only at errors). A disk that loses what it has
// confirmed is not what is tested.
func (d *Disk) wholePages() {
	d.t.Helper()
	var st unix.Stat_t
	err := unix.Stat(d.Path, &st)
	if err == nil {
		queue := fmt.Sprintf("/sys/dev/block/%d:%d/queue/max_sectors_kb", unix.Major(st.Dev), unix.Minor(st.Dev))
		err = os.WriteFile(queue, []byte("4"), 0)
	}
	if err != nil {
		d.t.Skipf("loop device of %s: requests cannot be bounded to a page: %v", d.Path, err)
	}
}

// Mend gives a thin disk room for all of its bytes and mounts it anew, checked,
// as after a repair. Nobody may have a file of it open.
func (d *Disk) Mend(bytes int64) {
	d.t.Helper()
	fsck := needs.Tool(d.t, "fsck.ext4")
	d.unmount()
	if err := unix.Mount("rollway-test", d.thin.Path, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%d", bytes)); err != nil {
		d.t.Fatal(err)
	}
	// 1: errors were corrected, as after any crash (fsck(8)).
	out, err := exec.Command(fsck, "-y", "-f", d.image).CombinedOutput()
	if exit := (*exec.ExitError)(nil); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
		d.t.Fatalf("fsck.ext4: %v: %s", err, out)
	}
	if err := d.mountImage(); err != nil {
		d.t.Fatal(err)
	}
}

// mount makes the directory, calls mount and sees that it is undone.
func (d *Disk) mount(mount func() error) {
	t, kind := d.t, d.Kind
	t.Helper()
	d.filler = filepath.Join(d.Path, "filler")
	if err := os.Mkdir(d.Path, 0o700); err != nil {
		t.Fatal(err)
	}
	err := mount()
	if errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) || errors.Is(err, unix.ENODEV) {
		t.Skipf("mount %s: %v; root in a container without CAP_SYS_ADMIN may not", kind, err)
	}
	if err != nil {
		t.Fatalf("mount %s: %v", kind, err)
	}
	t.Cleanup(d.unmount)
}

// makeImage makes a file system in the image file and mounts it.
func (d *Disk) makeImage(bytes int64) error {
	d.t.Helper()
	mkfs := needs.Tool(d.t, "mkfs.ext4")
	f, err := os.Create(d.image)
	if err == nil {
		err = errors.Join(f.Truncate(bytes), f.Close())
	}
	if err != nil {
		return err
	}
	// No blocks are kept for root, as which tests run. Blocks are pages, so that
	// requests are.
	if out, err := exec.Command(mkfs, "-q", "-F", "-m", "0", "-b", "4096", d.image).CombinedOutput(); err != nil {
		return fmt.Errorf("mkfs.ext4: %w: %s", err, out)
	}
	err = d.mountImage()
	if err == nil {
		err = os.Remove(filepath.Join(d.Path, "lost+found"))
	}
	return err
}

// mountImage mounts the image file. mount(8) finds and, at the unmount, frees the
// loop device.
func (d *Disk) mountImage() error {
	d.t.Helper()
	out, err := exec.Command(needs.Tool(d.t, "mount"), "-o", "loop", d.image, d.Path).CombinedOutput()
	switch text := string(out); {
	case err == nil:
		return nil
	case strings.Contains(text, "loop device"), strings.Contains(text, "permission denied"), strings.Contains(text, "Operation not permitted"):
		return fmt.Errorf("%w: %s", unix.EPERM, text)
	default:
		return fmt.Errorf("%w: %s", err, text)
	}
}

// unmount waits for who still has a file open: a process that was killed may
// not have ended yet.
func (d *Disk) unmount() {
	d.Thaw()
	var err error
	for range 100 {
		if err = unix.Unmount(d.Path, 0); !errors.Is(err, unix.EBUSY) {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	if err != nil {
		d.t.Errorf("unmount %s: %v; it is detached", d.Path, err)
		unix.Unmount(d.Path, unix.MNT_DETACH)
	}
}

// Available is what an unprivileged user may still write, bytes.
func (d *Disk) Available() int64 {
	d.t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(d.Path, &st); err != nil {
		d.t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}

// Leave fills the disk until about bytes are available, by a file in Path that
// is named filler. More than there are frees none.
func (d *Disk) Leave(bytes int64) {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if errors.Is(err, unix.ENOSPC) {
		return
	}
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	// In pieces: somebody else may write meanwhile, and the last ones are small.
	for size := int64(1 << 20); ; {
		missing := d.Available() - bytes
		if missing <= 0 {
			return
		}
		_, err := f.Write(make([]byte, min(missing, size)))
		switch {
		case err == nil:
		case !errors.Is(err, unix.ENOSPC):
			d.t.Fatal(err)
		case size <= 512:
			return
		default:
			size /= 2
		}
	}
}

// Free removes the filler.
func (d *Disk) Free() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Fatal(err)
	}
}

// The requests of fsfreeze(8), linux/fs.h: _IOWR('X', 119, int) and 120.
const (
	fiFreeze = 0xc0045877
	fiThaw   = 0xc0045878
)

// Freeze has whoever writes to the disk, or syncs it, wait until Thaw; what is
// in the page cache can be read. The test is skipped where the file system
// cannot be frozen, as tmpfs.
func (d *Disk) Freeze() {
	d.t.Helper()
	err := d.ioctl(fiFreeze)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.EPERM) {
		d.t.Skipf("freeze %s: %v", d.Kind, err)
	}
	if err != nil {
		d.t.Fatalf("freeze %s: %v", d.Path, err)
	}
	// Before the cleanups of who hangs on it: not even SIGKILL ends a process
	// that waits for a frozen disk.
	d.t.Cleanup(d.Thaw)
}

// Thaw ends a Freeze. A disk that is not frozen is left alone.
func (d *Disk) Thaw() {
	err := d.ioctl(fiThaw)
	if err != nil && !errors.Is(err, unix.EINVAL) && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EPERM) {
		d.t.Errorf("thaw %s: %v", d.Path, err)
	}
}

func (d *Disk) ioctl(request uintptr) error {
	f, err := os.Open(d.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, 0); errno != 0 {
		return errno
	}
	return nil
}
