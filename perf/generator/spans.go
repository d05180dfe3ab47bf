package generator

import "slices"

// span is sequences from from to to, exclusive.
type span struct {
	from, to int64
	// before and after are the offsets of what was received around a gap, -1 where
	// there is nothing.
	before, after int64
}

// maxSpans bounds what spans holds: more are only counted.
const maxSpans = 10_000

// spans are sequences that are missing, in order.
type spans struct {
	list  []span
	count int64 // sequences, also those that there was no room to list
}

// add appends a span behind all others.
func (s *spans) add(p span) {
	s.count += p.to - p.from
	if n := len(s.list); n > 0 && s.list[n-1].to == p.from && p.after < 0 {
		s.list[n-1].to = p.to
		return
	}
	if len(s.list) < maxSpans {
		s.list = append(s.list, p)
	}
}

// remove takes one sequence out, and tells whether it was in.
func (s *spans) remove(sequence int64) bool {
	i, _ := slices.BinarySearchFunc(s.list, sequence, func(p span, sequence int64) int {
		if p.to <= sequence {
			return -1
		}
		return 1
	})
	if i == len(s.list) || sequence < s.list[i].from {
		return false
	}
	s.count--
	p := s.list[i]
	left, right := p, p
	left.to, right.from = sequence, sequence+1
	var rest []span
	for _, part := range []span{left, right} {
		if part.from < part.to {
			rest = append(rest, part)
		}
	}
	s.list = slices.Replace(s.list, i, i+1, rest...)
	return true
}

// without returns the spans of s, less the sequences of other.
func (s *spans) without(other *spans) []span {
	var out []span
	for _, p := range s.list {
		for _, q := range other.list {
			if q.to <= p.from || q.from >= p.to {
				continue
			}
			if p.from < q.from {
				head := p
				head.to = q.from
				out = append(out, head)
			}
			p.from = q.to
			if p.from >= p.to {
				break
			}
		}
		if p.from < p.to {
			out = append(out, p)
		}
	}
	return out
}
