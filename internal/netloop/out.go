package netloop

import (
	"sync"

	"github.com/rollway/rollway/internal/invariant"
	"github.com/rollway/rollway/zerocopy"
)

// Out takes the answers of a session, in order. It is valid only during the
// call that it was given to.
type Out struct {
	// Buf holds the bytes of answers, one after another; a session appends to
	// it and may change what it has appended in this call. It neither
	// shortens Buf nor looks at the rest.
	Buf []byte

	block  *block // whose memory Buf is, or was before it grew; nil when Buf is nil
	taken  int    // bytes at the front of Buf that were moved on
	marked int    // end, in Buf, of the bytes before the last item. Invariant: taken <= marked <= len(Buf) when there are items

	items []item // from first on, what stands between the bytes
	first int
	bytes int64 // in the Ranges of items

	maxBytes int64 // Room's bounds
	maxItems int
	held     bool       // by Hold. Invariant: there are items
	inPoll   bool       // Defer is not allowed
	streams  []Deferred // given to Stream in this call
}

// item is what stands at a place between the bytes of an Out.
type item struct {
	before   int            // bytes between the item before and this one
	kind     itemKind       //
	body     zerocopy.Range // of itemRange
	deferred Deferred       // of itemDeferred
}

type itemKind uint8

const (
	itemRange    itemKind = iota // bytes of a file
	itemDeferred                 // an answer that is not there yet
	itemEnd                      // the end of an answer, kept only after Ranges
)

// Range appends bytes of a file, behind those in Buf. Out owns r from now on
// and closes it after its last byte has left, or when the connection ends.
func (o *Out) Range(r zerocopy.Range) {
	if r.Len == 0 {
		r.Close()
		return
	}
	o.bytes += r.Len
	o.push(item{kind: itemRange, body: r})
}

// Defer gives d this place in the order: what is appended later waits until d
// is done. A Poll cannot call it.
func (o *Out) Defer(d Deferred) {
	if o.inPoll {
		panic("netloop: Out.Defer called in a Poll")
	}
	o.push(item{kind: itemDeferred, deferred: d})
}

// Stream starts a stream beside the order: it is polled whenever the
// connection has room, and its output may be sent between any two answers,
// also ahead of those that were appended before it and wait. Streams and
// ordered answers take turns of about 1 MiB.
func (o *Out) Stream(d Deferred) { o.streams = append(o.streams, d) }

// Hold keeps the driver from receiving, and from calling Receive, until the next
// Deferred or Range in order is done: for a session that cannot take the next
// request before. There must be one, or Hold does nothing. Whoever holds looks
// again in the next Receive whether its reason has passed.
func (o *Out) Hold() { o.held = o.count() > 0 }

// Room returns how many more bytes are welcome in this call, 0 when the
// connection has enough to send for now. It is advice: one answer may exceed
// it, and bytes that Deferreds will put are not known to it.
func (o *Out) Room() int64 {
	if o.held || o.count() >= o.maxItems {
		return 0
	}
	return max(0, o.maxBytes-o.size())
}

// size returns the bytes in Buf and Ranges.
func (o *Out) size() int64 { return int64(len(o.Buf)-o.taken) + o.bytes }

// count returns how many items there are.
func (o *Out) count() int { return len(o.items) - o.first }

// empty tells whether there is nothing, not even a Deferred.
func (o *Out) empty() bool { return o.taken == len(o.Buf) && o.first == len(o.items) }

// push appends an item behind the bytes in Buf.
func (o *Out) push(it item) {
	if invariant.Enabled {
		invariant.Check(len(o.Buf) >= o.marked && len(o.Buf) >= o.taken,
			"out: Buf of %d bytes, want at least %d: a session shortened it", len(o.Buf), max(o.marked, o.taken))
	}
	if o.first > 0 && len(o.items) == cap(o.items) {
		n := copy(o.items, o.items[o.first:])
		clear(o.items[n:])
		o.items, o.first = o.items[:n], 0
	}
	it.before = len(o.Buf) - max(o.marked, o.taken)
	o.marked = len(o.Buf)
	o.items = append(o.items, it)
}

// next returns the first item and how many bytes stand before it; nil and all
// bytes when there is no item.
func (o *Out) next() (before int, it *item) {
	if o.first == len(o.items) {
		return len(o.Buf) - o.taken, nil
	}
	it = &o.items[o.first]
	return it.before, it
}

// pop removes the first item, before which no bytes are left.
func (o *Out) pop() {
	o.bytes -= o.items[o.first].body.Len
	o.items[o.first] = item{}
	o.first++
	o.held = false
	if o.first == len(o.items) {
		// 16: an idle connection keeps less than 2 KiB of them.
		if cap(o.items) > 16 {
			o.items = nil
		}
		o.items, o.first = o.items[:0], 0
	}
}

// advance moves the front of the bytes, n of them, on.
func (o *Out) advance(n int) {
	o.taken += n
	if o.first < len(o.items) {
		o.items[o.first].before -= n
	}
	if o.taken == len(o.Buf) {
		o.releaseBuf()
	}
}

// prepare makes o ready for a call of the session, which may put about
// maxBytes and maxItems before Room says stop.
func (o *Out) prepare(maxBytes int64, maxItems int) {
	o.maxBytes, o.maxItems = maxBytes, maxItems
	if o.block == nil {
		o.block = blocks.Get().(*block)
		o.Buf = o.block.p[:0]
		return
	}
	// Bytes that moved on, ahead of others that wait, are dropped when they
	// are the larger part, so that each byte is moved once on average.
	if o.taken > blockBytes && o.taken > len(o.Buf)/2 {
		o.Buf = o.Buf[:copy(o.Buf, o.Buf[o.taken:])]
		o.marked = max(0, o.marked-o.taken)
		o.taken = 0
	}
}

// settle ends a call of the session. Its streams were taken out before.
func (o *Out) settle() {
	if len(o.Buf) == o.taken {
		o.releaseBuf()
	}
}

// releaseBuf gives the memory of Buf, of which every byte has moved on, back.
func (o *Out) releaseBuf() {
	if o.block != nil {
		o.block.release(o.Buf)
	}
	o.Buf, o.block, o.taken, o.marked = nil, nil, 0, 0
}

// clear closes the Ranges, cancels the Deferreds and forgets the bytes.
func (o *Out) clear(cancel func(Deferred)) {
	for o.first < len(o.items) {
		it := &o.items[o.first]
		switch it.kind {
		case itemRange:
			it.body.Close()
		case itemDeferred:
			cancel(it.deferred)
		}
		o.pop()
	}
	o.releaseBuf()
}

const (
	blockBytes    = 4 << 10   // a block at first
	maxBlockBytes = 256 << 10 // above, the memory of an answer is left to the garbage collector
)

// block is memory for the bytes of answers, held only while there are some.
type block struct{ p []byte }

// blocks are those in nobody's hands.
var blocks = sync.Pool{New: func() any { return &block{p: make([]byte, 0, blockBytes)} }}

// release gives b back, with p as the memory that it has become.
func (b *block) release(p []byte) {
	if cap(p) > maxBlockBytes {
		return
	}
	b.p = p[:0]
	blocks.Put(b)
}
