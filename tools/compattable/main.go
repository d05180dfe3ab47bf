// Command compattable writes a page that says which Kafka clients were run
// against the server, and what came of it: compattable DIR PAGE reads all files
// *.jsonl in DIR, which the tests have left there, and writes the Markdown file
// PAGE.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "compattable: want a directory of results and a page to write")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "compattable:", err)
		os.Exit(1)
	}
}

func run(dir, page string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil {
		return err
	}
	var results []result
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		more, err := parse(text)
		if err != nil {
			return fmt.Errorf("%s: %w", file, err)
		}
		results = append(results, more...)
	}
	if len(results) == 0 {
		return fmt.Errorf("no results in %s: run make compat compat-java", dir)
	}
	return os.WriteFile(page, table(results), 0o666)
}

// suite names what some tests have in common, and result is what came of one
// of them, as internal/compat writes it: one line of JSON.
type suite struct {
	Client, Version, What string
}

type result struct {
	suite
	Test, Outcome string
}

func parse(text []byte) (results []result, err error) {
	n := 0
	for line := range bytes.Lines(text) {
		n++
		var r result
		if err := json.Unmarshal(line, &r); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		if r.Outcome != "passed" && r.Outcome != "failed" && r.Outcome != "skipped" {
			return nil, fmt.Errorf("line %d: outcome %q", n, r.Outcome)
		}
		results = append(results, r)
	}
	return results, nil
}

const head = `# Compatibility

Kafka clients and tools that others wrote, run unchanged against a server that
the tests build and start, each with its defaults where the tests do not say
otherwise. Transactions are not there yet. Consumer groups are of the classic
protocol. A warning that a Java client logs, or a Python one, fails its test. So
does what kcat says of the server with ` + "`-d all`" + `, but for the two features that
librdkafka 2.0.2 misses in Apache Kafka 4.3, too (MsgVer1, ThrottleTime).

` + "`make compat compat-java compat-table`" + ` runs them all and writes this page.

| client | version | what was run | passed | failed | skipped |
|---|---|---|---:|---:|---:|
`

// table returns the page. A test that was reported more than once counts once:
// it passed if it passed every time.
func table(results []result) []byte {
	type test struct {
		suite
		name string
	}
	outcomes := map[test]string{}
	for _, r := range results {
		t := test{r.suite, r.Test}
		outcomes[t] = worse(outcomes[t], r.Outcome)
	}
	counts, others := map[suite]map[string]int{}, map[string][]string{}
	for t, outcome := range outcomes {
		if counts[t.suite] == nil {
			counts[t.suite] = map[string]int{}
		}
		counts[t.suite][outcome]++
		others[outcome] = append(others[outcome], fmt.Sprintf("- %s %s, %s: %s\n", t.Client, t.Version, t.What, t.name))
	}
	var page bytes.Buffer
	page.WriteString(head)
	var rows []string
	total := map[string]int{}
	for s, n := range counts {
		for outcome, count := range n {
			total[outcome] += count
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s | %d | %d | %d |\n", s.Client, s.Version, s.What, n["passed"], n["failed"], n["skipped"]))
	}
	slices.Sort(rows)
	page.WriteString(strings.Join(rows, ""))
	fmt.Fprintf(&page, "| all | | | %d | %d | %d |\n", total["passed"], total["failed"], total["skipped"])
	for _, outcome := range []string{"failed", "skipped"} {
		if list := others[outcome]; len(list) > 0 {
			slices.Sort(list)
			fmt.Fprintf(&page, "\n## What %s\n\n%s", map[string]string{"failed": "failed", "skipped": "was skipped"}[outcome], strings.Join(list, ""))
		}
	}
	return page.Bytes()
}

// worse returns the worse of two outcomes; "" is none.
func worse(a, b string) string {
	order := []string{"", "passed", "skipped", "failed"}
	if slices.Index(order, a) > slices.Index(order, b) {
		return a
	}
	return b
}
