package engine

import (
	"math/bits"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/dgraph-io/ristretto/v2"
)

// indexCache keeps blocks of index files in memory, and which entries of them were
// held against the log, by bytes. One engine has one. It is made when the first
// block is read, so that a directory nobody reads from costs nothing; what its
// admission refuses or its queue drops is read again.
//
// A block is found by the view that it belongs to: an index that was emptied or cut
// has a view with another id, and what was read under the old one is never met
// again.
type indexCache struct {
	mostBytes int64 // negative: nothing is kept

	mu     sync.RWMutex // held for reading while blocks is used, which must not be closed then
	blocks *ristretto.Cache[uint64, *indexBlock]
	closed bool
}

const defaultIndexCacheBytes = 64 << 20

// indexBlock is a block of an index file, immutable but for firsts.
type indexBlock struct {
	entries []byte // as they are in the file
	// firsts has, for each entry of an offset index, 1 + the relative base offset
	// of its batch once that batch's header has confirmed the entry, 0 before.
	firsts []atomic.Uint32
}

// indexBlockOverhead is what a block costs beside its arrays: its struct and item, and
// its places in two maps, in bytes.
const indexBlockOverhead = 256

func (b *indexBlock) size() int64 {
	return int64(len(b.entries)) + 4*int64(len(b.firsts)) + indexBlockOverhead
}

// first is where the base offset of the batch that an entry names is remembered;
// nil if it is not.
func (b *indexBlock) first(entry int) *atomic.Uint32 {
	if b == nil || b.firsts == nil {
		return nil
	}
	return &b.firsts[entry]
}

// indexViews numbers the views of all indexes of the process, so that no two share a key.
var indexViews atomic.Uint64

// indexBlockBits is how many bits of a key are the block's number: a segment of 2
// GiB has at most 2^31 entries of 512 to a block. The rest are the view's.
const indexBlockBits = 22

func indexBlockKey(view uint64, number int) uint64 {
	return view<<indexBlockBits | uint64(number)
}

// spreadKey is one to one, so that no two blocks meet. Ristretto takes the low bits
// for a shard, which for most blocks are those of number 0.
func spreadKey(key uint64) (hash, conflict uint64) {
	return bits.RotateLeft64(key*0x9e3779b97f4a7c15, 32), 0
}

// get returns block number of a view if it is there and has at least so many bytes:
// the last block of a file may have grown.
func (c *indexCache) get(view uint64, number, bytes int) *indexBlock {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.blocks == nil {
		return nil
	}
	b, _ := c.blocks.Get(indexBlockKey(view, number))
	if b == nil || len(b.entries) < bytes {
		return nil
	}
	return b
}

// put keeps a copy of a block that was read, with room for so many firsts, and
// returns it; nil if nothing is kept.
func (c *indexCache) put(view uint64, number int, entries []byte, firsts int) *indexBlock {
	if c.mostBytes < 0 || !c.start() {
		return nil
	}
	b := &indexBlock{entries: slices.Clone(entries)}
	if firsts > 0 {
		b.firsts = make([]atomic.Uint32, firsts)
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.closed {
		return nil
	}
	c.blocks.Set(indexBlockKey(view, number), b, b.size())
	return b
}

// start makes the cache unless it is there; false if it is closed.
func (c *indexCache) start() bool {
	c.mu.RLock()
	made, closed := c.blocks != nil, c.closed
	c.mu.RUnlock()
	if made || closed {
		return !closed
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.blocks != nil || c.closed {
		return !c.closed
	}
	const full = indexBlockEntries*(offsetEntryWidth+4) + indexBlockOverhead
	blocks, err := ristretto.NewCache(&ristretto.Config[uint64, *indexBlock]{
		NumCounters:        10 * max(c.mostBytes/full, 100), // ten to a block, as ristretto advises
		MaxCost:            c.mostBytes,
		BufferItems:        64,
		KeyToHash:          spreadKey,
		IgnoreInternalCost: true, // it is in size
	})
	if err != nil {
		panic("engine: index cache: " + err.Error()) // about its arguments only
	}
	c.blocks = blocks
	return true
}

// bytes is how much memory the blocks take that are kept.
func (c *indexCache) bytes() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if c.blocks == nil {
		return 0
	}
	return c.blocks.MaxCost() - c.blocks.RemainingCost()
}

// close gives the memory back and ends the cache's goroutines. Lookups may go on;
// they read the files.
func (c *indexCache) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	if c.blocks != nil {
		c.blocks.Close()
		c.blocks = nil
	}
}
