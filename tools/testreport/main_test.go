package main

import (
	"strings"
	"testing"
)

// Packages and failures are printed, passing tests are not, and skips come last with their reasons.
func TestReport(t *testing.T) {
	f := func(wantFailed bool, wantOut string, events ...string) {
		t.Helper()
		var out strings.Builder
		failed, err := report(strings.NewReader(strings.Join(events, "\n")+"\n"), &out)
		if err != nil {
			t.Fatal(err)
		}
		if failed != wantFailed || out.String() != wantOut {
			t.Errorf("report(%q) = %v, %q; want %v, %q", events, failed, out.String(), wantFailed, wantOut)
		}
	}

	f(false, "ok  \tp\t0.1s\n",
		`{"Action":"start","Package":"p"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: chatter\n"}`,
		`{"Action":"pass","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Output":"PASS\n"}`,
		`{"Action":"output","Package":"p","Output":"ok  \tp\t0.1s\n"}`,
		`{"Action":"pass","Package":"p"}`)
	f(true, "    a_test.go:1: boom\n--- FAIL: TestA (0.00s)\nFAIL\tp\t0.1s\n",
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: boom\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\n"}`,
		`{"Action":"fail","Package":"p","Test":"TestA"}`,
		`{"Action":"output","Package":"p","Output":"FAIL\tp\t0.1s\n"}`,
		`{"Action":"fail","Package":"p"}`)
	f(false, "\nskipped 1:\n  p TestA: a_test.go:1: needs strace\n",
		`{"Action":"output","Package":"p","Test":"TestA","Output":"=== RUN   TestA\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"    a_test.go:1: needs strace\n"}`,
		`{"Action":"output","Package":"p","Test":"TestA","Output":"--- SKIP: TestA (0.00s)\n"}`,
		`{"Action":"skip","Package":"p","Test":"TestA"}`)
	f(false, "", // a package without tests
		`{"Action":"output","Package":"p","Output":"?   \tp\t[no test files]\n"}`,
		`{"Action":"skip","Package":"p"}`)
	f(true, "a.go:1:1: expected 'package'\n",
		`{"ImportPath":"p","Action":"build-output","Output":"a.go:1:1: expected 'package'\n"}`,
		`{"ImportPath":"p","Action":"build-fail"}`)
	f(false, "go: downloading x\n", "go: downloading x")
}
