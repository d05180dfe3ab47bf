package child

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// TestMain makes this program a child when it is told to be one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "child" {
		if err := beChild(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func beChild(how string) error {
	if how == "broken" {
		return errors.New("the disk is on fire")
	}
	return Serve(netip.MustParseAddrPort("127.0.0.1:4711"), func(question json.RawMessage) (any, error) {
		var n int
		if err := json.Unmarshal(question, &n); err != nil {
			return nil, err
		}
		return -n, nil
	})
}

// A child says where it listens, answers, uses CPU time and is gone when it was
// stopped.
func TestProcess(t *testing.T) {
	p, err := Start(t.Context(), -1, os.Args[0], "child", "well")
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	if p.Addr.Port() != 4711 {
		t.Errorf("address %v, want port 4711", p.Addr)
	}
	for _, n := range []int{1, 2, 3} {
		var answer int
		if err := p.Ask(n, &answer); err != nil || answer != -n {
			t.Errorf("answer to %d = %d, %v; want %d", n, answer, err, -n)
		}
	}
	if cpu, err := p.CPUTime(); err != nil || cpu <= 0 {
		t.Errorf("CPU time %v, %v; want some", cpu, err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop: %v", err)
	}
	if err := p.Stop(); err != nil {
		t.Errorf("stop again: %v", err)
	}
	if err := unix.Kill(p.PID(), 0); err != unix.ESRCH {
		t.Errorf("signal to the stopped process: %v, want ESRCH", err)
	}
}

// What a child says when it cannot go on is in the error, and it is gone.
func TestProcessFails(t *testing.T) {
	_, err := Start(t.Context(), -1, os.Args[0], "child", "broken")
	if err == nil || !strings.Contains(err.Error(), "the disk is on fire") {
		t.Errorf("start of a broken child: %v, want its words", err)
	}

	p, err := Start(t.Context(), -1, os.Args[0], "child", "well")
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Ask("not a number", new(int)); err == nil || !strings.Contains(err.Error(), "not a number") {
		t.Errorf("question it does not know: %v, want it named", err)
	}
	if err := unix.Kill(p.PID(), 0); err != unix.ESRCH {
		t.Errorf("signal to the failed process: %v, want ESRCH", err)
	}

	if _, err := Start(t.Context(), -1, "/missing/program"); err == nil {
		t.Error("start of a missing program: no error")
	}
}

// A child does not outlive the context that it was started with.
func TestProcessCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p, err := Start(ctx, -1, os.Args[0], "child", "well")
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := p.Ask(1, new(int)); err == nil {
		// It may have answered before it was killed.
		err = p.Ask(2, new(int))
		for err == nil {
			err = p.Ask(3, new(int))
		}
	}
	p.Stop()
	if err := unix.Kill(p.PID(), 0); err != unix.ESRCH {
		t.Errorf("signal to the killed process: %v, want ESRCH", err)
	}
}
