package node

import "github.com/rollway/rollway/engine"

// maxCursors bounds the partitions that one connection reads in turn without
// looking anything up: 4 KiB of memory.
const maxCursors = 64

// CursorCache has the places where the fetches of one connection have ended. It
// belongs to one session; the zero value is ready.
type CursorCache struct {
	entries []cursorEntry
	oldest  int // the entry that the next one takes the place of
}

type cursorEntry struct {
	partition *engine.Partition
	cursor    engine.Cursor
}

// Of returns the cursor for p, valid until the next call.
func (c *CursorCache) Of(p *engine.Partition) *engine.Cursor {
	for i := range c.entries {
		if c.entries[i].partition == p {
			return &c.entries[i].cursor
		}
	}
	if len(c.entries) < maxCursors {
		c.entries = append(c.entries, cursorEntry{partition: p})
		return &c.entries[len(c.entries)-1].cursor
	}
	e := &c.entries[c.oldest]
	c.oldest = (c.oldest + 1) % maxCursors
	*e = cursorEntry{partition: p}
	return &e.cursor
}
