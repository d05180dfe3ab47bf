package engine

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/rollway/rollway/engine/record"
)

// examine checks every batch of the segment below limit and puts what is damaged
// into quarantine, so that the rest can be found again. It reads all of that: for
// a segment in which somebody met damage.
func (s *Segment) examine(limit mark, why error) error {
	s.log.warn("segment is examined for damage", "path", s.name, "reason", why)
	found, err := s.findDamage(limit)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return s.damage(-1, -1, fmt.Errorf("%w, although every batch is valid", why))
	}
	return s.log.addDamage(found)
}

// findDamage checks every batch of the segment below limit and returns what is
// damaged. err is a failed read.
func (s *Segment) findDamage(limit mark) (found []DamagedRange, err error) {
	check, err := s.checkFrom(checkpoint{next: s.base}, limit.position)
	if err != nil {
		return nil, err
	}
	defer check.close()
	for {
		b, err := check.batch()
		if check.fault != nil {
			return nil, check.fault
		}
		if err != nil {
			r, err := check.resync(limit.offset)
			if err != nil {
				return nil, err
			}
			r.Segment = s.base
			found = append(found, r)
			continue
		}
		if b == nil {
			break
		}
	}
	if check.next < limit.offset {
		found = append(found, DamagedRange{Segment: s.base, From: check.next, To: limit.offset, Start: limit.position, End: limit.position})
	}
	return found, nil
}

// damageOf returns err if it says that the .log file is damaged.
func (s *Segment) damageOf(err error) *CorruptionError {
	var damage *CorruptionError
	if errors.As(err, &damage) && damage.Path == s.name {
		return damage
	}
	return nil
}

// resync moves the check from a bad batch to the next one that is valid and
// stands below end, and returns what lies between. Where there is none, the rest
// of the file is damaged: To is end then.
//
// A valid batch is one whose crc is right and whose offsets lie behind the bad
// one. It is looked for first where the bad batch's header says that this ends:
// a record may hold a batch as its value. Elsewhere it must also have the offset
// that the bad header leads to, or end the file, or be followed by a header that
// goes on with its offsets.
func (c *batchCheck) resync(end Offset) (DamagedRange, error) {
	from := c.checkpoint
	damage := DamagedRange{From: from.next, To: end, Start: from.position, End: c.size}
	expect, err := c.behindBad()
	if err != nil {
		return damage, err
	}
	found, err := c.ledTo(expect, from, end)
	if err == nil && found == nowhere {
		found, err = c.search(from, end, expect)
	}
	if err != nil {
		return damage, err
	}
	if found != nowhere {
		damage.To, damage.End = found.next, found.position
	}
	c.seek(damage.End)
	c.next = damage.To
	return damage, nil
}

// nowhere is a place that there is not.
var nowhere = checkpoint{position: -1, next: -1}

// ledTo returns the batch at expect, where the header of the bad one at from leads. If
// that has another offset than it leads to, is it the length that is damaged, and
// leads over whole batches? Then the first of these. nowhere if there is no valid
// batch at expect.
func (c *batchCheck) ledTo(expect, from checkpoint, end Offset) (checkpoint, error) {
	if expect.position <= from.position || expect.position+record.HeaderSize > c.size {
		return nowhere, nil
	}
	c.seek(expect.position)
	base, _, err := c.candidate(from.next, end, expect)
	if err != nil || base < 0 {
		return nowhere, err
	}
	there := checkpoint{position: expect.position, next: base}
	if base == expect.next {
		return there, nil
	}
	inner, err := c.filling(from, there)
	if err != nil || inner != nowhere {
		return inner, err
	}
	return there, nil
}

// searchBudget is how many times the bytes behind damage may be looked at, so that
// made-up ones cannot keep a search busy for long.
const searchBudget = 64

// search returns the first batch behind from that is valid; nowhere if there is none.
func (c *batchCheck) search(from checkpoint, end Offset, expect checkpoint) (checkpoint, error) {
	budget := searchBudget * int64(c.size-from.position)
	for at := from.position + 1; budget >= 0; at++ {
		var err error
		if at, err = c.seekHeader(at, c.size); err != nil || at < 0 {
			return nowhere, err
		}
		base, bytes, err := c.candidate(from.next, end, expect)
		if err != nil {
			return nowhere, err
		}
		if base >= 0 {
			return checkpoint{position: at, next: base}, nil
		}
		budget -= bytes
	}
	return nowhere, nil
}

// filling returns the first place behind from at which batch after batch leads
// exactly to another, by position and by offset; nowhere if there is none. What a
// record holds does not, since its headers follow it.
func (c *batchCheck) filling(from, to checkpoint) (checkpoint, error) {
	budget := searchBudget * int64(to.position-from.position)
	for at := from.position + 1; budget > 0; at++ {
		var err error
		if at, err = c.seekHeader(at, to.position); err != nil || at < 0 {
			return nowhere, err
		}
		base, bytes, err := c.chain(at, to)
		if err != nil {
			return nowhere, err
		}
		if base > from.next {
			return checkpoint{position: at, next: base}, nil
		}
		budget -= bytes
	}
	return nowhere, nil
}

// chain returns the base offset of the batch at a position if batch after batch leads
// from there exactly to another, else -1; bytes is how much was looked at. err is a
// failed read.
func (c *batchCheck) chain(at Position, to checkpoint) (base Offset, bytes int64, err error) {
	base = -1
	for end := (checkpoint{position: at, next: -1}); end.position < to.position; {
		c.seek(end.position)
		b, err := c.whole()
		if err != nil {
			return -1, bytes, err
		}
		bytes += int64(max(len(b), record.HeaderSize))
		if b == nil || end.next >= 0 && b.BaseOffset() != end.next {
			return -1, bytes, nil
		}
		if base < 0 {
			base = b.BaseOffset()
		}
		end.position, end.next = end.position+Position(len(b)), b.NextOffset()
		if end.position >= to.position && end != to {
			return -1, bytes, nil
		}
	}
	return base, bytes, nil
}

// whole returns the batch at the position of the check if its bytes are right, else
// nil. err is a failed read.
func (c *batchCheck) whole() (record.Batch, error) {
	if int64(c.size-c.position) < record.HeaderSize {
		return nil, nil
	}
	head, err := c.fill(record.HeaderSize)
	if err != nil {
		return nil, err
	}
	size, err := record.PeekSize(head)
	if err != nil || size > int64(c.size-c.position) {
		return nil, nil
	}
	p, err := c.fill(int(size))
	if err != nil {
		return nil, err
	}
	if b := record.Batch(p[:size]); b.Verify() == nil {
		return b, nil
	}
	return nil, nil
}

// behindBad is where the header of the bad batch says that the next one stands;
// one of the two may be what is wrong with it.
func (c *batchCheck) behindBad() (checkpoint, error) {
	if int64(c.size-c.position) < record.HeaderSize {
		return nowhere, nil
	}
	head, err := c.fill(record.HeaderSize)
	if err != nil {
		return nowhere, err
	}
	bad := record.Batch(head)
	expect := checkpoint{position: c.position + Position(bad.Size()), next: -1}
	if delta := bad.LastOffsetDelta(); delta >= 0 {
		expect.next = c.next + Offset(delta) + 1
	}
	return expect, nil
}

// seekHeader moves the check to the first place from at on where a batch header could
// begin by its magic, and end by limit, and returns it; -1 if there is none.
func (c *batchCheck) seekHeader(at, limit Position) (Position, error) {
	for at+record.HeaderSize <= limit {
		c.seek(at)
		window, err := c.fill(record.HeaderSize)
		if err != nil {
			return -1, err
		}
		skip := nextMagic(window)
		if skip < 0 {
			at += Position(len(window) - record.HeaderSize + 1)
			continue
		}
		at += Position(skip)
		c.seek(at)
		if at+record.HeaderSize <= limit {
			return at, nil
		}
	}
	return -1, nil
}

// nextMagic returns the first place in window where a batch header could begin
// by its magic; -1 if there is none.
func nextMagic(window []byte) int {
	const atMagic = 16
	return bytes.IndexByte(window[atMagic:len(window)-record.HeaderSize+atMagic+1], record.Magic)
}

// candidate returns the base offset of the batch at the position of the check if
// it is valid, else -1; bytes is how much was looked at. err is a failed read.
func (c *batchCheck) candidate(after, end Offset, expect checkpoint) (base Offset, bytes int64, err error) {
	head, err := c.fill(record.HeaderSize)
	if err != nil {
		return -1, 0, err
	}
	size, err := record.PeekSize(head)
	if err != nil || size > int64(c.size-c.position) {
		return -1, 0, nil
	}
	h := record.Batch(head)
	base, next := h.BaseOffset(), h.NextOffset()
	if base <= after || base >= end || next <= base || next > end {
		return -1, 0, nil
	}
	whole, err := c.fill(int(size))
	if err != nil {
		return -1, 0, err
	}
	if record.Batch(whole[:size]).Verify() != nil {
		return -1, size, nil
	}
	rest := int64(c.size-c.position) - size
	if rest < record.HeaderSize || c.position == expect.position || base == expect.next {
		return base, size, nil
	}
	follow, err := c.fill(int(size) + record.HeaderSize)
	if err != nil {
		return -1, size, err
	}
	f := record.Batch(follow[size : size+record.HeaderSize])
	if _, err := record.PeekSize(f); err != nil || f.BaseOffset() != next {
		return -1, size, nil
	}
	return base, size, nil
}

// seek moves the check to a position; what was read from there on is kept.
func (c *batchCheck) seek(to Position) {
	if ahead := int64(to - c.position); ahead >= 0 && ahead <= int64(len(c.valid)) {
		c.valid = c.valid[ahead:]
	} else {
		c.valid = nil
	}
	c.position = to
}
