package e2e

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/layering"
	"github.com/rollway/rollway/internal/mutant"
)

// check is a test, or several, of a package.
type check struct{ dir, tests string }

// crashStates finds the bugs that otherCheck does not name.
var crashStates = check{"engine", "TestCrashStates$"}

// otherCheck is the test that finds a planted bug which no image of a crash shows.
var otherCheck = map[mutant.Mutant]check{
	// Below the recovery point an index is durable, so it is damaged by other
	// means than a crash.
	mutant.IndexTrusted: {"engine", "TestWrongEntry"},
	// A group is written when the one before it is durable, so a crash leaves
	// nothing behind a damaged record; a bad disk does.
	mutant.JournalPastDamage: {"engine", "TestJournalDamage$"},
	// Crash states have more descriptors than they need.
	mutant.DirtyDescriptorEvicted: {"engine", "TestUnsyncedFilesAreSyncedToBeClosed$"},
	// The group coordinator has histories of its own.
	mutant.CommitOfStaleGeneration: histories,
	mutant.AssignmentBeforeSync:    histories,
	mutant.OffsetBeforeSync:        histories,
	mutant.ParkedMemberExpired:     histories,
	mutant.FencedNotAnswered:       histories,
	mutant.JoinPhaseNotTimed:       histories,
	mutant.TombstoneNotReplayed:    histories,
	mutant.GoneWithoutLook:         histories,
}

var histories = check{"internal/coord", "TestHistories$"}

// checkOf returns what finds a planted bug.
func checkOf(m mutant.Mutant) check {
	if c, ok := otherCheck[m]; ok {
		return c
	}
	return crashStates
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
	binaries := map[string]string{} // by package
	tests := map[string][]string{}
	for _, m := range append([]mutant.Mutant{""}, mutant.All...) {
		c := checkOf(m)
		if !slices.Contains(tests[c.dir], c.tests) {
			tests[c.dir] = append(tests[c.dir], c.tests)
		}
	}
	for dir := range tests {
		binaries[dir] = filepath.Join(t.TempDir(), filepath.Base(dir)+".test")
		build := exec.Command("go", "test", "-c", "-tags", "mutants", "-o", binaries[dir], "./"+dir)
		build.Dir = root
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	// run returns whether the tests have failed, and what they said.
	run := func(m mutant.Mutant, c check, states int64) (failed bool, said string) {
		t.Helper()
		cmd := exec.Command(binaries[c.dir], "-test.run", c.tests, "-test.v", "-test.timeout", "30m")
		cmd.Dir = filepath.Join(root, c.dir)
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
	// `make faults` and `make histories` try more of this.
	for dir, tests := range tests {
		if failed, said := run("", check{dir, strings.Join(tests, "|")}, states/10); failed {
			t.Fatalf("the tests of %s fail without a planted bug:\n%s", dir, said)
		}
	}
	caught := 0
	for _, m := range mutant.All {
		c := checkOf(m)
		failed, said := run(m, c, states)
		if !failed {
			t.Errorf("%s: not found by %s of %s", m, c.tests, c.dir)
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
	historyLine   = regexp.MustCompile(`_test\.go:\d+: (seed \d+), restart at -1 with 0(: .*)`)
	failedLine    = regexp.MustCompile(`--- FAIL: (\S+)`)
)

// verdict says, in a line, how a run of the tests found a bug.
func verdict(said string) string {
	if count, what := countLine.FindStringSubmatch(said), violationLine.FindStringSubmatch(said); count != nil && what != nil {
		return "after " + count[1] + ": " + what[1]
	}
	if history := historyLine.FindStringSubmatch(said); history != nil {
		return history[1] + history[2]
	}
	if failed := failedLine.FindStringSubmatch(said); failed != nil {
		return "by " + failed[1]
	}
	return "by a failure without a name"
}
