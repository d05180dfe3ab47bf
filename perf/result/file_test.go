package result

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

var at = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// What was written in two goes is read as one run, the later conditions in the
// place of earlier ones.
func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "results", "one.jsonl")
	run := Run{
		ID: "one", Profile: "smoke", Command: "make lab", Commit: "abc", Began: at,
		Workloads:   []Workload{{Name: "a-16k", Title: "produce", Main: []string{"produce_mib_s"}, Rounds: 3}},
		Contestants: []Contestant{{"bare-sink", "bare loop"}},
		Conditions:  []Condition{{Name: "noise", Text: "none yet"}, {Name: "kernel", Text: "Linux"}},
	}
	measures := []Measure{
		{Workload: "a-16k", Contestant: "bare-sink", Phase: Cold, At: at, Figures: map[string]float64{"produce_mib_s": 1.5}},
		{Workload: "a-16k", Contestant: "bare-sink", Round: 1, At: at, Error: "lost a record", Latencies: map[string]string{"produce": "HISTF"}},
	}
	w, err := Create(path, run)
	if err != nil {
		t.Fatal(err)
	}
	write := func(m Measure, c ...Condition) {
		t.Helper()
		if err := errors.Join(w.Measure(m), w.Conditions(c...), w.Close()); err != nil {
			t.Error(err)
		}
	}
	write(measures[0], Condition{Name: "noise", Text: "much", Warning: true})
	if w, err = Append(path); err != nil {
		t.Fatal(err)
	}
	write(measures[1], Condition{Name: "noise", Text: "less", Contestant: "bare-sink"})

	run.Conditions = []Condition{
		{Name: "noise", Text: "much", Warning: true},
		{Name: "kernel", Text: "Linux"},
		{Name: "noise", Text: "less", Contestant: "bare-sink"},
	}
	gotRun, got, err := ReadFile(path)
	if err != nil || !reflect.DeepEqual(gotRun, run) || !reflect.DeepEqual(got, measures) {
		t.Errorf("read %+v\n%+v, %v\nwant %+v\n%+v", gotRun, got, err, run, measures)
	}
	if _, err := Create(path, run); !errors.Is(err, fs.ErrExist) {
		t.Errorf("create a file that is there: %v, want %v", err, fs.ErrExist)
	}
}

// A line that a crash has cut is not read, and what is appended does not stand
// behind its half.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "torn.jsonl")
	w, err := Create(path, Run{ID: "torn"})
	if err != nil {
		t.Fatal(err)
	}
	w.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, `{"measure":{"workload":"a`...), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, measures, err := ReadFile(path); err != nil || len(measures) != 0 {
		t.Errorf("measures %v, %v; want none", measures, err)
	}
	if w, err = Append(path); err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Measure(Measure{Workload: "b"}); err != nil {
		t.Fatal(err)
	}
	if _, measures, err := ReadFile(path); err != nil || len(measures) != 1 || measures[0].Workload != "b" {
		t.Errorf("measures %v, %v; want the one that was appended", measures, err)
	}
}

// What is no file of results is refused with the line.
func TestReadRefuses(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if _, _, err := Read(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("read %q: %v, want %q", text, err, want)
		}
	}
	f("", "empty")
	f("{\"measure\":{}}\n", "line 1: want a run")
	f("{\"run\":{}}\n{\"run\":{}}\n", "line 2: want a run")
	f("{\"run\":{}}\nnoise\n", "line 2: invalid character")
	f("{\"run\":{}}\n{\"measure\":{\"figures\":{\"speed\":1}}}\n", `line 2: measure of , : figure "speed"`)
}

// A Writer takes no figure that the table does not know.
func TestUnknownFigure(t *testing.T) {
	w, err := Create(filepath.Join(t.TempDir(), "x.jsonl"), Run{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if err := w.Measure(Measure{Figures: map[string]float64{"speed": 1}}); err == nil {
		t.Error("figure \"speed\": no error")
	}
}
