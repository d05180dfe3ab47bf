package engine

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/engine/vfs"
)

const (
	// mostMinFreeBytes is the default of Options.MinFreeBytes on a large file
	// system: one segment of the default size, which is what a start, a
	// retention that cannot keep up and whoever else uses the disk may need.
	mostMinFreeBytes = 1 << 30
	// minFreeFraction is the default on a small one, as a part of it: ext4
	// keeps as much for root.
	minFreeFraction = 20

	// watchMin and watchMax bound how often a directory that is appended to
	// looks at its file system: statfs(2) takes a microsecond, so the shortest
	// interval costs 0.002 % of a core.
	watchMin = 50 * time.Millisecond
	watchMax = time.Second
	// watchRate is how fast a disk is taken to fill up, bytes a second: more
	// than the page cache of a core takes.
	watchRate = 4 << 30
	// refusedInterval is how often it looks while appends are refused.
	refusedInterval = 500 * time.Millisecond
)

// Space is the file system of a data directory and what the engine makes of it.
type Space struct {
	vfs.Space
	// MinFree is the floor: with less available, appends are refused. 0: none.
	MinFree int64
	// Ballast is the size of the ballast file, bytes.
	Ballast int64
	// Refusing is why appends are refused for want of space, an ErrNoSpace;
	// nil while they are not.
	Refusing error
}

// space refuses appends while the file system is fuller than the floor allows,
// so that what frees space, deletions and retention, and what a start needs
// still finds room. It looks at the file system from one goroutine, only while
// something is appended or refused, and never on the way of an append.
type space struct {
	engine *Engine
	// floor is how many bytes must be available for appends; 0: there is no
	// floor, and a write without space costs itself only. resume is how many
	// let them go on: a little more, so that an end is no beginning.
	floor, resume int64

	refusal atomic.Pointer[error] // why appends are refused, nil while they are not
	active  atomic.Bool           // something was appended since the last look
	trial   atomic.Bool           // the next append shows whether there is room again
	wake    chan struct{}         // capacity 1

	// looking is held over a look, before mu, so that what one has found is not
	// undone by another that has asked the kernel before it.
	looking sync.Mutex

	mu     sync.Mutex // one change of refusal at a time
	full   bool       // a write has found no space since appends went well; under mu
	silent bool       // a look has failed, and that was logged; under mu
}

// DefaultMinFreeBytes is what Options.MinFreeBytes is by default on a file
// system of total bytes: 1 GiB, or a twentieth of it if that is less.
func DefaultMinFreeBytes(total int64) int64 { return min(mostMinFreeBytes, total/minFreeFraction) }

// open finds the floor. A file system that does not tell its size has none.
func (s *space) open(e *Engine) {
	s.engine = e
	s.wake = make(chan struct{}, 1)
	s.floor = e.options.MinFreeBytes
	if s.floor == 0 {
		if found, err := e.fs.Space(); err == nil {
			s.floor = DefaultMinFreeBytes(found.Total)
		}
	}
	s.floor = max(s.floor, 0)
	s.resume = s.floor + s.floor/16
	s.look()
}

// refusing returns why appends are refused, nil if they are not.
func (s *space) refusing() error {
	if !s.active.Load() {
		s.active.Store(true)
		s.signal()
	}
	if why := s.refusal.Load(); why != nil {
		return *why
	}
	return nil
}

// refused counts a refusal and returns why.
func (s *space) refused(why error) error {
	s.engine.stats.Refused.Add(1)
	return why
}

// check is refusing for what is rare: it looks first, and counts.
func (s *space) check() error {
	s.look()
	if why := s.refusing(); why != nil {
		return s.refused(why)
	}
	return nil
}

// roomFor is nil if a file of that many bytes leaves enough for appends, else an
// ErrNoSpace.
func (s *space) roomFor(bytes int64) error {
	found, err := s.engine.fs.Space()
	if err == nil && found.Available-bytes < s.resume {
		err = fmt.Errorf("%w: %d bytes are available in %s, want %d and %d for appends", ErrNoSpace, found.Available, s.engine.fs.Path(), bytes, s.resume)
	}
	return err
}

func (s *space) signal() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// run watches until stop. While nobody appends it sleeps.
func (s *space) run(stop <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-stop:
			return
		}
		s.active.Store(false)
		timer.Reset(s.look())
		s.engine.ballast.restore(stop)
		select {
		case <-timer.C:
		case <-stop:
			return
		}
		if !s.active.Load() && s.refusal.Load() == nil {
			select {
			case <-s.wake:
			case <-stop:
				return
			}
		}
		timer.Reset(0)
	}
}

// look compares the file system with the floor, and returns when to look again.
func (s *space) look() time.Duration {
	if s.floor == 0 {
		return watchMax
	}
	s.looking.Lock()
	defer s.looking.Unlock()
	found, err := s.engine.fs.Space()
	s.mu.Lock() // an append may need it, and does not wait for the kernel
	defer s.mu.Unlock()
	if err != nil {
		if !s.silent {
			s.engine.options.Log.Warn("free space is not known; appends go on until a write finds none", "error", err)
		}
		s.silent = true
		return watchMax
	}
	s.silent = false
	refused := s.refusal.Load() != nil
	switch {
	case refused && found.Available >= s.resume:
		s.lift(found.Available)
	case !refused && found.Available < s.floor:
		s.refuse(fmt.Errorf("%w: %d bytes are available in %s, want at least %d: make room there, or lower the floor (MinFreeBytes, --min-free)",
			ErrNoSpace, found.Available, s.engine.fs.Path(), s.floor))
	}
	if s.refusal.Load() != nil {
		return refusedInterval
	}
	untilFloor := time.Duration(float64(found.Available-s.floor) / watchRate * float64(time.Second))
	return min(max(untilFloor, watchMin), watchMax)
}

// refuse begins to refuse appends. It says so once, however often a trial fails.
// Under s.mu.
func (s *space) refuse(why error) {
	before := s.refusal.Swap(&why)
	if again := s.trial.Swap(false); before == nil && !again {
		s.engine.options.Log.Warn("appends are refused until there is room; fetches and deletions go on", "dir", s.engine.fs.Path(), "cause", why)
	}
	s.signal()
}

// lift lets appends go on. If a write has found no space although the file
// system tells of some, as with a quota or without inodes, only an append shows
// whether that is over. Under s.mu.
func (s *space) lift(available int64) {
	s.trial.Store(s.full)
	s.refusal.Store(nil)
	if !s.full {
		s.resumed("available", available)
	}
}

// foundFull says that a write has found no space: nothing is appended any more
// until the next look, and then on trial.
func (s *space) foundFull(err error) {
	if s.floor == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.full = true
	s.refuse(fmt.Errorf("%w: %w; make room in %s", ErrNoSpace, err, s.engine.fs.Path()))
}

// wrote says that an append has found space.
func (s *space) wrote() {
	if !s.trial.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.trial.Swap(false) {
		s.full = false
		s.resumed()
	}
}

func (s *space) resumed(args ...any) {
	s.engine.options.Log.Info("there is room again; appends go on", append([]any{"dir", s.engine.fs.Path()}, args...)...)
}

// Space reports the file system of the data directory. It asks the kernel, so
// it may block on a network file system.
func (e *Engine) Space() (Space, error) {
	found, err := e.fs.Space()
	if err != nil {
		return Space{}, err
	}
	return Space{Space: found, MinFree: e.space.floor, Ballast: e.ballast.bytes(), Refusing: e.Refusing()}, nil
}

// Refusing is why appends are refused for want of space, as Space.Refusing; it
// asks nobody.
func (e *Engine) Refusing() error {
	if why := e.space.refusal.Load(); why != nil {
		return *why
	}
	return nil
}

// forWantOfSpace marks the error of a file system that was full as a refusal:
// nothing was changed, and it may be tried again. Other errors, and those that
// stop the directory, stay as they are.
func forWantOfSpace(err error) error {
	if !isNoSpace(err) || isFinal(err) || errors.Is(err, ErrNoSpace) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNoSpace, err)
}
