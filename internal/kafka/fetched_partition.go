package kafka

import (
	"errors"
	"fmt"
	"math"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/zerocopy"
)

// partitionKey names a partition in a fetch session: by name or id of its topic.
type partitionKey struct {
	name  string         // "" from version 13 on
	id    engine.TopicID // from version 13 on
	index int32
}

// fetchedPartition is a partition in a fetch session: what its reader wants, what
// the last look at it has found, and what the client was told of it.
type fetchedPartition struct {
	key       partitionKey
	partition *engine.Partition // nil while it is not known
	wants     wantedPartition
	cursor    engine.Cursor // of a fetch session
	wait      node.HighWatermarkWait

	// What the last look has found.
	code      code
	offsets   engine.Offsets // -1 with an error
	data      zerocopy.Range // ours until it is given to an Out
	atEnd     bool           // nothing visible follows data
	diverging struct {
		epoch int32 // -1 unless what the reader has is not of this log
		end   engine.Offset
	}

	// What the client was told.
	toldHighWatermark, toldLogStart engine.Offset
	gave                            bool // data, in the answer that is being made
}

// maxFetchBytes is how many bytes of batches an answer can carry: its frame's
// length is an int32, and 64 MiB are more than all the heads.
const maxFetchBytes = math.MaxInt32 - 64<<20

// noOffsets are told with an error.
var noOffsets = engine.Offsets{LogStart: -1, LastStable: -1, HighWatermark: -1, LogEnd: -1, Flushed: -1}

// isQuiet tells that nothing has come since the last look, which found nothing.
func (p *fetchedPartition) isQuiet() bool {
	return p.wait.Armed() && p.code == codeNone && p.atEnd && p.data.Len == 0 && !p.diverges()
}

// look finds out what there is for f: at most limit bytes and what the partition
// may have, or, if whole, at least one batch. Under f.reads.mu.
func (p *fetchedPartition) look(f *fetch, limit int64, whole bool) {
	p.drop()
	p.code, p.atEnd = codeNone, true
	p.diverging.epoch = -1
	err := p.resolve(f)
	if err == nil {
		err = checkLeaderEpoch(p.partition, p.wants.leaderEpoch)
	}
	if err == nil {
		err = p.checkDiverged()
	}
	if err == nil && !p.diverges() {
		err = p.cut(f, min(limit, int64(p.wants.maxBytes)), whole)
	}
	if err != nil {
		p.refuse(f.session, err)
	}
}

// resolve finds the partition, also after its topic was made anew.
func (p *fetchedPartition) resolve(f *fetch) error {
	if p.partition != nil {
		if state, _ := p.partition.State(); state != engine.Deleted {
			return nil
		}
	}
	p.wait.Forget()
	p.partition, p.cursor = nil, engine.Cursor{}
	found, err := f.session.partition([]byte(p.key.name), p.key.id, f.ids(), p.key.index)
	p.partition = found
	return err
}

// checkDiverged finds out whether the log still has what the reader has read
// last (KIP-595). For an epoch that is over it waits for an append under way.
func (p *fetchedPartition) checkDiverged() error {
	asked := p.wants.lastFetchedEpoch
	if asked < 0 {
		return nil
	}
	epoch, end, err := endOfEpoch(p.partition, asked)
	switch {
	case err != nil:
		return err
	case epoch < 0:
		return fmt.Errorf("%w: %s knows nothing of epoch %d, which was fetched last", engine.ErrOffsetOutOfRange, p.partition, asked)
	case epoch < asked || end < p.wants.offset:
		p.diverging.epoch, p.diverging.end = epoch, end
		p.offsets = p.partition.Offsets()
	}
	return nil
}

// diverges tells that the reader has what is not of this log.
func (p *fetchedPartition) diverges() bool { return p.diverging.epoch >= 0 }

// cut takes what is visible and fits.
func (p *fetchedPartition) cut(f *fetch, limit int64, whole bool) error {
	if limit <= 0 && !whole {
		// The answer is full. Only what the client knows of the log is told.
		p.atEnd = false
		p.offsets = p.partition.Offsets()
		_, err := p.partition.Latest()
		return err
	}
	cursor := f.cursorOf(p)
	before := *cursor
	slice, err := p.partition.Fetch(engine.FetchRequest{Offset: p.wants.offset, MaxBytes: max(1, limit), Cursor: cursor})
	if err != nil {
		return err
	}
	p.offsets, p.atEnd = slice.Offsets, slice.AtEnd
	if slice.Len <= limit || whole && slice.Len <= maxFetchBytes {
		p.data = slice.Range
		return nil
	}
	*cursor = before
	slice.Close()
	p.atEnd = false
	if whole {
		return fmt.Errorf("%w: the batch at offset %d of %s has %d bytes, an answer carries at most %d",
			engine.ErrMessageTooLarge, p.wants.offset, p.partition, slice.Len, maxFetchBytes)
	}
	return nil // an incomplete first batch would not help anybody
}

// refuse notes why nothing is read. Who asks for an offset that is not there is
// told which ones are.
func (p *fetchedPartition) refuse(s *session, err error) {
	p.code, _ = s.refuse("Fetch", err)
	p.offsets = noOffsets
	if errors.Is(err, engine.ErrOffsetOutOfRange) {
		p.offsets = p.partition.Offsets()
	}
}

// drop gives up the bytes that were cut and not sent.
func (p *fetchedPartition) drop() {
	if p.data.Len > 0 {
		p.data.Close()
		p.data = zerocopy.Range{}
		p.atEnd = false
	}
}

// isNews tells whether the client does not know yet what the last look has found.
func (p *fetchedPartition) isNews() bool {
	return p.data.Len > 0 || p.code != codeNone || p.diverges() ||
		p.offsets.HighWatermark != p.toldHighWatermark || p.offsets.LogStart != p.toldLogStart
}

// told notes what the client was told. After an error it is to be told everything
// again.
func (p *fetchedPartition) told() {
	p.toldHighWatermark, p.toldLogStart = p.offsets.HighWatermark, p.offsets.LogStart
	if p.code != codeNone {
		p.toldHighWatermark = -1
	}
}

// appendHead appends what stands before the batches.
//
//	index                   int32
//	error code              int16
//	high watermark          int64
//	last stable offset      int64
//	log start offset        int64  from version 5 on
//	aborted transactions    array, null: there are none
//	preferred read replica  int32  from version 11 on: -1, this one
//	batches                 bytes
//	tagged fields                  from version 12 on; 0: diverging epoch and its end
func (p *fetchedPartition) appendHead(a *appender, version int16) {
	a.int32(p.key.index)
	a.int16(int16(p.code))
	a.int64(int64(p.offsets.HighWatermark))
	a.int64(int64(p.offsets.LastStable))
	if version >= 5 {
		a.int64(int64(p.offsets.LogStart))
	}
	a.array(-1)
	if version >= 11 {
		a.int32(-1)
	}
	a.length(int(p.data.Len), true)
}

// appendTail appends what stands behind the batches.
func (p *fetchedPartition) appendTail(a *appender) {
	if !a.flexible || !p.diverges() {
		a.noTags()
		return
	}
	a.p = append(a.p, 1, 0, 4+8+1) // one field, 0, of so many bytes
	a.int32(p.diverging.epoch)
	a.int64(int64(p.diverging.end))
	a.noTags()
}
