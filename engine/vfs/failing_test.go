package vfs

import (
	"errors"
	"io"
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// everyCall makes one call of each kind and returns the errors by kind.
func everyCall(d FS) map[Op]error {
	errs := map[Op]error{}
	f, err := d.OpenFile("f", os.O_CREATE)
	errs[OpCreate] = err
	if err == nil {
		_, errs[OpWrite] = f.WriteAt(0, []byte("0123"), []byte("4567"))
		_, errs[OpRead] = f.ReadAt(make([]byte, 2), 0)
		errs[OpTruncate] = f.Truncate(6)
		errs[OpDatasync] = f.Datasync()
		errs[OpWriteback] = f.StartWriteback(0, 0)
		errs[OpClose] = f.Close()
	}
	g, err := d.Open("g")
	errs[OpOpen] = err
	if err == nil {
		g.Close()
	}
	lock, err := d.Lock(".lock")
	errs[OpLock] = err
	if err == nil {
		lock.Close()
	}
	_, errs[OpStat] = d.Stat("g")
	_, errs[OpReadDir] = d.ReadDir(".")
	_, errs[OpSpace] = d.Space()
	errs[OpMkdir] = d.Mkdir("d")
	errs[OpRename] = d.Rename("g", "d/g")
	errs[OpSyncDir] = d.SyncDir("d")
	errs[OpRemove] = d.Remove("d/g")
	return errs
}

// Each kind of call fails alone, with the errno that was asked for and the path
// in it, is counted, and works again afterwards.
func TestFailingFailsEachKind(t *testing.T) {
	fresh := func() *Failing {
		m := newMem(t)
		must(t, put(t, m, "g", "").Close())
		return NewFailing(m)
	}
	d := fresh()
	kinds := everyCall(d)
	if len(kinds) != 16 {
		t.Fatalf("%d kinds of calls, want 16", len(kinds))
	}
	total := int64(0)
	for op, err := range kinds {
		if err != nil || d.Count(op) == 0 {
			t.Fatalf("%s without a fault: %v, counted %d", op, err, d.Count(op))
		}
		total += d.Count(op)
	}
	if d.Count(OpAny) != total || d.Failed() != 0 {
		t.Errorf("%d calls, %d failed; want %d and none", d.Count(OpAny), d.Failed(), total)
	}
	for op := range kinds {
		d := fresh()
		d.Arm(Fault{Op: op, N: 1, Err: unix.EDQUOT})
		got := everyCall(d)
		var perr *os.PathError
		if !errors.Is(got[op], unix.EDQUOT) || !errors.As(got[op], &perr) || perr.Path == "" {
			t.Errorf("%s: %v, want EDQUOT with a path", op, got[op])
		}
		if d.Failed() != 1 {
			t.Errorf("%s: %d calls failed, want 1", op, d.Failed())
		}
	}
}

// The Nth call of a kind and a name fails, that one alone or all from there on.
func TestFailingCounts(t *testing.T) {
	d := NewFailing(newMem(t))
	put(t, d, "other", "x")
	f := put(t, d, "the.log", "x")
	syncs := func(n int) (failed []int) {
		for i := range n {
			if f.Datasync() != nil {
				failed = append(failed, i+1)
			}
		}
		return failed
	}
	check := func(fault Fault, want ...int) {
		t.Helper()
		d.Arm(fault)
		got := syncs(5)
		if len(got) != len(want) || len(got) > 0 && got[0] != want[0] {
			t.Errorf("%+v: %v failed, want %v", fault, got, want)
		}
	}
	check(Fault{Op: OpDatasync, N: 3, Err: unix.EIO}, 3)
	check(Fault{Op: OpDatasync, N: 3, Err: unix.EIO, Stay: true}, 3, 4, 5)
	check(Fault{Op: OpDatasync, Suffix: ".log", N: 2, Err: unix.EIO}, 2)
	check(Fault{Op: OpDatasync, Suffix: "other", N: 1, Err: unix.EIO})
	check(Fault{Op: OpWrite, N: 1, Err: unix.EIO})
	check(Fault{N: 5, Err: unix.EIO}, 5)
	d.Disarm()
	if got := syncs(5); len(got) > 0 {
		t.Errorf("disarmed: %v failed", got)
	}
}

// A short write writes its first bytes, across buffers, and says how many.
func TestFailingWritesShort(t *testing.T) {
	for _, c := range []struct{ short, want int64 }{{0, 0}, {1, 1}, {4, 4}, {6, 6}, {100, 7}} {
		m := newMem(t)
		d := NewFailing(m)
		f := put(t, d, "f", "")
		d.Arm(Fault{Op: OpWrite, N: 1, Err: unix.ENOSPC, Short: c.short})
		n, err := f.WriteAt(0, []byte("0123"), []byte("4567"))
		if n != c.want || !errors.Is(err, unix.ENOSPC) || text(t, m, "f") != "01234567"[:c.want] {
			t.Errorf("short %d: wrote %d, %v, the file holds %q", c.short, n, err, text(t, m, "f"))
		}
		d.Arm(Fault{Op: OpWrite, N: 1, Short: 3})
		if n, err := f.WriteAt(0, []byte("abcdef")); n != 3 || !errors.Is(err, io.ErrShortWrite) {
			t.Errorf("without an errno: %d, %v", n, err)
		}
	}
}
