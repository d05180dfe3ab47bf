package verify

import (
	"fmt"
	"slices"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
)

const journalFile = "rollway-journal"

// journal is what the commit journal of a directory that no server has open tells
// of its partitions. The zero value knows nothing.
type journal struct {
	partitions map[journalKey]*journaled
}

// journalKey is a topic's id, a "-" and a partition's number.
type journalKey string

// journaled is what a journal has of one partition.
type journaled struct {
	durable record.Offset // the end of what was acknowledged
	bytes   record.Offset // the end of what the journal holds itself
	pieces  []piece
}

// piece is a range of a segment whose bytes the journal holds.
type piece struct {
	segment    record.Offset
	start, end int64
}

// readJournal reads the journal. Beside a server it is being written, and after a
// clean stop nothing in it counts.
func (c *checker) readJournal(present bool) error {
	c.journal = &journal{partitions: map[journalKey]*journaled{}}
	if !present || c.live {
		return nil
	}
	return c.contents(journalFile, func(item dump.Item) {
		if r, ok := item.(dump.JournalRecord); ok {
			for _, e := range r.Entries {
				c.journal.add(e)
			}
		}
	})
}

func (j *journal) add(e dump.JournalEntry) {
	key := journalKey(fmt.Sprintf("%s-%d", e.TopicID, e.Partition))
	p := j.partitions[key]
	if p == nil {
		p = &journaled{}
		j.partitions[key] = p
	}
	p.durable = max(p.durable, e.Next)
	if e.Bytes == 0 {
		return
	}
	p.bytes = max(p.bytes, e.Next)
	// One commit goes on where the one before it ended, as a rule.
	if n := len(p.pieces); n > 0 && p.pieces[n-1].segment == e.Segment && p.pieces[n-1].end == e.Position {
		p.pieces[n-1].end += e.Bytes
		return
	}
	p.pieces = append(p.pieces, piece{e.Segment, e.Position, e.Position + e.Bytes})
}

// of returns what is known of the partition in a directory; nil if nothing is.
func (j *journal) of(topicID, dir string) *journaled {
	_, index, ok := splitPartitionDir(dir)
	if j == nil || !ok {
		return nil
	}
	return j.partitions[journalKey(fmt.Sprintf("%s-%d", topicID, index))]
}

// durable is the end of what was acknowledged of a partition; 0 if not known.
func (j *journal) durable(topicID, dir string) record.Offset {
	if p := j.of(topicID, dir); p != nil {
		return p.durable
	}
	return 0
}

// hasNext tells whether the journal holds the bytes in front of an offset, so that
// the next start writes what is missing of them.
func (j *journal) hasNext(topicID, dir string, end record.Offset) bool {
	p := j.of(topicID, dir)
	return p != nil && p.bytes >= end
}

// holds tells whether the journal has the bytes of a segment at a position.
func (j *journal) holds(topicID, dir string, segment record.Offset, position int64) bool {
	p := j.of(topicID, dir)
	return p != nil && slices.ContainsFunc(p.pieces, func(i piece) bool {
		return i.segment == segment && i.start <= position && position < i.end
	})
}
