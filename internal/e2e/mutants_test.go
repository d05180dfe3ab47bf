package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/layering"
	"github.com/rollway/rollway/internal/mutant"
)

// otherCheck is the test of the engine that finds a planted bug which no image of
// a crash shows.
var otherCheck = map[mutant.Mutant]string{
	// Below the recovery point an index is durable, so it is damaged by other
	// means than a crash.
	mutant.IndexTrusted: "TestWrongEntry",
	// A group is written when the one before it is durable, so a crash leaves
	// nothing behind a damaged record; a bad disk does.
	mutant.JournalPastDamage: "TestJournalDamage$",
	// Crash states have more descriptors than they need.
	mutant.DirtyDescriptorEvicted: "TestUnsyncedFilesAreSyncedToBeClosed$",
}

// Every planted bug is found: by the crash states, or by the test that is named
// for it. Without a planted bug the same tests pass. It takes minutes, so only
// `make mutants` runs it.
func TestMutants(t *testing.T) {
	if os.Getenv("ROLLWAY_MUTANTS") == "" {
		t.Skip("make mutants runs it")
	}
	states := envInt(t, "ROLLWAY_CRASH_STATES", 20_000)
	seed := envInt(t, "ROLLWAY_CRASH_SEED", 1)
	root, err := layering.FindRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "engine.test")
	build := exec.Command("go", "test", "-c", "-tags", "mutants", "-o", binary, "./engine")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	// run returns whether the tests have failed, and what they said.
	run := func(m mutant.Mutant, tests string, states int64) (failed bool, said string) {
		t.Helper()
		cmd := exec.Command(binary, "-test.run", tests, "-test.v", "-test.timeout", "30m")
		cmd.Dir = filepath.Join(root, "engine")
		cmd.Env = append(os.Environ(), "ROLLWAY_MUTANT="+string(m), "ROLLWAY_CRASH_RANDOM=1",
			"ROLLWAY_CRASH_STATES="+strconv.FormatInt(states, 10), "ROLLWAY_CRASH_SEED="+strconv.FormatInt(seed, 10))
		out, err := cmd.CombinedOutput()
		exit := (*exec.ExitError)(nil)
		// A mutant that ends the test binary otherwise, such as with an unknown
		// name, is not found by a test.
		if err != nil && (!errors.As(err, &exit) || exit.ExitCode() != 1) {
			t.Fatalf("%s: %v\n%s", m, err, out)
		}
		return err != nil, string(out)
	}
	checks := []string{"TestCrashStates$"}
	for _, m := range mutant.All {
		if check := otherCheck[m]; check != "" {
			checks = append(checks, check)
		}
	}
	// `make faults` tries more of this.
	if failed, said := run("", strings.Join(checks, "|"), states/10); failed {
		t.Fatalf("the tests fail without a planted bug:\n%s", said)
	}
	caught := 0
	for _, m := range mutant.All {
		check := otherCheck[m]
		if check == "" {
			check = "TestCrashStates$"
		}
		failed, said := run(m, check, states)
		if !failed {
			t.Errorf("%s: not found by %s", m, check)
			continue
		}
		caught++
		t.Logf("%-34s %s", m, verdict(said))
	}
	t.Logf("%d of %d planted bugs were found", caught, len(mutant.All))
}

var (
	countLine     = regexp.MustCompile(`(\d+ crash states) of`)
	violationLine = regexp.MustCompile(`_test\.go:\d+: (?:\S+: after \[.*?\], )?(crash before .*)`)
	failedLine    = regexp.MustCompile(`--- FAIL: (\S+)`)
)

// verdict says, in a line, how a run of the tests found a bug.
func verdict(said string) string {
	if count, what := countLine.FindStringSubmatch(said), violationLine.FindStringSubmatch(said); count != nil && what != nil {
		return "after " + count[1] + ": " + what[1]
	}
	if failed := failedLine.FindStringSubmatch(said); failed != nil {
		return "by " + failed[1]
	}
	return "by a failure without a name"
}
