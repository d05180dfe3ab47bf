package kafka

import (
	"fmt"
	"os"
	"regexp"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Every key has a name, versions, an access and a handler, as another
// implementation knows it, and stands in the table once and in order.
func TestTable(t *testing.T) {
	before := int16(-1)
	for _, a := range apis {
		if a.key <= before {
			t.Errorf("key %d stands behind %d", a.key, before)
		}
		before = a.key
		if got := kmsg.NameForKey(a.key); a.name != got {
			t.Errorf("key %d has the name %q, want %q", a.key, a.name, got)
		}
		if a.handle == nil || a.access.resource == 0 || a.access.operation == 0 {
			t.Errorf("%s lacks a handler or an access", a.name)
		}
		m := kmsg.RequestForKey(a.key)
		if a.min < 0 || a.min > a.max || a.max > m.MaxVersion() || a.least() > a.max {
			t.Errorf("%s has versions %d to %d", a.name, a.min, a.max)
		}
		for v := a.min; v <= a.max; v++ {
			m.SetVersion(v)
			if h := (header{api: a, version: v}); h.flexible() != m.IsFlexible() {
				t.Errorf("%s version %d: flexible is %v", a.name, v, h.flexible())
			}
		}
		if apiOf(a.key) != a {
			t.Errorf("%s is not found by its key", a.name)
		}
	}
	for _, key := range []int16{-1, -32768, 4, 127, 128, 32767} {
		if a := apiOf(key); a != nil {
			t.Errorf("key %d is %s, want none", key, a.name)
		}
	}
}

// docs/kafka.md has a row for each key with the versions that are served.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/kafka.md")
	if err != nil {
		t.Fatal(err)
	}
	versions := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| (\d+) \| \w+ \| ([^|]*) \|`).FindAllStringSubmatch(string(page), -1) {
		versions[row[1]] = row[2]
	}
	for _, a := range apis {
		want := fmt.Sprintf("%d-%d", a.min, a.max)
		switch {
		case a.decodable > a.min:
			want += fmt.Sprintf(" advertised, %d-%d carried out", a.decodable, a.max)
		case a.min == a.max:
			want = fmt.Sprint(a.min)
		}
		if got := versions[fmt.Sprint(a.key)]; got != want {
			t.Errorf("%s, key %d: the page has versions %q, want %q", a.name, a.key, got, want)
		}
	}
	if len(versions) != len(apis) {
		t.Errorf("%d rows for %d keys", len(versions), len(apis))
	}
}
