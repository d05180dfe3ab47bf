package vfs

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
)

// Keep says what a crash leaves of that which was not durable.
type Keep int

const (
	// KeepRandom: of the bytes, pieces of 512 bytes or 4 KiB, each in one of the
	// states that it had since the last Datasync; of the size, one that it had,
	// so that there may be zeros where no data came along; of the names, each
	// change by itself: a file that was created is missing, one that was removed
	// is back, one that was renamed has the old name or the new one. How much is
	// left in all depends on the seed.
	KeepRandom Keep = iota
	// KeepOrdered: all changes up to one of them, in the order in which they were
	// made, and pieces of that one, as a file system with an ordered journal does.
	KeepOrdered
	// KeepSynced: nothing.
	KeepSynced
	// KeepAll: everything, for only the process died. What was not durable still
	// is not: a later crash of the clone may lose it.
	KeepAll
)

// String names the mode.
func (k Keep) String() string {
	switch k {
	case KeepRandom:
		return "random"
	case KeepOrdered:
		return "ordered"
	case KeepSynced:
		return "synced"
	case KeepAll:
		return "all"
	}
	return fmt.Sprintf("keep %d", int(k))
}

// CrashClone returns a new tree that holds what a crash at this moment may leave
// of this one: all that is durable, and of the rest what keep says, chosen by
// seed. The same changes, seed and keep give the same clone. But for KeepAll,
// everything in it is durable. It has no open files and no locks; this tree and
// its open Files are as before.
//
// After a failing sync in a [Failing] around this tree, what that sync was to
// write is lost in all clones but those of KeepAll.
func (m *Mem) CrashClone(seed uint64, keep Keep) *Mem {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.noticeAll(m.root)
	clone := &Mem{path: m.path, capacity: m.capacity, order: m.order}
	if keep == KeepAll {
		c := &copier{mem: clone, nodes: map[*memNode]*memNode{}, changes: map[*memChange]*memChange{}}
		clone.root = c.node(m.root)
		return clone
	}
	cut := &powerCut{
		mem:     clone,
		keep:    keep,
		random:  rand.New(rand.NewPCG(seed, uint64(keep))),
		nodes:   map[*memNode]*memNode{},
		changes: map[*memChange]bool{},
	}
	cut.piece = []int64{512, 4096}[cut.random.IntN(2)]
	cut.chance = []float64{0.1, 0.5, 0.9}[cut.random.IntN(3)]
	if keep == KeepOrdered {
		orders := m.pendingOrders()
		if len(orders) > 0 {
			cut.last = orders[cut.random.IntN(len(orders))]
		}
	}
	clone.root = cut.node(m.root)
	return clone
}

func (m *Mem) noticeAll(n *memNode) {
	if n.file != nil {
		m.notice(n.file)
		return
	}
	for _, name := range sortedNames(n.dir.entries) {
		m.noticeAll(n.dir.entries[name])
	}
}

// pendingOrders returns the orders of all that is not durable, rising.
func (m *Mem) pendingOrders() []uint64 {
	orders := map[uint64]bool{}
	seen := map[*memNode]bool{}
	var visit func(n *memNode)
	visit = func(n *memNode) {
		if n == nil || seen[n] {
			return
		}
		seen[n] = true
		if n.file != nil {
			for _, w := range n.file.writes {
				orders[w.order] = true
			}
			return
		}
		for _, child := range n.dir.synced {
			visit(child)
		}
		for _, c := range n.dir.changes {
			orders[c.order] = true
			for _, name := range c.names {
				visit(name.node)
			}
		}
	}
	visit(m.root)
	return slices.Sorted(maps.Keys(orders))
}

// powerCut makes a tree of what a power cut leaves.
type powerCut struct {
	mem     *Mem
	keep    Keep
	random  *rand.Rand
	piece   int64   // bytes that reach the disk together
	chance  float64 // of KeepRandom: that something is left
	last    uint64  // of KeepOrdered: the change that is in pieces
	nodes   map[*memNode]*memNode
	changes map[*memChange]bool // what was decided
}

// node returns what is left of n.
func (c *powerCut) node(n *memNode) *memNode {
	if left := c.nodes[n]; left != nil {
		return left
	}
	left := &memNode{modified: n.modified}
	c.nodes[n] = left
	if n.file != nil {
		bytes := c.content(n.file)
		left.file = &memContent{image: bytes, disk: bytes, size: int64(len(bytes))}
		return left
	}
	entries := maps.Clone(n.dir.synced)
	for _, change := range n.dir.changes {
		if c.happened(change) {
			change.apply(n.dir, entries)
		}
	}
	for _, name := range sortedNames(entries) { // the order in which random is asked
		entries[name] = c.node(entries[name])
		c.mem.link(entries[name])
	}
	left.dir = &memDir{entries: entries, synced: maps.Clone(entries)}
	return left
}

// happened decides, once, whether a change of names reached the disk.
func (c *powerCut) happened(change *memChange) bool {
	decided, ok := c.changes[change]
	if !ok {
		switch c.keep {
		case KeepRandom:
			decided = c.random.Float64() < c.chance
		case KeepOrdered:
			decided = change.order <= c.last
		}
		decided = decided || change.durable
		c.changes[change] = decided
	}
	return decided
}

// content returns what is left of a file's bytes.
func (c *powerCut) content(f *memContent) []byte {
	if len(f.writes) == 0 {
		return slices.Clone(f.disk)
	}
	size := int64(len(f.disk))
	for _, w := range f.writes[:c.count(f.writes)] {
		size = w.end(size)
	}
	bytes := resized(slices.Clone(f.disk), size)
	for _, piece := range c.pieces(f) {
		from := piece * c.piece
		to := min(from+c.piece, size)
		count := c.count(f.writes)
		for i := range f.writes[:count] {
			f.writes[i].applyTo(bytes, from, to)
		}
	}
	return bytes
}

// count decides how many of the writes, in order, are left.
func (c *powerCut) count(writes []memWrite) int {
	switch c.keep {
	case KeepRandom:
		if c.random.Float64() < c.chance {
			return len(writes)
		}
		return c.random.IntN(len(writes)) // not the last
	case KeepOrdered:
		n := 0
		for _, w := range writes {
			if w.order < c.last || w.order == c.last && c.random.IntN(2) == 0 {
				n++
			}
		}
		return n
	}
	return 0
}

// pieces lists the pieces that differ from the disk, rising.
func (c *powerCut) pieces(f *memContent) []int64 {
	touched := map[int64]bool{}
	size := int64(len(f.disk))
	for i := range f.writes {
		w := &f.writes[i]
		from, to := w.at, w.end(size)
		if !w.cut {
			to = w.at + int64(len(w.data))
		} else if to < size {
			to = size // what was cut off
		}
		for piece := from / c.piece; piece*c.piece < to; piece++ {
			touched[piece] = true
		}
		size = w.end(size)
	}
	return slices.Sorted(maps.Keys(touched))
}

// applyTo applies the write to the bytes of a file between from and to, which
// need not exist.
func (w *memWrite) applyTo(bytes []byte, from, to int64) {
	if w.cut {
		if start := max(w.at, from); start < to {
			clear(bytes[start:to])
		}
		return
	}
	start, end := max(w.at, from), min(w.at+int64(len(w.data)), to)
	if start < end {
		copy(bytes[start:end], w.data[start-w.at:])
	}
}

// copier copies a tree together with what is durable of it.
type copier struct {
	mem     *Mem
	nodes   map[*memNode]*memNode
	changes map[*memChange]*memChange
}

func (c *copier) node(n *memNode) *memNode {
	if n == nil {
		return nil
	}
	if twin := c.nodes[n]; twin != nil {
		return twin
	}
	twin := &memNode{modified: n.modified}
	c.nodes[n] = twin
	if n.file != nil {
		twin.file = &memContent{
			image: n.file.content(), size: n.file.size,
			disk: slices.Clone(n.file.disk), writes: slices.Clone(n.file.writes),
		}
		return twin
	}
	twin.dir = &memDir{entries: c.entries(n.dir.entries), synced: c.entries(n.dir.synced)}
	for _, entry := range twin.dir.entries {
		c.mem.link(entry)
	}
	for _, change := range n.dir.changes {
		twin.dir.changes = append(twin.dir.changes, c.change(change))
	}
	return twin
}

func (c *copier) entries(of map[string]*memNode) map[string]*memNode {
	twins := make(map[string]*memNode, len(of))
	for name, n := range of {
		twins[name] = c.node(n)
	}
	return twins
}

func (c *copier) change(of *memChange) *memChange {
	if twin := c.changes[of]; twin != nil {
		return twin
	}
	twin := &memChange{order: of.order, durable: of.durable}
	c.changes[of] = twin
	for _, n := range of.names {
		twin.names = append(twin.names, memName{c.node(n.dir), n.name, c.node(n.node)})
	}
	return twin
}
