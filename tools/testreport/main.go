// Command testreport reads the output of `go test -json` from standard input
// and prints what a person wants to see of it: a line per package as it ends,
// everything a failed test has said, and at the end the tests that were
// skipped, with their reasons. Plain `go test` hides skips, and `go test -v`
// hides everything else among them.
//
// It exits with 1 if anything failed.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
)

func main() {
	failed, err := report(os.Stdin, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "testreport:", err)
		os.Exit(1)
	}
	if failed {
		os.Exit(1)
	}
}

// event is a line of `go test -json`; see `go doc test2json` and, for
// build-output and build-fail, `go help buildjson`.
type event struct {
	Action  string
	Package string
	Test    string
	Output  string
}

// test names a test of a package.
type test struct {
	pkg, name string
}

// report copies what matters from in to out, until in ends, and tells whether
// a test or a build failed. Lines that are not events are copied.
func report(in io.Reader, out io.Writer) (failed bool, err error) {
	said := map[test][]string{} // what running tests have written
	var skipped []string
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprint(out, string(line))
				continue
			}
			of := test{e.Package, e.Test}
			switch e.Action {
			case "output", "build-output":
				if e.Test == "" {
					printPackageLine(out, e.Output)
				} else {
					said[of] = append(said[of], e.Output)
				}
			case "pass":
				delete(said, of)
			case "skip":
				if e.Test != "" {
					skipped = append(skipped, fmt.Sprintf("%s %s: %s", e.Package, e.Test, reason(said[of])))
				}
				delete(said, of)
			case "fail", "build-fail":
				failed = true
				fmt.Fprint(out, strings.Join(said[of], ""))
				delete(said, of)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return failed, err
		}
	}
	if len(skipped) > 0 {
		fmt.Fprintf(out, "\nskipped %d:\n", len(skipped))
	}
	for _, s := range skipped {
		fmt.Fprintln(out, "  "+s)
	}
	return failed, nil
}

// printPackageLine prints what a package says outside its tests, without the
// lines that `go test` does not print either.
func printPackageLine(out io.Writer, line string) {
	if line != "PASS\n" && !strings.Contains(line, "[no test files]") {
		fmt.Fprint(out, line)
	}
}

// reason returns what a skipped test said, without what the framework added.
func reason(lines []string) string {
	var words []string
	for _, line := range lines {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			words = append(words, line)
		}
	}
	return strings.Join(words, " ")
}
