package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/record"
)

// A record that was acknowledged and whose bytes have changed while the server
// was down stops a reader with an error that names it and the command for it;
// what stands behind is served, check finds it too, and once an operator has
// given it up readers pass it, also after a kill and a restart.
func TestDamage(t *testing.T) {
	data := t.TempDir()
	// With a journal the bytes would be put back from there, once there is one.
	const noJournal = "--journal-bytes=-1"
	s := startServer(t, data, noJournal)
	s.run(nil, "topic", "create", "orders")
	const bad, count = 3, 7
	all := make([]string, count)
	for i := range all {
		all[i] = fmt.Sprintf("value %d\n", i)
		s.run(strings.NewReader(all[i]), "produce", "orders", "--acks", "all")
	}
	s.kill()
	log := filepath.Join(data, "orders-0", "00000000000000000000.log")
	flip(t, log, count, bad)

	s = startServer(t, data, noJournal)
	reads := func(want []string, args ...string) {
		t.Helper()
		if got := string(s.run(nil, append([]string{"consume", "orders"}, args...)...)); got != strings.Join(want, "") {
			t.Errorf("consume %q: %q, want %q", args, got, want)
		}
	}
	stopped := func(want []string, args ...string) {
		t.Helper()
		got, err := s.try(nil, append([]string{"consume", "orders"}, args...)...)
		if string(got) != strings.Join(want, "") {
			t.Errorf("consume %q: %q, want %q", args, got, want)
		}
		says(t, err, "orders-0 at 3: ", "offsets 3 to 3 are damaged", "rollway partition skip orders --partition 0 --offset 3")
	}
	stopped(all[:bad])
	stopped(nil, "--from", "3")
	stopped(all[2:bad], "--from", "2", "--follow")
	reads(all[bad+1:], "--from", "4")
	checked, err := s.try(nil, "check", data)
	says(t, err, "1 problem was found")
	if text := string(checked); !strings.Contains(text, "PROBLEM "+log) || !strings.Contains(text, "offset 3: in quarantine: offsets 3 to 3 are damaged") {
		t.Errorf("check says:\n%s", text)
	}
	if got, want := string(s.run(nil, "topic", "describe", "orders")), "0          3           4  get an error"; !strings.Contains(got, want) {
		t.Errorf("topic describe says:\n%s", got)
	}

	skip := func(want string, args ...string) {
		t.Helper()
		if got := string(s.run(nil, append([]string{"partition", "skip", "orders", "--partition", "0"}, args...)...)); got != want {
			t.Errorf("partition skip %q: %q, want %q", args, got, want)
		}
	}
	skip("orders-0: offset 3: would be given up; readers would go on at 4\n", "--all", "--dry-run")
	stopped(nil, "--from", "3")
	skip("orders-0: offset 3: given up; readers go on at 4\n", "--offset", "3")
	if told := s.stderr.String(); !strings.Contains(told, "readers are let past damage") {
		t.Errorf("the server's log tells nothing of it:\n%s", told)
	}
	rest := append(append([]string{}, all[:bad]...), all[bad+1:]...)
	reads(rest)
	reads(all[bad+1:], "--from", "3")
	reads(rest[2:4], "--from", "2", "--follow", "--max", "2")
	s.run(strings.NewReader("more\n"), "produce", "orders")
	rest = append(rest, "more\n")
	reads(rest)

	s.kill()
	s = startServer(t, data, noJournal)
	reads(rest)
	s.stop()
	s = startServer(t, data, noJournal)
	reads(rest)
	if got := string(s.run(nil, "check", data)); !strings.Contains(got, "readers are let past them") {
		t.Errorf("check of what was given up says:\n%s", got)
	}
	skip("orders-0: offset 3: given up before; readers go on at 4\n", "--all")
	s.stop()
}

// flip changes a bit of a record of one batch of a log file whose batches are of
// one length.
func flip(t *testing.T, name string, batches, bad int) {
	t.Helper()
	log, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	size := len(log) / batches
	for i := range batches {
		if b := record.Batch(log[i*size : (i+1)*size]); b.Verify() != nil || b.BaseOffset() != record.Offset(i) {
			t.Fatalf("batch %d is not where it was expected", i)
		}
	}
	log[bad*size+record.HeaderSize+6] ^= 1
	if err := os.WriteFile(name, log, 0o600); err != nil {
		t.Fatal(err)
	}
}

// says wants the error of a command that was refused, exit code 1, with all of
// these in it.
func says(t *testing.T, err error, want ...string) {
	t.Helper()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 1 {
		t.Errorf("%v, want exit code 1", err)
		return
	}
	for _, text := range want {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("%v, want %q in it", err, text)
		}
	}
}
