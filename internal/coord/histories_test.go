package coord

import (
	"fmt"
	"os"
	"strconv"
	"testing"
)

const historySteps = 80

// Random histories hold what the package promises: one owner of each partition in
// a generation, no commit of a stale generation or of who is no member, no
// committed offset that goes back, no answer that is lost, no group that does not
// come to rest. `make histories` runs more of them.
func TestHistories(t *testing.T) {
	seed := envUint(t, "ROLLWAY_HISTORY_SEED", 1)
	at, keep := -1, 0
	if restart := os.Getenv("ROLLWAY_HISTORY_RESTART"); restart != "" {
		if _, err := fmt.Sscanf(restart, "%d,%d", &at, &keep); err != nil {
			t.Fatalf("ROLLWAY_HISTORY_RESTART is %q, want STEP,RECORDS: %v", restart, err)
		}
	}
	histories := envUint(t, "ROLLWAY_HISTORIES", 600)
	if os.Getenv("ROLLWAY_HISTORY_SEED") != "" && os.Getenv("ROLLWAY_HISTORIES") == "" {
		histories = 1
	}
	for n := range histories {
		runHistory(t, seed+n, at, keep)
		if t.Failed() {
			return
		}
	}
	t.Logf("%d histories of %d steps", histories, historySteps)
}

// A restart at any step of a history, with any number of the records that were
// not settled, changes none of that.
func TestRestartAtAnyStep(t *testing.T) {
	const most = 4 // records that are kept, less one
	seeds := envUint(t, "ROLLWAY_HISTORIES", 500) / 500
	for seed := range seeds {
		for at := range historySteps {
			for keep := range most {
				runHistory(t, 1_000_000+seed, at, keep)
				if t.Failed() {
					return
				}
			}
		}
	}
	t.Logf("%d histories of %d steps", seeds*historySteps*most, historySteps)
}

// runHistory runs a history, with a restart at a step unless that is -1.
func runHistory(t *testing.T, seed uint64, restartAt, keep int) {
	t.Helper()
	s := newSim(seed)
	if err := s.run(historySteps, restartAt, keep); err != nil {
		t.Errorf("seed %d, restart at %d with %d: %v\n%s\nROLLWAY_HISTORY_SEED=%d ROLLWAY_HISTORY_RESTART=%d,%d go test ./internal/coord -run TestHistories",
			seed, restartAt, keep, err, s.tail(), seed, restartAt, keep)
	}
}

func envUint(t *testing.T, name string, standard uint64) uint64 {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return standard
	}
	v, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return v
}
