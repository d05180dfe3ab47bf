package server

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/wire"
)

// skipDamage lets readers past damage, or tells what there is: as a task, for a
// segment may have to be read and a file synced.
func (s *session) skipDamage(f wire.Frame, out *netloop.Out) error {
	m, err := wire.ParseSkipDamage(f)
	if err != nil {
		return err
	}
	p, err := s.engine.Partition(m.Topic, m.Partition)
	if err != nil {
		return err
	}
	off, dryRun, id := engine.Offset(m.Offset), m.DryRun, f.RequestID // m points into the frame
	s.run(f, out, func(dst []byte) ([]byte, error) {
		meant, err := p.DamageAt(off)
		if err != nil {
			return nil, err
		}
		// Nothing is changed that could not be told.
		if most := (s.maxFrame - 4) / wire.DamagedRangeSize; len(meant) > most {
			return nil, fmt.Errorf("%w: %s has %d damaged ranges, an answer holds at most %d; name one by its offset", errTooLarge, p, len(meant), most)
		}
		if !dryRun {
			if meant, err = skip(p, off, meant); err != nil {
				return nil, err
			}
		}
		return appendDamage(dst, meant, id), nil
	})
	return nil
}

// skip lets readers past the damage at off, or all of it, and returns what they
// are let past there, each as it was before. before is what was known at first.
func skip(p *engine.Partition, off engine.Offset, before []engine.DamagedRange) ([]engine.DamagedRange, error) {
	skipped, err := p.SkipDamage(off)
	if err != nil {
		return nil, err
	}
	for i := range skipped {
		skipped[i].Skipped = false
	}
	for _, r := range before {
		if r.Skipped {
			skipped = append(skipped, r)
		}
	}
	slices.SortFunc(skipped, func(a, b engine.DamagedRange) int { return cmp.Compare(a.From, b.From) })
	return skipped, nil
}

// appendDamage appends a DamageSkipped.
func appendDamage(dst []byte, ranges []engine.DamagedRange, id uint32) []byte {
	m := wire.DamageSkipped{Ranges: make([]wire.DamagedRange, 0, len(ranges))}
	for _, r := range ranges {
		m.Ranges = append(m.Ranges, wire.DamagedRange{From: int64(r.From), To: int64(r.To), Skipped: r.Skipped})
	}
	return m.AppendTo(dst, id)
}
