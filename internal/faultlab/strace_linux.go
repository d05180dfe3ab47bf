package faultlab

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/needs"
)

// Injection is what strace(1) does to system calls of a program that it runs.
// It is blind to what io_uring does.
type Injection struct {
	// Calls are the system calls, in strace's words: names, "?" before one that
	// not every architecture has, "/" before a regular expression.
	Calls []string
	// Error is the errno that a call fails with, without being made; Signal the
	// signal that it is hit by as it begins. One of both.
	Error, Signal string
	// N is the first call that is hit, of each kind and in each thread; Stay: and
	// each later one.
	N    int
	Stay bool
	// Also are further calls that are to be in the trace.
	Also []string
}

// Strace returns the command line, without the program, that runs a program
// under the injection and writes what it calls of those to trace, with the first
// 100 bytes of what it writes. The program is
// strace's only child; strace ends as it does.
//
// The test is skipped without strace.
func (i Injection) Strace(t testing.TB, trace string) []string {
	t.Helper()
	calls := strings.Join(i.Calls, ",")
	line := []string{needs.Tool(t, "strace"), "-f", "-qq", "-y", "-s", "100", "-o", trace}
	action := "signal=" + i.Signal
	if i.Error != "" {
		action = "error=" + i.Error
		// All other calls run at full speed. strace 6.1 injects no signals then.
		line = append(line, "--seccomp-bpf")
	}
	when := fmt.Sprint(i.N)
	if i.Stay {
		when += "+"
	}
	return append(line, "-e", "trace="+strings.Join(slices.Concat(i.Calls, i.Also), ","), "-e", "signal=none", "-e", fmt.Sprintf("inject=%s:%s:when=%s", calls, action, when))
}
