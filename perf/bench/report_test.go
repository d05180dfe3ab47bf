package main

import (
	"testing"

	"github.com/rollway/rollway/internal/golden"
	"github.com/rollway/rollway/perf/sample"
)

// sampleResults have a bit of everything.
func sampleResults() results {
	t := table{title: "fetch 1 MiB", note: "1 GiB a round", columns: []string{"contestant", "GiB/s", "spread", "x bare"}}
	t.add("bare", number(sample.Series{10.4, 9, 11}), spread(sample.Series{10.4, 9, 11}), number(sample.Series{1}))
	t.add("rollway µ", number(sample.Series{123.4}), spread(sample.Series{0.5, 1234}), number(sample.Series{-0.25}))
	t.targets = []target{atMost("CPU", 1.08, 1.2), atLeast("gain", 0.85, 0.9)}
	t.remarks = []string{"a remark"}
	plain := table{title: "durable", note: "1s a round", columns: []string{"contestant"}}
	plain.add("bare")
	return results{conditions: []condition{{"kernel", "Linux"}, {"data directory", "a|b"}}, tables: []table{t, plain}}
}

// What a run prints is what it was.
func TestReport(t *testing.T) {
	r := sampleResults()
	golden.Check(t, "report", []byte(r.String()))
	golden.Check(t, "markdown", []byte(r.markdown()))
}

// A target is met on its bound and on the good side of it.
func TestTarget(t *testing.T) {
	f := func(got target, met bool) {
		t.Helper()
		if got.met() != met {
			t.Errorf("%v: met is %v, want %v", got, got.met(), met)
		}
	}
	f(atMost("CPU", 1.2, 1.2), true)
	f(atMost("CPU", 1.21, 1.2), false)
	f(atLeast("gain", 0.9, 0.9), true)
	f(atLeast("gain", 0.89, 0.9), false)
	if missed, all := sampleResults().missed(); missed != 1 || all != 2 {
		t.Errorf("%d of %d targets missed, want 1 of 2", missed, all)
	}
}

// Bytes and things are counted in words.
func TestTexts(t *testing.T) {
	f := func(got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	f(bytesText(1<<30), "1 GiB")
	f(bytesText(3<<29), "1536 MiB")
	f(bytesText(64<<10), "64 KiB")
	f(bytesText(1<<20+1), "1048577 bytes")
	f(bytesText(0), "0 bytes")
	f(plural(1, "producer"), "1 producer")
	f(plural(8, "producer"), "8 producers")
	f(commandLine([]string{"-rounds", "3"}), "go run ./perf/bench -rounds 3")
	f(commandLine(nil), "go run ./perf/bench")
}
