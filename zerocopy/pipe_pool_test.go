package zerocopy

import (
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// The pool lends each pipe to one borrower, up to its bound, and reuses what
// comes back empty.
func TestPipePoolLends(t *testing.T) {
	l := pool(t, PipePoolOptions{MaxPipes: 2})
	a, err := l.Get()
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Get()
	if err != nil || a == b {
		t.Fatalf("second pipe %p, %v, want another than %p", b, err, a)
	}
	if _, err := l.Get(); !errors.Is(err, ErrNoPipe) {
		t.Errorf("third pipe: %v, want ErrNoPipe", err)
	}
	l.Put(a)
	if again, err := l.Get(); again != a || err != nil {
		t.Errorf("%p, %v, want the pipe that came back, %p", again, err, a)
	}
	l.Put(a)
	l.Put(b)
	if open, idle := l.Stats(); open != 2 || idle != 2 {
		t.Errorf("%d open, %d idle, want 2, 2", open, idle)
	}
}

// A pipe with bytes in it, or that saw an error, is closed when it comes back,
// and its place is free.
func TestPipePoolClosesDirtyPipes(t *testing.T) {
	file := fileOf(t, content(100))
	f := func(what string, soil func(p *Pipe)) {
		t.Helper()
		l := pool(t, PipePoolOptions{MaxPipes: 1})
		p, err := l.Get()
		if err != nil {
			t.Fatal(err)
		}
		soil(p)
		l.Put(p)
		if open, idle := l.Stats(); open != 0 || idle != 0 {
			t.Errorf("%s: %d open, %d idle, want 0, 0", what, open, idle)
		}
		if _, err := unix.FcntlInt(uintptr(p.r), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("%s: read end: %v, want EBADF", what, err)
		}
		again, err := l.Get()
		if err != nil || again.Len() != 0 {
			t.Fatalf("%s: next pipe %v, want an empty one", what, err)
		}
		l.Put(again)
	}
	f("residue", func(p *Pipe) {
		if n, handled, err := p.FillFromFile(file, 0, 100); n != 100 || !handled || err != nil {
			t.Fatalf("%d, %v, %v, want 100, true, nil", n, handled, err)
		}
	})
	f("error", func(p *Pipe) {
		if n, handled, err := p.FillFromSocket(-1, 100); n != 0 || !handled || !errors.Is(err, unix.EBADF) {
			t.Fatalf("%d, %v, %v, want 0, true, EBADF", n, handled, err)
		}
	})
}

// After Close the pool lends nothing, and closes what comes back.
func TestPipePoolClose(t *testing.T) {
	l := pool(t, PipePoolOptions{})
	lent, err := l.Get()
	if err != nil {
		t.Fatal(err)
	}
	idle, err := l.Get()
	if err != nil {
		t.Fatal(err)
	}
	l.Put(idle)
	l.Close()
	l.Close()
	if open, _ := l.Stats(); open != 1 {
		t.Errorf("%d open, want 1", open)
	}
	if _, err := l.Get(); !errors.Is(err, ErrNoPipe) {
		t.Errorf("Get after Close: %v, want ErrNoPipe", err)
	}
	l.Put(lent)
	for _, p := range []*Pipe{lent, idle} {
		for _, end := range []int{p.r, p.w} {
			if _, err := unix.FcntlInt(uintptr(end), unix.F_GETFD, 0); err != unix.EBADF {
				t.Errorf("descriptor %d: %v, want EBADF", end, err)
			}
		}
	}
}

// A system without a descriptor to spare is ErrNoPipe with the errno, and does
// not use up the pool.
func TestPipePoolWithoutDescriptors(t *testing.T) {
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	none := unix.Rlimit{Cur: 0, Max: before.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	l := pool(t, PipePoolOptions{MaxPipes: 1})
	_, err := l.Get()
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &before); err != nil {
		t.Fatal(err)
	}
	if !errors.Is(err, ErrNoPipe) || !errors.Is(err, unix.EMFILE) {
		t.Errorf("%v, want ErrNoPipe and EMFILE", err)
	}
	p, err := l.Get()
	if err != nil {
		t.Fatal(err)
	}
	l.Put(p)
}

// The pipe has the size asked for, rounded up to what the kernel knows.
func TestPipeSize(t *testing.T) {
	f := func(ask, want int) {
		t.Helper()
		l := pool(t, PipePoolOptions{PipeBytes: ask})
		p, err := l.Get()
		if err != nil {
			t.Fatal(err)
		}
		defer l.Put(p)
		if got := p.Size(); got != want {
			t.Errorf("asked for %d: %d bytes, want %d", ask, got, want)
		}
	}
	f(1, 4096)
	f(4096, 4096)
	f(5000, 8192)
	f(64<<10, 64<<10)
	f(0, 1<<20)
}

// A user without privileges gets the pipes that the pool may lend although his
// pages run out: the later ones are smaller, and they work.
func TestSmallPipesOfAnOrdinaryUser(t *testing.T) {
	text, err := os.ReadFile("/proc/sys/fs/pipe-user-pages-soft")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if pages == 0 || pages > 16384 {
		t.Logf("pipe-user-pages-soft is %d, more than this test has descriptors for", pages)
		return
	}
	file := fileOf(t, content(10_000))
	done := make(chan struct{})
	go func() {
		defer close(done)
		// The thread loses its privileges and ends with this goroutine.
		runtime.LockOSThread()
		if err := dropPipePrivileges(); err != nil {
			t.Error(err)
			return
		}
		maxPipes := pages/256 + 10 // 256 pages each
		l := pool(t, PipePoolOptions{MaxPipes: maxPipes, PipeBytes: 2 << 20})
		total, first, smallest := 0, 0, (*Pipe)(nil)
		for range maxPipes {
			p, err := l.Get()
			if err != nil {
				t.Errorf("%v after %d bytes of pipes, want a small pipe", err, total)
				return
			}
			defer l.Put(p)
			if total == 0 {
				first = p.Size()
			}
			if total += p.Size(); smallest == nil || p.Size() < smallest.Size() {
				smallest = p
			}
		}
		if bound := (pages + 16*maxPipes) * 4096; total > bound || smallest.Size() >= 1<<20 {
			t.Errorf("%d pipes of %d bytes, the smallest %d, want at most %d bytes and one below 1 MiB", maxPipes, total, smallest.Size(), bound)
		}
		if first <= 64<<10 {
			t.Errorf("the first pipe has %d bytes, want more than a pipe is born with: 2 MiB was refused, half of it is not", first)
		}
		if n, handled, err := smallest.FillFromFile(file, 1, 5000); n == 0 || !handled || err != nil {
			t.Errorf("splice into a pipe of %d bytes: %d, %v, %v", smallest.Size(), n, handled, err)
		}
	}()
	<-done
}

// dropPipePrivileges makes the calling thread one of an ordinary user as far
// as pipe(7) is concerned.
func dropPipePrivileges() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return err
	}
	data[0].Effective &^= 1<<unix.CAP_SYS_RESOURCE | 1<<unix.CAP_SYS_ADMIN
	return unix.Capset(&header, &data[0])
}

// Concurrent borrowers never share a pipe and never exceed the bound.
func TestPipePoolConcurrently(t *testing.T) {
	const maxPipes = 4
	l := pool(t, PipePoolOptions{MaxPipes: maxPipes, PipeBytes: 4096})
	var mu sync.Mutex
	lent := map[*Pipe]bool{}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 200 {
				p, err := l.Get()
				if err != nil {
					continue
				}
				mu.Lock()
				if lent[p] || len(lent) == maxPipes {
					t.Errorf("pipe lent twice (%v), or more than %d", lent[p], maxPipes)
				}
				lent[p] = true
				mu.Unlock()
				mu.Lock()
				delete(lent, p)
				mu.Unlock()
				p.dirty = i == 0 // one borrower spoils what it gets
				l.Put(p)
			}
		})
	}
	wg.Wait()
}

// Validate names the field.
func TestPipePoolOptionsValidate(t *testing.T) {
	f := func(o PipePoolOptions, want string) {
		t.Helper()
		if _, err := NewPipePool(o); text(err) != want {
			t.Errorf("%+v: %q, want %q", o, text(err), want)
		}
	}
	f(PipePoolOptions{}, "")
	f(PipePoolOptions{MaxPipes: -1}, "zerocopy: PipePoolOptions.MaxPipes -1, want 0 (default 32) or more")
	f(PipePoolOptions{PipeBytes: -1}, "zerocopy: PipePoolOptions.PipeBytes -1, want 0 (default 1 MiB) to 1 GiB")
	f(PipePoolOptions{PipeBytes: 1<<30 + 1}, "zerocopy: PipePoolOptions.PipeBytes 1073741825, want 0 (default 1 MiB) to 1 GiB")
}
