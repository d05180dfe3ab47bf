package main

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// profile is how much of the plan is carried out, and how thoroughly.
type profile struct {
	name  string
	limit time.Duration // what it is made to take at most; 0: as long as it takes
	effort
	contestants []string // nil: all
	workloads   []string // names or letters; nil: all
}

// effort is how thoroughly a workload is measured. Measures that were taken with the
// same one, at the same commit, compare whatever else was measured beside them.
type effort struct {
	rounds     int           // of workloads at full speed
	counted    time.Duration // their counted part
	openRounds int           // of workloads at a fixed rate, or over a server's whole life
	open       time.Duration // their counted part
	cold       time.Duration // the first turn after a start
	warmUp     time.Duration // of a server of ours
	jvmWarmUp  time.Duration // of Kafka
	syscalls   bool          // count them, in a turn of its own
	repeats    bool          // do turns again that others have disturbed

	produceBytes int64 // at most, in a turn at full speed: bounds the disk and the time to read back
	backlogBytes int64 // of the cold catch-up and of the recovery
}

func (e effort) String() string {
	text := fmt.Sprintf("%d rounds of %v, %d of %v at a fixed rate; warmed up for %v, a JVM for %v, for each workload; at most %d MiB produced in a turn, backlogs of %d MiB",
		e.rounds, e.counted, e.openRounds, e.open, e.warmUp, e.jvmWarmUp, e.produceBytes>>20, e.backlogBytes>>20)
	if e.repeats {
		text += fmt.Sprintf("; a turn in which others took more than %g %% of all cores' time is done again, up to %d times, and the least disturbed one counts", disturbedShare*100, mostRepeats)
	}
	return text
}

// thorough is the effort behind published figures.
var thorough = effort{
	rounds: 5, counted: 1500 * time.Millisecond, openRounds: 3, open: 4 * time.Second,
	cold: time.Second, warmUp: 500 * time.Millisecond, jvmWarmUp: 15 * time.Second, syscalls: true, repeats: true,
	produceBytes: 1 << 30, backlogBytes: 10 << 30,
}

// profiles are what LAB chooses from. The full one begins with what the default one
// measures.
var profiles = []profile{
	{
		name: "smoke", limit: 90 * time.Second,
		effort: effort{
			rounds: 2, counted: 500 * time.Millisecond, openRounds: 1, open: time.Second,
			cold: 200 * time.Millisecond, warmUp: 300 * time.Millisecond, jvmWarmUp: 2 * time.Second,
			produceBytes: 256 << 20, backlogBytes: 256 << 20,
		},
		contestants: []string{"rollway-kafka", "kafka", "kafka-fsync", "bare-sink", "bare-sendfile", "bare-journal"},
		workloads:   []string{"a-16k", "e-1m-1", "h-c-64"},
	},
	{
		name: "quick", limit: 12 * time.Minute,
		effort: effort{
			rounds: 3, counted: 800 * time.Millisecond, openRounds: 2, open: 2500 * time.Millisecond,
			cold: 500 * time.Millisecond, warmUp: 300 * time.Millisecond, jvmWarmUp: 4 * time.Second, syscalls: true,
			produceBytes: 512 << 20, backlogBytes: 1 << 30,
		},
		workloads: []string{"a", "b", "c", "e-1m-1", "e-1m-16", "e-64k-64", "h-b", "h-c-64", "i-max", "i-10", "i-50", "i-80"},
	},
	{
		name: "default", limit: 60 * time.Minute, effort: thorough,
		workloads: []string{"a", "b", "c", "d", "e", "g", "h", "i", "j-1", "j-100", "j-1000", "k"},
	},
	{name: "full", effort: thorough},
}

// findProfile returns the profile of that name; of none the default one.
func findProfile(name string) (profile, error) {
	if name == "" {
		name = "default"
	}
	var names []string
	for _, p := range profiles {
		if p.name == name {
			return p, nil
		}
		names = append(names, p.name)
	}
	return profile{}, fmt.Errorf("%q, want one of %s", name, strings.Join(names, ", "))
}

// chooses tells whether a workload belongs to the profile.
func (p profile) chooses(w *workload) bool {
	return p.workloads == nil || slices.Contains(p.workloads, w.Name) || slices.Contains(p.workloads, w.letter())
}

// admits tells whether a contestant does.
func (p profile) admits(contestant string) bool {
	return p.contestants == nil || slices.Contains(p.contestants, contestant)
}
