package zerocopy

import (
	"fmt"
	"sync"

	"github.com/rollway/rollway/internal/invariant"
)

// PipePoolOptions bounds a PipePool. The zero value works.
type PipePoolOptions struct {
	// MaxPipes is how many pipes may exist at once, lent and idle. Each costs
	// two descriptors. Default 32: at 1 MiB half of the 64 MiB that Linux
	// allows the pipes of one ordinary user, the other half being for the
	// rest of his programs.
	MaxPipes int

	// PipeBytes is the capacity to ask for; less is accepted when the system
	// gives less. Default 1 MiB, the default of /proc/sys/fs/pipe-max-size.
	PipeBytes int
}

// Validate returns an error that names the field that is out of range.
func (o PipePoolOptions) Validate() error {
	if o.MaxPipes < 0 {
		return fmt.Errorf("zerocopy: PipePoolOptions.MaxPipes %d, want 0 (default 32) or more", o.MaxPipes)
	}
	if o.PipeBytes < 0 || o.PipeBytes > 1<<30 {
		return fmt.Errorf("zerocopy: PipePoolOptions.PipeBytes %d, want 0 (default 1 MiB) to 1 GiB", o.PipeBytes)
	}
	return nil
}

// PipePool lends pipes to transfers, so that a pipe is not made for each one.
// A pipe is lent for one transfer, not for the life of a connection. The pool
// never waits: who finds it exhausted takes another way, because the lent
// pipes may all be with peers that have stopped reading. It is safe for
// concurrent use.
type PipePool struct {
	maxPipes  int
	pipeBytes int

	mu     sync.Mutex
	idle   []*Pipe // +checklocks:mu — each empty and never failed; the last in is the first out, its pages are warm
	open   int     // +checklocks:mu — Invariant: len(idle) <= open <= maxPipes
	closed bool    // +checklocks:mu
}

// NewPipePool returns a pool without any pipe; they are made when asked for.
func NewPipePool(options PipePoolOptions) (*PipePool, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	if options.MaxPipes == 0 {
		options.MaxPipes = 32
	}
	if options.PipeBytes == 0 {
		options.PipeBytes = 1 << 20
	}
	return &PipePool{
		maxPipes:  options.MaxPipes,
		pipeBytes: options.PipeBytes,
		idle:      make([]*Pipe, 0, options.MaxPipes),
	}, nil
}

// Get lends an empty pipe. Give it back with Put, in whatever state it is. It
// never blocks; every error wraps ErrNoPipe.
func (l *PipePool) Get() (*Pipe, error) {
	l.mu.Lock()
	if n := len(l.idle); n > 0 {
		p := l.idle[n-1]
		l.idle = l.idle[:n-1]
		l.mu.Unlock()
		return p, nil
	}
	if l.closed || l.open == l.maxPipes {
		l.mu.Unlock()
		return nil, ErrNoPipe
	}
	l.open++ // the right to make one, taken before the calls that make it
	l.mu.Unlock()

	p, err := newPipe(l.pipeBytes)
	if err != nil {
		l.mu.Lock()
		l.open--
		l.mu.Unlock()
		return nil, fmt.Errorf("%w: %w", ErrNoPipe, err)
	}
	return p, nil
}

// Put takes back a pipe that Get lent. A pipe that saw an error or still holds
// bytes is closed: whoever got it next would send them to a stranger.
func (l *PipePool) Put(p *Pipe) {
	l.mu.Lock()
	defer l.mu.Unlock()
	invariant.Check(len(l.idle) < l.open, "pipe pool: Put with %d of %d pipes idle", len(l.idle), l.open)
	if p.dirty || p.held != 0 || l.closed {
		l.open--
		p.close()
		return
	}
	l.idle = append(l.idle, p)
}

// Close closes the idle pipes now and each lent one when it comes back. Get
// gives none afterwards. Later calls do nothing.
func (l *PipePool) Close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.idle {
		p.close()
	}
	l.open -= len(l.idle)
	l.idle = nil
	l.closed = true
}

// Stats returns how many pipes exist and how many of them are not lent.
func (l *PipePool) Stats() (open, idle int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open, len(l.idle)
}
