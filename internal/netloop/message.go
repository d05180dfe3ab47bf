package netloop

import (
	"github.com/rollway/rollway/zerocopy"
)

// message is what leaves next: bytes, then perhaps a Range.
type message struct {
	head  []byte         // not yet sent
	body  zerocopy.Range // what is not yet sent; File is nil when there is none
	block *block         // whose memory head is; nil when there is none
	start []byte         // head before any of it was sent
}

// empty tells whether nothing is left to send.
func (m *message) empty() bool { return len(m.head) == 0 && m.body.File == nil }

// size returns how many bytes are left to send.
func (m *message) size() int64 { return int64(len(m.head)) + m.body.Len }

// takeBytes moves n bytes from the front of o behind those of m. All the bytes
// of an o without items change hands without being copied.
func (m *message) takeBytes(o *Out, n int) {
	if len(m.head) == 0 && n == len(o.Buf) && o.block != nil {
		m.release()
		m.block, m.start = o.block, o.Buf
		m.head = m.start
		o.block = nil
		o.advance(n)
		return
	}
	if m.block == nil {
		m.block = blocks.Get().(*block)
		m.start = m.block.p[:0]
	}
	m.start = append(m.start, o.Buf[o.taken:o.taken+n]...)
	m.head = m.start
	o.advance(n)
}

// sent notes that n bytes of m have left.
func (m *message) sent(n int64) {
	head := min(n, int64(len(m.head)))
	m.head = m.head[head:]
	m.body.Position += n - head
	m.body.Len -= n - head
	if m.body.Len == 0 {
		m.body.Close()
	}
	if m.empty() {
		m.release()
	}
}

// release gives back what m holds.
func (m *message) release() {
	m.body.Close()
	m.body.Len = 0
	if m.block != nil {
		m.block.release(m.start)
	}
	m.head, m.start, m.block = nil, nil, nil
}
