package clients

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// codecs are the ways to compress, by the names that most clients know.
var codecs = []string{"none", "gzip", "snappy", "lz4", "zstd"}

// texts returns n different values, all of them lines of printable ASCII that
// compress well, so that a client has a reason to keep them compressed.
func texts(label string, n int) []string {
	values := make([]string, n)
	for i := range values {
		values[i] = fmt.Sprintf("%s record %d %s", label, i, strings.Repeat("log line ", i%40))
	}
	return values
}

// consumed is a record as a client has read it.
type consumed struct {
	offset int64
	value  string
}

// checkConsumed fails the test unless got are want, from offset first on.
func checkConsumed(t *testing.T, got []consumed, want []string, first int64) {
	t.Helper()
	expected := make([]consumed, len(want))
	for i, v := range want {
		expected[i] = consumed{first + int64(i), v}
	}
	if slices.Equal(got, expected) {
		return
	}
	for i := range min(len(got), len(expected)) {
		if got[i] != expected[i] {
			t.Fatalf("record %d of %d: %.80v, want %.80v", i, len(got), got[i], expected[i])
		}
	}
	t.Fatalf("%d records, want %d", len(got), len(expected))
}
