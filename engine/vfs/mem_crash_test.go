package vfs

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// synced makes a file durable, name and all.
func synced(t *testing.T, m *Mem, name, text string) File {
	t.Helper()
	f := put(t, m, name, text)
	must(t, f.Datasync())
	must(t, m.SyncDir("."))
	return f
}

// Nothing that is durable is lost, and nothing but pieces of what was written
// since, or zeros, is there beside it.
func TestCrashKeepsSynced(t *testing.T) {
	m := newMem(t)
	f := synced(t, m, "a", strings.Repeat("s", 5000))
	_, err := f.WriteAt(5000, []byte(strings.Repeat("u", 5000)))
	must(t, err)
	grew, zeros, torn := 0, 0, 0
	for _, keep := range []Keep{KeepRandom, KeepOrdered, KeepSynced} {
		for seed := range uint64(300) {
			clone := m.CrashClone(seed, keep)
			got := text(t, clone, "a")
			clone.Close()
			if len(got) < 5000 || got[:5000] != strings.Repeat("s", 5000) || strings.Trim(got[5000:], "u\x00") != "" {
				t.Fatalf("seed %d, %v: %q", seed, keep, got)
			}
			if len(got) > 5000 {
				grew++
				if strings.Trim(got[5000:], "\x00") == "" {
					zeros++
				} else if strings.Contains(got, "\x00") {
					torn++
				}
			}
			if keep == KeepSynced && len(got) != 5000 {
				t.Fatalf("%d bytes, want what was synced", len(got))
			}
		}
	}
	if grew == 0 || zeros == 0 || torn == 0 {
		t.Errorf("of 600 crashes %d left more, %d of them zeros, %d pieces", grew, zeros, torn)
	}
}

// A piece that was written more than once may be in any of its states, and the
// pieces of a file are independent of each other.
func TestCrashTearsWrites(t *testing.T) {
	m := newMem(t)
	f := synced(t, m, "a", strings.Repeat("0", 8192))
	for _, s := range []string{"1", "2"} {
		_, err := f.WriteAt(0, []byte(strings.Repeat(s, 8192)))
		must(t, err)
	}
	ends := outcomes(t, m, KeepRandom, func(c *Mem) string {
		s := text(t, c, "a")
		if s[:512] != strings.Repeat(s[:1], 512) {
			t.Fatal("512 bytes are torn")
		}
		return s[:1] + s[8191:]
	})
	among(t, ends, "00", "01", "02", "10", "11", "12", "20", "21", "22")
}

// A truncation is there or not, and a file that was cut and grew again holds at
// no place what it never held there.
func TestCrashTruncates(t *testing.T) {
	m := newMem(t)
	f := synced(t, m, "a", "0123")
	must(t, f.Truncate(2))
	among(t, outcomes(t, m, KeepRandom, func(c *Mem) string { return text(t, c, "a") }), "0123", "01", "01\x00\x00")
	_, err := f.WriteAt(4, []byte("45"))
	must(t, err)
	among(t, outcomes(t, m, KeepRandom, func(c *Mem) string { return text(t, c, "a") }),
		"0123", "01", "01\x00\x0045", // as it was
		"01\x00\x00", "01\x00\x00\x00\x00", "0123\x00\x00") // sizes and data apart
	must(t, f.Datasync())
	among(t, outcomes(t, m, KeepRandom, func(c *Mem) string { return text(t, c, "a") }), "01\x00\x0045")
}

// A file whose bytes are durable may be missing as long as its name is not, and
// a directory with all that is in it.
func TestCrashLosesNames(t *testing.T) {
	m := newMem(t)
	must(t, m.Mkdir("d"))
	f := put(t, m, "d/a", "a")
	must(t, f.Datasync())
	look := func(c *Mem) string { return text(t, c, "d/a") }
	among(t, outcomes(t, m, KeepRandom, look), "a", "-")
	must(t, m.SyncDir("d"))
	among(t, outcomes(t, m, KeepRandom, look), "a", "-")
	among(t, outcomes(t, m, KeepSynced, look), "-")
	must(t, m.SyncDir("."))
	among(t, outcomes(t, m, KeepRandom, look), "a")
	among(t, outcomes(t, m, KeepSynced, look), "a")
	put(t, m, "d/b", "b")
	put(t, m, "d/c", "c")
	among(t, outcomes(t, m, KeepRandom, func(c *Mem) string {
		names := ""
		entries, err := c.ReadDir("d")
		must(t, err)
		for _, e := range entries {
			names += e.Name()
		}
		return names
	}), "a", "ab", "ac", "abc")
}

// What was removed may be back, with what it held, also when its space was given
// away and its name used again.
func TestCrashBringsBackRemoved(t *testing.T) {
	m := newMem(t)
	must(t, synced(t, m, "a", "old").Close())
	must(t, m.Remove("a"))
	look := func(c *Mem) string { return text(t, c, "a") }
	among(t, outcomes(t, m, KeepRandom, look), "old", "-")
	must(t, put(t, m, "a", "new").Datasync())
	among(t, outcomes(t, m, KeepRandom, look), "old", "-", "new")
	must(t, m.SyncDir("."))
	among(t, outcomes(t, m, KeepRandom, look), "new")

	must(t, m.Mkdir("d"))
	f := put(t, m, "d/a", "inside")
	must(t, f.Datasync())
	must(t, m.SyncDir("."))
	must(t, m.SyncDir("d"))
	must(t, m.Remove("d/a"))
	must(t, m.Remove("d"))
	among(t, outcomes(t, m, KeepRandom, func(c *Mem) string {
		_, err := c.Stat("d")
		return fmt.Sprint(err == nil, text(t, c, "d/a"))
	}), "false-", "true-", "trueinside")
}

// A rename is done or not, never half: no crash leaves neither name or both,
// also between directories, of which the sync of one is enough.
func TestCrashRenames(t *testing.T) {
	m := newMem(t)
	synced(t, m, "a", "1")
	synced(t, m, "b", "2")
	look := func(c *Mem) string { return text(t, c, "a") + text(t, c, "b") }
	must(t, m.Rename("a", "b"))
	among(t, outcomes(t, m, KeepRandom, look), "12", "-1")
	must(t, m.SyncDir("."))
	among(t, outcomes(t, m, KeepRandom, look), "-1")

	must(t, m.Mkdir("d"))
	must(t, m.SyncDir("."))
	must(t, m.Rename("b", "d/c"))
	look = func(c *Mem) string { return text(t, c, "b") + text(t, c, "d/c") }
	among(t, outcomes(t, m, KeepRandom, look), "1-", "-1")
	must(t, m.SyncDir("d"))
	among(t, outcomes(t, m, KeepRandom, look), "-1")
}

// An atomic replacement without a sync of the new file before the rename may
// leave the name with nothing in it: the bug that the order prevents shows.
func TestCrashShowsUnsyncedReplacement(t *testing.T) {
	m := newMem(t)
	synced(t, m, "a", "old")
	put(t, m, "a.tmp", "new")
	must(t, m.Rename("a.tmp", "a"))
	look := func(c *Mem) string { return text(t, c, "a") }
	among(t, outcomes(t, m, KeepRandom, look), "old", "new", "", "\x00\x00\x00")
}

// In order: everything up to one change, and pieces of that one.
func TestCrashOrdered(t *testing.T) {
	m := newMem(t)
	a := synced(t, m, "a", "")
	b := synced(t, m, "b", "")
	for i := range 3 {
		_, err := a.WriteAt(int64(i), []byte{byte('0' + i)})
		must(t, err)
		_, err = b.WriteAt(int64(i), []byte{byte('0' + i)})
		must(t, err)
	}
	put(t, m, "c", "")
	among(t, outcomes(t, m, KeepOrdered, func(c *Mem) string {
		return strings.Trim(text(t, c, "a"), "\x00") + "," + strings.Trim(text(t, c, "b"), "\x00") + text(t, c, "c")
	}), ",-", "0,-", "0,0-", "01,0-", "01,01-", "012,01-", "012,012-", "012,012")
}

// When only the process died all is there, and what a power cut would have
// taken before it still takes afterwards.
func TestCrashOfTheProcess(t *testing.T) {
	m := newMem(t)
	f := synced(t, m, "a", "old")
	synced(t, m, "gone", "back")
	_, err := f.WriteAt(0, []byte("new"))
	must(t, err)
	put(t, m, "b", "b")
	must(t, m.Remove("gone"))
	look := func(c *Mem) string { return text(t, c, "a") + text(t, c, "b") + text(t, c, "gone") }
	clone := crashed(t, m, 1, KeepAll)
	if got := look(clone); got != "newb-" {
		t.Fatalf("after the death of the process: %q", got)
	}
	if got := look(crashed(t, clone, 1, KeepSynced)); got != "old-back" {
		t.Fatalf("after a power cut that followed: %q", got)
	}
	again := put(t, clone, "a", "NEW")
	must(t, again.Datasync())
	must(t, clone.SyncDir("."))
	if got := look(crashed(t, clone, 1, KeepSynced)); got != "NEW-" { // b has its name and no bytes
		t.Fatalf("after syncs and another power cut: %q", got)
	}
	if got := look(m); got != "newb-" {
		t.Fatalf("the tree itself has changed: %q", got)
	}
}

// The same changes and seed give the same clone.
func TestCrashIsDeterministic(t *testing.T) {
	build := func() *Mem {
		m := newMem(t)
		for i := range 20 {
			f := put(t, m, fmt.Sprint(i), strings.Repeat(fmt.Sprint(i), 3000))
			if i%3 == 0 {
				must(t, f.Datasync())
			}
		}
		must(t, m.Rename("3", "4"))
		return m
	}
	whole := func(m *Mem) (all string) {
		entries, err := m.ReadDir(".")
		must(t, err)
		for _, e := range entries {
			all += e.Name() + ":" + text(t, m, e.Name()) + ";"
		}
		return all
	}
	one, other := build(), build()
	different := map[string]bool{}
	for seed := range uint64(20) {
		for _, keep := range []Keep{KeepRandom, KeepOrdered, KeepSynced, KeepAll} {
			a, b := whole(crashed(t, one, seed, keep)), whole(crashed(t, other, seed, keep))
			if a != b {
				t.Fatalf("seed %d, %v: two different clones", seed, keep)
			}
			different[a] = true
		}
	}
	if len(different) < 25 {
		t.Errorf("%d different clones of 80", len(different))
	}
}

// A sync that failed has lost what it was to write: it can be read until the
// crash, a second sync "succeeds", and the bytes are gone. What is written
// afterwards is not.
func TestFailedSyncLoses(t *testing.T) {
	m := newMem(t)
	f := NewFailing(m)
	file := put(t, f, "a", "lost")
	f.Arm(Fault{Op: OpDatasync, N: 1, Err: unix.EIO})
	if err := file.Datasync(); err == nil {
		t.Fatal("the sync did not fail")
	}
	must(t, file.Datasync())
	_, err := file.WriteAt(4, []byte(" kept"))
	must(t, err)
	must(t, file.Datasync())
	f.Arm(Fault{Op: OpSyncDir, N: 1, Err: unix.EIO})
	put(t, f, "b", "")
	if err := f.SyncDir("."); err == nil {
		t.Fatal("the sync of the directory did not fail")
	}
	put(t, f, "c", "")
	must(t, f.SyncDir("."))
	if got := text(t, m, "a") + text(t, m, "b") + text(t, m, "c"); got != "lost kept" {
		t.Fatalf("before the crash: %q", got)
	}
	if _, err := m.OpenFile("a", os.O_EXCL|os.O_CREATE); err == nil {
		t.Fatal("a is not there")
	}
	// The name of a was lost with that of b.
	clone := crashed(t, m, 1, KeepRandom)
	if got := text(t, clone, "a") + text(t, clone, "b") + text(t, clone, "c"); got != "--" {
		t.Fatalf("after the crash: %q", got)
	}
	if got := text(t, crashed(t, m, 1, KeepAll), "a"); got != "lost kept" {
		t.Fatalf("after the death of the process: %q", got)
	}
}

// A write-back that fails is reported once to each File that was open then, and
// to none that is opened later, whose sync succeeds; the bytes are gone.
func TestFailedWriteback(t *testing.T) {
	m := newMem(t)
	writer := put(t, m, "a", "")
	must(t, m.SyncDir("."))
	other, err := m.OpenFile("a", 0)
	must(t, err)
	defer other.Close()
	_, err = writer.WriteAt(0, []byte("lost"))
	must(t, err)
	must(t, m.FailWriteback("a"))
	late, err := m.OpenFile("a", 0)
	must(t, err)
	defer late.Close()
	for _, f := range []File{writer, other} {
		if err := f.Datasync(); !errors.Is(err, unix.EIO) {
			t.Errorf("sync of a File that was open: %v, want EIO", err)
		}
		must(t, f.Datasync())
	}
	must(t, late.Datasync())
	if got := text(t, m, "a"); got != "lost" {
		t.Errorf("before the crash: %q", got)
	}
	if got := text(t, crashed(t, m, 1, KeepRandom), "a"); got != "" {
		t.Errorf("after the crash: %q", got)
	}
	if err := m.FailWriteback("b"); !errors.Is(err, unix.ENOENT) {
		t.Errorf("of a missing file: %v", err)
	}
}
