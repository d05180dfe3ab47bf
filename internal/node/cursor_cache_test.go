package node

import (
	"testing"

	"github.com/rollway/rollway/engine"
)

// Partitions beyond the bound displace one another and are read all the same.
func TestCursorCache(t *testing.T) {
	var c CursorCache
	partitions := make([]engine.Partition, maxCursors+3)
	for i := range partitions {
		c.Of(&partitions[i])
	}
	if len(c.entries) != maxCursors {
		t.Fatalf("%d entries, want %d", len(c.entries), maxCursors)
	}
	for i := 3; i < len(partitions); i++ {
		if got := c.Of(&partitions[i]); got != &c.entries[i%maxCursors].cursor {
			t.Fatalf("partition %d is not where it was put", i)
		}
	}
}
