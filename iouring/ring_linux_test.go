package iouring

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/internal/needs"
)

// needRing skips the test where there can be no Streams. It has Ring tested only
// where all is there that any test needs.
func needRing(t testing.TB) {
	t.Helper()
	err := ProbeSockets()
	if errors.Is(err, ErrUnavailable) {
		needs.Feature(t, "io_uring", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// openRing opens a ring for the test, which is locked to its thread, or skips it.
func openRing(t testing.TB, o Options) *Ring {
	t.Helper()
	needRing(t)
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	r, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// allocate returns memory that the kernel may have.
func allocate(t testing.TB, n int) []byte {
	t.Helper()
	p, err := Allocate(n)
	if err != nil {
		t.Fatal(err)
	}
	return p // of a process that ends soon
}

func push(t testing.TB, r Queue, s SQE) {
	t.Helper()
	if err := r.Push(s); err != nil {
		t.Fatal(err)
	}
}

func enter(t testing.TB, r Queue, wait int) {
	t.Helper()
	if err := r.Enter(wait); err != nil {
		t.Fatal(err)
	}
}

// next waits for a completion.
func next(t testing.TB, r Queue) CQE {
	t.Helper()
	enter(t, r, 1)
	c, ok := r.Next()
	if !ok {
		t.Fatal("no completion after Enter(1)")
	}
	return c
}

// The structures have the sizes of the kernel's.
func TestSizes(t *testing.T) {
	f := func(name string, size, want uintptr) {
		t.Helper()
		if size != want {
			t.Errorf("%s has %d bytes, want %d", name, size, want)
		}
	}
	f("io_uring_params", unsafe.Sizeof(setupParams{}), 120)
	f("io_uring_sqe", unsafe.Sizeof(kernelSQE{}), 64)
	f("io_uring_cqe", unsafe.Sizeof(CQE{}), 16)
	f("io_uring_buf", unsafe.Sizeof(kernelBuffer{}), 16)
	f("io_uring_buf_reg", unsafe.Sizeof(bufferRegistration{}), 40)
	f("io_uring_probe", unsafe.Sizeof(kernelProbe{}), 16+256*8)
	f("__kernel_timespec", unsafe.Sizeof(kernelTimespec{}), 16)
	f("tail", unsafe.Offsetof(kernelBuffer{}.tail), 14)
}

// Options out of range are refused by name.
func TestOptions(t *testing.T) {
	f := func(err error, want string) {
		t.Helper()
		if err == nil && want != "" || err != nil && (want == "" || !strings.Contains(err.Error(), want)) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	f(Options{}.Validate(), "")
	f(Options{Entries: 1 << 15, Completions: 1 << 16}.Validate(), "")
	f(Options{Entries: -1}.Validate(), "Options.Entries -1, want 0")
	f(Options{Entries: 1<<15 + 1}.Validate(), "to 32768")
	f(Options{Completions: -1}.Validate(), "Options.Completions -1")
	f(Options{Entries: 8, Completions: 4}.Validate(), "Options.Completions 4, want as many as the 8 entries")
	f(BuffersOptions{Count: 4, Size: 1}.Validate(), "")
	f(BuffersOptions{Count: 3, Size: 1}.Validate(), "BuffersOptions.Count 3, want a power of two")
	f(BuffersOptions{Count: 1 << 16, Size: 1}.Validate(), "BuffersOptions.Count 65536")
	f(BuffersOptions{Count: 4}.Validate(), "BuffersOptions.Size 0")
	f(StreamsOptions{PauseBytes: -1}.Validate(), "StreamsOptions.PauseBytes -1")
	_, err := Open(Options{Entries: -1})
	f(err, "Options.Entries -1")
	_, err = NewBuffers(BuffersOptions{})
	f(err, "BuffersOptions.Count 0")
	_, err = NewStreams(nil, nil, nil, StreamsOptions{PauseBytes: -1})
	f(err, "StreamsOptions.PauseBytes -1")
}

// A refused ring says who likely forbids it.
func TestLikelyCause(t *testing.T) {
	f := func(errno unix.Errno, disabled, want string) {
		t.Helper()
		err := error(&UnavailableError{Op: "io_uring_setup", Err: errno, Cause: likelyCause(errno, disabled)})
		lacking := errno == unix.ENOSYS || errno == unix.EINVAL
		if errors.Is(err, errors.ErrUnsupported) != lacking {
			t.Errorf("%v is errors.ErrUnsupported: %v, want %v", err, !lacking, lacking)
		}
		if !strings.Contains(err.Error(), want) || !errors.Is(err, ErrUnavailable) || !errors.Is(err, errno) {
			t.Errorf("%v with the sysctl at %q: %v, want %q, ErrUnavailable and the errno", errno, disabled, err, want)
		}
	}
	f(unix.EPERM, "2", "io_uring_setup: operation not permitted; sysctl kernel.io_uring_disabled is 2: nobody may")
	f(unix.EPERM, "1", "kernel.io_uring_group")
	f(unix.EPERM, "0", "seccomp profile: allow io_uring_setup")
	f(unix.EPERM, "", "seccomp")
	f(unix.ENOSYS, "", "kernel before 5.1")
	f(unix.ENOMEM, "0", "ulimit -l")
	f(unix.EMFILE, "0", "ulimit -n")
	f(unix.EINVAL, "", "kernel before 5.6")
	f(unix.EIO, "", "errno 5")
	if err := error(&UnavailableError{Op: "a", Cause: "b"}); err.Error() != "a: b" || !errors.Is(err, ErrUnavailable) || !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v without an errno, want a: b", err)
	}
}

// The kernel says what it has, and has all that is prepared here.
func TestProbe(t *testing.T) {
	needRing(t)
	s, err := Probe()
	if err != nil {
		t.Fatal(err)
	}
	for op := range opNames {
		if !s.Has(op) {
			t.Errorf("no %v", op)
		}
	}
	if s.Has(255) || s.Features&needed != needed {
		t.Errorf("%+v, want no operation 255 and the features %#x", s, needed)
	}
	// 6.0 brought both.
	if !s.Sockets || s.Flags&SetupSingleIssuer == 0 {
		t.Errorf("sockets %v with %v, want both", s.Sockets, s.Flags)
	}
}

// A ring is set up the first way that the kernel takes, and works whichever that is.
func TestSetupWays(t *testing.T) {
	needRing(t)
	unknown := SetupFlags(1 << 31)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for i, way := range setupWays {
		r, err := open(Options{Entries: 2, Completions: 8}, []SetupFlags{unknown, way | unknown, way, SetupClamp})
		if err != nil {
			t.Fatal(err)
		}
		if r.Flags() != way && r.Flags() != SetupClamp {
			t.Errorf("flags %v, want %v", r.Flags(), way)
		}
		push(t, r, Nop().With(uint64(i)))
		if c := next(t, r); c != (CQE{UserData: uint64(i)}) {
			t.Errorf("%v: completion %+v, want that of nop %d", way, c, i)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := open(Options{Entries: 2, Completions: 8}, []SetupFlags{unknown}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("setup with an unknown flag only: %v, want ErrUnavailable", err)
	}
	if s := (SetupCQSize | SetupDeferTaskrun | unknown).String(); s != "CQSIZE|DEFER_TASKRUN|0x80000000" {
		t.Errorf("flags %s", s)
	}
}

// Each submission completes once and in order, round and round; one that finds
// the queue full is refused.
func TestNop(t *testing.T) {
	r := openRing(t, Options{Entries: 8})
	want := uint64(0)
	for sent := uint64(0); sent < 1000; {
		for r.Push(Nop().With(sent)) == nil {
			sent++
		}
		if n := r.InFlight(); n != 8 {
			t.Fatalf("%d in flight, want 8", n)
		}
		enter(t, r, 8)
		if n := r.Ready(); n != 8 {
			t.Fatalf("%d ready, want 8", n)
		}
		for c, ok := r.Next(); ok; c, ok = r.Next() {
			if c != (CQE{UserData: want}) {
				t.Fatalf("completion %+v, want that of nop %d", c, want)
			}
			want++
		}
	}
	if err := r.Enter(len(r.completions) + 1); err == nil {
		t.Error("wait for more completions than there is room for: no error")
	}
}

// Nothing is allocated for an operation.
func TestRingAllocatesNothing(t *testing.T) {
	if invariant.Enabled {
		t.Skip("checking invariants allocates")
	}
	r := openRing(t, Options{Entries: 8})
	allocs := testing.AllocsPerRun(100, func() {
		push(t, r, Nop())
		next(t, r)
	})
	if allocs != 0 {
		t.Errorf("%v allocations, want 0", allocs)
	}
}

// Completions that find no room are not lost, and come in order.
func TestOverflow(t *testing.T) {
	r := openRing(t, Options{Entries: 4, Completions: 4})
	const count = 64
	for i := range uint64(count) {
		push(t, r, Nop().With(i))
		if err := r.Enter(0); err != nil && !errors.Is(err, unix.EBUSY) {
			t.Fatal(err)
		}
		if i%4 == 3 && i > 30 {
			// Some room: what is then in the queue goes on.
			if c, ok := r.Next(); !ok || c.UserData != (i-31)/4 {
				t.Fatalf("completion %+v, %v; want that of %d", c, ok, (i-31)/4)
			}
		}
	}
	for want := uint64(count-32)/4 + 1; want < count; want++ {
		if c := next(t, r); c.UserData != want {
			t.Fatalf("completion %+v, want that of %d", c, want)
		}
	}
	if r.InFlight() != 0 {
		t.Errorf("%d in flight, want none", r.InFlight())
	}
}

// An invalid submission completes with its error, and what stands behind it is
// carried out all the same.
func TestInvalidSubmission(t *testing.T) {
	r := openRing(t, Options{})
	push(t, r, SQE{Op: 200, FD: -1}.With(1))
	push(t, r, Read(-1, allocate(t, 8), 0).With(2))
	push(t, r, Nop().With(3))
	enter(t, r, 3)
	for _, want := range []CQE{{UserData: 1, Result: -int32(unix.EINVAL)}, {UserData: 2, Result: -int32(unix.EBADF)}, {UserData: 3}} {
		if c, ok := r.Next(); !ok || c != want {
			t.Errorf("completion %+v, want %+v", c, want)
		}
	}
}

// Another thread is refused, with what to do about it.
func TestOtherThread(t *testing.T) {
	r := openRing(t, Options{})
	if r.Flags()&SetupSingleIssuer == 0 {
		t.Skip("the kernel has no SINGLE_ISSUER")
	}
	push(t, r, Nop())
	errs := make(chan error)
	go func() {
		runtime.LockOSThread() // the test holds its own thread
		defer runtime.UnlockOSThread()
		errs <- r.Enter(0)
	}()
	if err := <-errs; !errors.Is(err, unix.EEXIST) || !strings.Contains(err.Error(), "lock the goroutine to its thread") {
		t.Errorf("enter on another thread: %v, want EEXIST", err)
	}
	next(t, r)

	any := openRing(t, Options{AnyThread: true})
	push(t, any, Nop())
	go func() { errs <- any.Enter(1) }()
	if err := <-errs; err != nil || any.Ready() != 1 {
		t.Errorf("enter on any thread: %v, %d ready", err, any.Ready())
	}
	any.Next()
}

// With DEFER_TASKRUN a completion cannot be seen before the owner enters.
func TestDeferredCompletion(t *testing.T) {
	r := openRing(t, Options{})
	if r.Flags()&SetupDeferTaskrun == 0 {
		t.Skip("the kernel has no DEFER_TASKRUN")
	}
	in, out := pipe(t)
	buffer := allocate(t, 8)
	push(t, r, Read(int(in.Fd()), buffer, 0))
	enter(t, r, 0)
	if _, err := out.Write([]byte("late")); err != nil {
		t.Fatal(err)
	}
	if c, ok := r.Next(); ok {
		t.Errorf("completion %+v before Enter", c)
	}
	if c := next(t, r); c.Result != 4 || string(buffer[:4]) != "late" {
		t.Errorf("completion %+v with %q", c, buffer)
	}
}

// pipe returns both ends of a pipe in blocking mode.
func pipe(t testing.TB) (in, out *os.File) {
	t.Helper()
	var ends [2]int
	if err := unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	in, out = os.NewFile(uintptr(ends[0]), "in"), os.NewFile(uintptr(ends[1]), "out")
	t.Cleanup(func() {
		in.Close()
		out.Close()
	})
	return in, out
}

// A timeout completes when its time has come, and not before.
func TestTimeout(t *testing.T) {
	r := openRing(t, Options{})
	const wait = 20 * time.Millisecond
	begin := time.Now()
	push(t, r, Timeout(wait).With(1))
	c := next(t, r)
	if elapsed := time.Since(begin); c.Err() != unix.ETIME || elapsed < wait {
		t.Errorf("completion %+v after %v, want ETIME after %v", c, elapsed, wait)
	}
}

// What is cancelled says so, by its number or with all others; who is not there
// cannot be.
func TestCancel(t *testing.T) {
	r := openRing(t, Options{})
	in, _ := pipe(t)
	waiting := []SQE{Timeout(time.Hour).With(1), Read(int(in.Fd()), allocate(t, 1), 0).With(2), Timeout(time.Hour).With(3)}
	results := func(count int) map[uint64]int32 {
		all := map[uint64]int32{}
		for range count {
			c := next(t, r)
			all[c.UserData] = c.Result
		}
		return all
	}
	for _, s := range waiting {
		push(t, r, s)
	}
	push(t, r, Cancel(2).With(9))
	if got := results(2); got[2] != -int32(unix.ECANCELED) || got[9] < 0 {
		t.Errorf("results %v after the cancel of 2", got)
	}
	push(t, r, Cancel(2).With(9))
	if got := results(1); got[9] != -int32(unix.ENOENT) {
		t.Errorf("results %v after a cancel of nothing", got)
	}
	push(t, r, CancelAll().With(9))
	if got := results(3); got[1] != -int32(unix.ECANCELED) || got[3] != -int32(unix.ECANCELED) || got[9] < 0 {
		t.Errorf("results %v after the cancel of all", got)
	}
}

// A ring that is closed has ended what was in flight: nothing is written into its
// memory afterwards.
func TestCloseWaits(t *testing.T) {
	needRing(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, err := Open(Options{})
	if err != nil {
		t.Fatal(err)
	}
	in, out := pipe(t)
	buffer := allocate(t, 8)
	push(t, r, Read(int(in.Fd()), buffer, 0))
	push(t, r, Timeout(time.Hour))
	enter(t, r, 0)
	push(t, r, Nop()) // pushed, and never submitted by the test
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Write([]byte("afterwards")); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(buffer, make([]byte, 8)) {
		t.Errorf("buffer has %q, want nothing", buffer)
	}
	p := make([]byte, 20)
	if n, err := in.Read(p); err != nil || string(p[:n]) != "afterwards" {
		t.Errorf("the pipe has %q, %v; want all that was written", p[:n], err)
	}
}

// A linked submission begins when the one before it has succeeded, and is
// cancelled if it has not.
func TestLink(t *testing.T) {
	r := openRing(t, Options{})
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	p := allocate(t, 4)
	copy(p, "data")
	link := func(s SQE) SQE { s.Flags |= SQELink; return s }
	push(t, r, link(Write(int(f.Fd()), p, 0)).With(1))
	push(t, r, Fsync(int(f.Fd()), true).With(2))
	push(t, r, link(Write(-1, p, 0)).With(3))
	push(t, r, Fsync(int(f.Fd()), false).With(4))
	got := map[uint64]int32{}
	for range 4 {
		c := next(t, r)
		got[c.UserData] = c.Result
	}
	if got[1] != 4 || got[2] != 0 || got[3] != -int32(unix.EBADF) || got[4] != -int32(unix.ECANCELED) {
		t.Errorf("results %v", got)
	}
}

// Random operations on a file, many at once and in any order, leave what a plain
// slice says, and read it.
func TestRandomFile(t *testing.T) {
	r := openRing(t, Options{Entries: 16, Completions: 16})
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	file, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()

	// Operations of one round are in different places of the file: what reads and
	// writes of one place would give is anybody's guess.
	const places, placeBytes = 32, 5000
	model := make([]byte, places*placeBytes)
	if _, err := file.Write(model); err != nil {
		t.Fatal(err)
	}
	memory := allocate(t, len(model))
	for round := range 50 {
		want := map[uint64]func(CQE) error{}
		for _, place := range random.Perm(places)[:1+random.IntN(places)] {
			id := random.Uint64() &^ 0xff
			id |= uint64(place)
			from := place*placeBytes + random.IntN(placeBytes)
			n := 1 + random.IntN((place+1)*placeBytes-from)
			p := memory[from:][:n]
			var s SQE
			switch random.IntN(5) {
			case 0:
				s = Nop()
				want[id] = func(c CQE) error { return wantResult(c, 0) }
			case 1:
				s = Fsync(int(file.Fd()), random.IntN(2) == 0)
				want[id] = func(c CQE) error { return wantResult(c, 0) }
			case 2:
				clear(p)
				s = Read(int(file.Fd()), p, int64(from))
				want[id] = func(c CQE) error {
					if !bytes.Equal(p, model[from:][:n]) {
						return fmt.Errorf("read of %d bytes at %d is not what was written", n, from)
					}
					return wantResult(c, n)
				}
			default:
				for i := range p {
					p[i] = byte(random.Uint32())
				}
				s = Write(int(file.Fd()), p, int64(from))
				want[id] = func(c CQE) error {
					copy(model[from:], p)
					return wantResult(c, n)
				}
			}
			for r.Push(s.With(id)) != nil {
				enter(t, r, 0)
			}
		}
		for len(want) > 0 {
			c := next(t, r)
			check := want[c.UserData]
			if check == nil {
				t.Fatalf("seed %d round %d: completion %+v of nothing", seed, round, c)
			}
			delete(want, c.UserData)
			if err := check(c); err != nil {
				t.Fatalf("seed %d round %d: %v", seed, round, err)
			}
		}
		if r.InFlight() != 0 {
			t.Fatalf("seed %d round %d: %d in flight, want none", seed, round, r.InFlight())
		}
	}
	if got, err := os.ReadFile(file.Name()); err != nil || !bytes.Equal(got, model) {
		t.Errorf("seed %d: file of %d bytes, %v, is not what was written", seed, len(got), err)
	}
}

func wantResult(c CQE, want int) error {
	if int(c.Result) != want {
		return fmt.Errorf("completion %+v, want %d", c, want)
	}
	return nil
}

// A multishot receive takes a buffer for each arrival, ends with ENOBUFS when the
// program has them all, and goes on where it was when it is submitted again.
func TestBuffers(t *testing.T) {
	r := openRing(t, Options{})
	b := newTestBuffers(t, 4, 10)
	if err := b.Register(r); err != nil {
		t.Fatal(err)
	}
	again, err := NewBuffers(BuffersOptions{Group: 3, Count: 4, Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Register(r); !errors.Is(err, unix.EEXIST) {
		t.Errorf("a second group 3: %v, want EEXIST", err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	local, peer := socketPair(t)
	push(t, r, ReceiveMultishot(local, b.Group()))
	for round := range 10 {
		text := fmt.Sprintf("round %d: forty bytes, and then some more.", round)
		if _, err := unix.Write(peer, []byte(text)); err != nil {
			t.Fatal(err)
		}
		var got []byte
		var taken []Buffer
		for {
			c := next(t, r)
			buffer, ok := b.Take(c)
			if !ok {
				if c.Err() != unix.ENOBUFS || c.More() {
					t.Fatalf("completion %+v, want ENOBUFS and the end", c)
				}
				break
			}
			got = append(got, buffer.Bytes...)
			taken = append(taken, buffer)
		}
		if string(got) != text[:40] || len(taken) != 4 || b.Free() != 0 {
			t.Fatalf("%q in %d buffers, %d free; want 40 bytes in all four", got, len(taken), b.Free())
		}
		b.GiveBack(taken[2])
		push(t, r, ReceiveMultishot(local, b.Group()))
		c := next(t, r)
		buffer, ok := b.Take(c)
		if !ok || buffer.ID != taken[2].ID || string(buffer.Bytes) != text[40:] || !c.More() {
			t.Fatalf("completion %+v with %q, want %q in buffer %d", c, buffer.Bytes, text[40:], taken[2].ID)
		}
		for _, i := range []int{2, 0, 3, 1} {
			b.GiveBack(taken[i])
		}
	}
	if b.Free() != b.Count() || b.Size() != 10 {
		t.Errorf("%d buffers of %d are free, of %d bytes", b.Free(), b.Count(), b.Size())
	}
	push(t, r, Cancel(0).With(1))
	for r.InFlight() > 0 {
		next(t, r)
	}
}

// Whoever gives a buffer back twice, or gets one twice, is stopped: two receives
// would write into it.
func TestBuffersMisused(t *testing.T) {
	b := newTestBuffers(t, 2, 10)
	f := func(want string, do func()) {
		t.Helper()
		defer func() {
			t.Helper()
			if got := fmt.Sprint(recover()); !strings.Contains(got, want) {
				t.Errorf("panic %q, want %q", got, want)
			}
		}()
		do()
	}
	one := CQE{Result: 3, Flags: CQEBuffer | 1<<cqeBufferShift}
	buffer, ok := b.Take(one)
	if !ok || buffer.ID != 1 || len(buffer.Bytes) != 3 || cap(buffer.Bytes) != 10 {
		t.Fatalf("buffer %+v, %v; want 3 bytes of 10 in buffer 1", buffer, ok)
	}
	f("with buffer 1, want one of the 2 that is not taken", func() { b.Take(one) })
	b.GiveBack(buffer)
	f("buffer 1 given back twice", func() { b.GiveBack(buffer) })
	f("with buffer 2", func() { b.Take(CQE{Flags: CQEBuffer | 2<<cqeBufferShift}) })
	f("of at most 10 bytes", func() { b.Take(CQE{Result: 11, Flags: CQEBuffer}) })
	if _, ok := b.Take(CQE{Result: 11}); ok {
		t.Error("a completion without a buffer has one")
	}
}

// socketPair returns two connected stream sockets.
func socketPair(t testing.TB) (int, int) {
	t.Helper()
	p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(p[0])
		unix.Close(p[1])
	})
	return p[0], p[1]
}

// One receive and one send go through, with what they were given.
func TestReceiveAndSend(t *testing.T) {
	r := openRing(t, Options{})
	local, peer := socketPair(t)
	out, in := allocate(t, 5), allocate(t, 10)
	copy(out, "hello")
	push(t, r, Receive(peer, in).With(1))
	push(t, r, Send(local, out, unix.MSG_WAITALL).With(2))
	var got []CQE
	for range 2 {
		got = append(got, next(t, r))
	}
	slices.SortFunc(got, func(a, b CQE) int { return int(a.UserData) - int(b.UserData) })
	if got[0].Result != 5 || got[1].Result != 5 || string(in[:5]) != "hello" {
		t.Errorf("completions %+v with %q", got, in)
	}
	fd, err := unix.Dup(local)
	if err != nil {
		t.Fatal(err)
	}
	push(t, r, Close(fd))
	if c := next(t, r); c.Err() != nil {
		t.Errorf("close: %+v", c)
	}
	if err := unix.Close(fd); err != unix.EBADF {
		t.Errorf("close of what was closed: %v, want EBADF", err)
	}
}

// How long one operation and its completion take.
func BenchmarkNop(b *testing.B) {
	for _, batch := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			r := openRing(b, Options{Entries: 256})
			b.ReportAllocs()
			for done := 0; done < b.N; done += batch {
				for range batch {
					r.Push(Nop()) // there is room
				}
				if err := r.Enter(batch); err != nil {
					b.Fatal(err)
				}
				for range batch {
					r.Next()
				}
			}
		})
	}
}
