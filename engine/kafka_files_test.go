package engine

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A time index never stands without an offset index: Kafka's DumpLogSegments
// opens both to check the first, and fails if there is but one.
func TestTimeIndexHasOffsetIndexBeside(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	produceEach(t, p, "a", "b")
	beside := func() {
		t.Helper()
		times, err := filepath.Glob(filepath.Join(e.Path(), p.dir, "*.timeindex"))
		if err != nil || len(times) == 0 {
			t.Fatalf("time indexes %v, %v", times, err)
		}
		for _, name := range times {
			if _, err := os.Stat(fmt.Sprintf("%s.index", name[:len(name)-len(".timeindex")])); err != nil {
				t.Error(err)
			}
		}
	}
	if _, err := e.checkpoint(false); err != nil {
		t.Fatal(err)
	}
	beside()
	tune(p, segmentBytes(100))
	produceEach(t, p, "c", "d") // each rolls
	beside()
	e = reopen(t, e)
	beside()
	if err := os.Remove(filepath.Join(e.Path(), p.dir, "00000000000000000000.index")); err != nil {
		t.Fatal(err)
	}
	e = recrash(t, e)
	holds(t, partition(t, e, "t"), "a", "b", "c", "d")
}
