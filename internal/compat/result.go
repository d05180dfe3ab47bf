// Package compat keeps what came of tests with Kafka clients that others
// wrote, so that docs/compatibility.md can say it: tests [Report], and the tool
// compattable makes the page. The format of the file between them is [Result].
package compat

import (
	"encoding/json"
	"os"
	"sync"
	"testing"
)

// Suite names what some tests have in common.
type Suite struct {
	Client  string `json:"client"`  // "kcat"
	Version string `json:"version"` // of the client, "1.7.1 (librdkafka 2.0.2)"
	What    string `json:"what"`    // what is run, "produce and consume"
}

// Result is what came of one test: one line of the file, JSON.
type Result struct {
	Suite
	Test    string  `json:"test"`
	Outcome Outcome `json:"outcome"`
}

// Outcome is how a test ended.
type Outcome string

// The outcomes of a test.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// file is where results are appended to; they are not kept if it is empty.
var file = os.Getenv("ROLLWAY_COMPAT_RESULTS")

var mu sync.Mutex // held while file is written to

// Report appends the result of t to the file that ROLLWAY_COMPAT_RESULTS names,
// when t ends. It may be called concurrently, also by several processes: a
// result is one write.
func Report(t testing.TB, suite Suite) {
	if file == "" {
		return
	}
	t.Cleanup(func() {
		r := Result{Suite: suite, Test: t.Name(), Outcome: Passed}
		switch {
		case t.Failed():
			r.Outcome = Failed
		case t.Skipped():
			r.Outcome = Skipped
		}
		if err := add(r); err != nil {
			t.Error(err)
		}
	})
}

// add appends r to the file.
func add(r Result) error {
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	mu.Lock()
	defer mu.Unlock()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	return err
}
