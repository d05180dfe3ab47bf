package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// progress shows on a terminal what is going on, in one line.
type progress struct {
	out   io.Writer // nil: nobody looks
	shown bool
}

// newProgress returns one for file, which shows nothing unless that is a
// terminal.
func newProgress(file *os.File) *progress {
	if _, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS); err != nil {
		return &progress{}
	}
	return &progress{out: file}
}

// step shows whose turn it is; round 0 of some is that which does not count, 0
// of 0 is before the first.
func (p *progress) step(what, contestant string, round, rounds int) {
	if p.out == nil {
		return
	}
	when := fmt.Sprintf("round %d of %d", round, rounds)
	switch {
	case rounds == 0:
		when = "fills its log"
	case round == 0:
		when = "warms up"
	}
	p.shown = true
	fmt.Fprintf(p.out, "\r\x1b[K%s: %s: %s", what, contestant, when)
}

// done clears the line.
func (p *progress) done() {
	if p.shown {
		fmt.Fprint(p.out, "\r\x1b[K")
	}
	p.shown = false
}
