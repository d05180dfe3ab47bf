package kafka

import (
	"sync"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// maxGroup bounds the Produces of one group, and the appends of one call of the
// engine: 1 MiB of batches of 4 KiB, and well below the 1,024 pieces that one
// pwritev(2) takes (IOV_MAX).
const maxGroup = 256

// produceGroup are Produces that came one behind the other. Their appends to one
// partition are made by one call, in order.
type produceGroup struct {
	produces []*produce
	appends  []groupAppend
	last     map[*engine.Partition]int // index in appends of the last to a partition
	call     []*engine.AppendRequest   // memory of appendAll
}

// groupAppend is one append of a group.
type groupAppend struct {
	partition *engine.Partition
	request   *engine.AppendRequest
	first     bool // of its partition
	next      int  // index of the next to its partition; 0 is none
}

var produceGroups = sync.Pool{New: func() any { return &produceGroup{last: map[*engine.Partition]int{}} }}

// gather puts p behind the Produces that flush will append. Its error ends the
// connection.
func (s *session) gather(p *produce, out *netloop.Out) error {
	if s.group == nil {
		s.group = produceGroups.Get().(*produceGroup)
	}
	g := s.group
	g.produces = append(g.produces, p)
	for i := range p.topics {
		t := &p.topics[i]
		for j := range t.partitions {
			q := &t.partitions[j]
			if err := p.check(t, q); err != nil {
				p.refuse(q, err)
				continue
			}
			g.add(q.partition, &q.request)
		}
	}
	if len(g.produces) >= maxGroup || len(g.appends) >= maxGroup {
		return s.flush(out)
	}
	return nil
}

// add appends to the list of what is to be appended.
func (g *produceGroup) add(p *engine.Partition, r *engine.AppendRequest) {
	n := len(g.appends)
	before, found := g.last[p]
	if found {
		g.appends[before].next = n
	}
	g.last[p] = n
	g.appends = append(g.appends, groupAppend{partition: p, request: r, first: !found})
}

// flush appends what was gathered, and answers it or leaves that to Deferreds.
// Its error ends the connection: a Produce that wants no answer went wrong.
func (s *session) flush(out *netloop.Out) (err error) {
	g := s.group
	if g == nil {
		return nil
	}
	s.group = nil
	g.appendAll()
	for _, p := range g.produces {
		if e := p.settle(out); err == nil {
			err = e
		}
	}
	g.release()
	return err
}

// appendAll appends everything: partition by partition, each in order.
func (g *produceGroup) appendAll() {
	for i := range g.appends {
		a := &g.appends[i]
		if !a.first {
			continue
		}
		g.call = append(g.call[:0], a.request)
		for next := a.next; next != 0; next = g.appends[next].next {
			if len(g.call) == maxGroup {
				a.partition.Append(g.call...)
				g.call = g.call[:0]
			}
			g.call = append(g.call, g.appends[next].request)
		}
		a.partition.Append(g.call...)
	}
}

// release gives the memory of g back.
func (g *produceGroup) release() {
	if cap(g.appends) > maxPooledPartitions {
		return
	}
	clear(g.produces)
	clear(g.appends)
	clear(g.last)
	clear(g.call)
	g.produces, g.appends, g.call = g.produces[:0], g.appends[:0], g.call[:0]
	produceGroups.Put(g)
}
