package engine

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// epochsOf reads "epoch@start ..." as entries.
func epochsOf(t testing.TB, text string) leaderEpochs {
	t.Helper()
	var l leaderEpochs
	for _, field := range strings.Fields(text) {
		var e epochEntry
		if _, err := fmt.Sscanf(field, "%d@%d", &e.epoch, &e.start); err != nil {
			t.Fatal(err)
		}
		l.entries = append(l.entries, e)
	}
	return l
}

func (l *leaderEpochs) text() string {
	var fields []string
	for _, e := range l.entries {
		fields = append(fields, fmt.Sprintf("%d@%d", e.epoch, e.start))
	}
	return strings.Join(fields, " ")
}

// assign does what Kafka's LeaderEpochFileCache does, case by case.
func TestLeaderEpochsAssign(t *testing.T) {
	f := func(before string, epoch int32, start Offset, want string) {
		t.Helper()
		l := epochsOf(t, before)
		changed := l.assign(epoch, start)
		if got := l.text(); got != want || changed != (want != before) {
			t.Errorf("%q and %d@%d: %q, changed %v; want %q", before, epoch, start, got, changed, want)
		}
	}
	f("", 0, 0, "0@0")
	f("", 5, 100, "5@100")
	f("0@0", 1, 10, "0@0 1@10")
	f("0@0 1@10", 1, 20, "0@0 1@10")
	f("0@0 1@10", 1, 10, "0@0 1@10")
	f("0@0 1@10", 1, 5, "0@0 1@5")
	f("0@0 1@10", 2, 10, "0@0 2@10") // epoch 1 wrote nothing
	f("0@0 1@10 2@20", 3, 10, "0@0 3@10")
	f("0@0 1@10 2@20", 1, 15, "0@0 1@15")
	f("0@0 1@10 2@20", 0, 30, "0@30")
	f("0@0 1@10", 2, 0, "2@0")
	f("0@0", -1, 10, "0@0")
	f("0@0", 1, -1, "0@0")
}

// endOffset answers as Kafka's endOffsetFor, case by case.
func TestLeaderEpochsEndOffset(t *testing.T) {
	f := func(entries string, asked, wantEpoch int32, wantEnd Offset) {
		t.Helper()
		l := epochsOf(t, entries)
		epoch, end := l.endOffset(asked, 100)
		if epoch != wantEpoch || end != wantEnd {
			t.Errorf("%q asked for %d: %d, %d; want %d, %d", entries, asked, epoch, end, wantEpoch, wantEnd)
		}
	}
	f("", 0, -1, -1)
	f("", -1, -1, -1)
	f("2@10 5@20 7@30", -1, -1, -1)
	f("2@10 5@20 7@30", 0, 0, 10) // gone from the log
	f("2@10 5@20 7@30", 2, 2, 20)
	f("2@10 5@20 7@30", 4, 2, 20)
	f("2@10 5@20 7@30", 5, 5, 30)
	f("2@10 5@20 7@30", 6, 5, 30)
	f("2@10 5@20 7@30", 7, 7, 100)
	f("2@10 5@20 7@30", 8, -1, -1)
}

// Truncation at either end keeps what the log still holds.
func TestLeaderEpochsTruncate(t *testing.T) {
	f := func(truncate func(*leaderEpochs, Offset) bool, before string, at Offset, want string) {
		t.Helper()
		l := epochsOf(t, before)
		changed := truncate(&l, at)
		if got := l.text(); got != want || changed != (want != before) {
			t.Errorf("%q at %d: %q, changed %v; want %q", before, at, got, changed, want)
		}
	}
	end := (*leaderEpochs).truncateFromEnd
	f(end, "", 0, "")
	f(end, "2@10 5@20 7@30", 31, "2@10 5@20 7@30")
	f(end, "2@10 5@20 7@30", 30, "2@10 5@20")
	f(end, "2@10 5@20 7@30", 11, "2@10")
	f(end, "2@10 5@20 7@30", 0, "")

	start := (*leaderEpochs).truncateFromStart
	f(start, "", 5, "")
	f(start, "2@10 5@20 7@30", 9, "2@10 5@20 7@30")
	f(start, "2@10 5@20 7@30", 10, "2@10 5@20 7@30")
	f(start, "2@10 5@20 7@30", 11, "2@11 5@20 7@30")
	f(start, "2@10 5@20 7@30", 20, "5@20 7@30")
	f(start, "2@10 5@20 7@30", 25, "5@25 7@30")
	f(start, "2@10 5@20 7@30", 1000, "7@1000")
}

func TestLeaderEpochsLatest(t *testing.T) {
	var l leaderEpochs
	if epoch, start, ok := l.latest(); ok || epoch != -1 || start != -1 {
		t.Errorf("empty: %d, %d, %v", epoch, start, ok)
	}
	l = epochsOf(t, "2@10 5@20")
	if epoch, start, ok := l.latest(); !ok || epoch != 5 || start != 20 {
		t.Errorf("%d, %d, %v; want 5, 20", epoch, start, ok)
	}
}

// After any sequence of operations the entries rise, and the file gives them back.
func TestLeaderEpochsInvariant(t *testing.T) {
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	var l leaderEpochs
	for step := range 5000 {
		at := Offset(rng.IntN(60))
		switch rng.IntN(8) {
		case 0:
			l.truncateFromEnd(at)
		case 1:
			l.truncateFromStart(at)
		default:
			l.assign(int32(rng.IntN(30)), at)
		}
		back, err := parseLeaderEpochs("f", l.encode())
		if err != nil || !slices.Equal(back.entries, l.entries) {
			t.Fatalf("seed %d, step %d: %q is read back as %q, %v", seed, step, l.text(), back.text(), err)
		}
	}
}
