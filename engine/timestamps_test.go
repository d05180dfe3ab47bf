package engine

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/rollway/rollway/engine/record"
)

// With LogAppendTime each batch has the broker's time, says so by its attribute
// bit, and has a right crc; the answer tells the time; it never goes back, also
// if the clock does.
func TestLogAppendTime(t *testing.T) {
	clock := newFakeClock()
	e := openEngine(t, t.TempDir(), clock.use)
	p := createTopic(t, e, "t", "message.timestamp.type", "LogAppendTime")
	highest := int64(0)
	for i, step := range []int64{0, 5, -3600_000, 1, 0, 7200_000} {
		highest = max(highest, clock.ms.Add(step))
		r := produce(t, p, batchOf(t, int64(i), "a", "b"))
		b := record.Batch(r.Batches)
		if r.LogAppendTime != highest || b.MaxTimestamp() != highest || !b.Attributes().LogAppendTime() {
			t.Errorf("append %d: answered %d, batch has %d, attributes %b, want %d", i, r.LogAppendTime, b.MaxTimestamp(), b.Attributes(), highest)
		}
		if err := b.Verify(); err != nil {
			t.Errorf("append %d: %v", i, err)
		}
		if near, err := p.TimestampNear(r.NextOffset - 1); near != highest || err != nil {
			t.Errorf("append %d: timestamp near its end %d, %v, want %d", i, near, err, highest)
		}
		found, err := p.OffsetByTime(highest)
		if err != nil || found.Timestamp != highest || found.Offset > r.BaseOffset {
			t.Errorf("append %d: offset by its time %+v, %v", i, found, err)
		}
	}
	plain := createTopic(t, e, "plain")
	if r := produce(t, plain, batchOf(t, 5, "a")); r.LogAppendTime != noTimestamp || record.Batch(r.Batches).MaxTimestamp() != 5 {
		t.Errorf("with CreateTime: answered %d, batch has %d", r.LogAppendTime, record.Batch(r.Batches).MaxTimestamp())
	}
}

// timed is a record as ListOffsets looks at it.
type timed struct {
	offset    Offset
	timestamp int64
}

// firstSinceModel is OffsetByTime over a plain slice.
func firstSinceModel(records []timed, timestamp int64) timed {
	for _, r := range records {
		if r.timestamp >= timestamp {
			return r
		}
	}
	return timed{-1, noTimestamp}
}

// ListOffsets by time and of the newest record is exact to the record: across
// segments, inside batches and compressed ones, with equal timestamps and such
// that go back, before all and after all; and the same after a restart of
// either kind.
func TestListOffsetsAgreesWithModel(t *testing.T) {
	for seed := range uint64(4) {
		random := rand.New(rand.NewPCG(seed, 1))
		e := openEngine(t, t.TempDir())
		p := createTopic(t, e, "t", "index.interval.bytes", fmt.Sprint([]int{0, 150, 700, 4096}[seed]))
		tune(p, segmentBytes(2500))
		var records []timed
		var near []int64 // of each record, the timestamp of the first in its batch
		now := int64(1000)
		for range 150 {
			first := len(records)
			var b record.Builder
			b.Reset(record.BuilderOptions{Codec: record.Codec(random.IntN(5))})
			for range 1 + random.IntN(5) {
				now = max(0, now+int64(random.IntN(30))-9)
				if err := b.Append(now, nil, []byte("value")); err != nil {
					t.Fatal(err)
				}
				records = append(records, timed{Offset(len(records)), now})
				near = append(near, records[first].timestamp)
			}
			batch, err := b.Build(nil)
			if err != nil {
				t.Fatal(err)
			}
			produce(t, p, batch)
		}
		newest := timed{-1, noTimestamp}
		for _, r := range records {
			if r.timestamp > newest.timestamp {
				newest = r
			}
		}
		check := func(p *Partition) {
			t.Helper()
			for ts := int64(-1); ts < newest.timestamp+3; ts += 1 + int64(random.IntN(40)) {
				want := firstSinceModel(records, ts)
				got, err := p.OffsetByTime(ts)
				if got.Offset != want.offset || got.Timestamp != want.timestamp || err != nil {
					t.Fatalf("seed %d: offset by time %d is %+v, %v, want %+v", seed, ts, got, err, want)
				}
			}
			for _, ts := range []int64{math.MinInt64, math.MinInt64 + 1, math.MaxInt64} {
				want := firstSinceModel(records, ts)
				if got, err := p.OffsetByTime(ts); got.Offset != want.offset || err != nil {
					t.Errorf("seed %d: offset by time %d is %+v, %v, want %+v", seed, ts, got, err, want)
				}
			}
			if got, err := p.OffsetOfMaxTimestamp(); got.Offset != newest.offset || got.Timestamp != newest.timestamp || err != nil {
				t.Errorf("seed %d: newest record %+v, %v, want %+v", seed, got, err, newest)
			}
			for off, want := range near {
				if got, err := p.TimestampNear(Offset(off)); got != want || err != nil {
					t.Fatalf("seed %d: timestamp near %d is %d, %v, want %d", seed, off, got, err, want)
				}
			}
			if got, err := p.TimestampNear(Offset(len(near))); got != noTimestamp || err != nil {
				t.Errorf("timestamp at the high watermark %d, %v, want none", got, err)
			}
			if _, err := p.TimestampNear(Offset(len(near)) + 1); !errors.Is(err, ErrOffsetOutOfRange) {
				t.Errorf("timestamp beyond the end: %v", err)
			}
			if got, err := p.Earliest(); got.Offset != 0 || err != nil {
				t.Errorf("earliest %+v, %v", got, err)
			}
			if got, err := p.Latest(); got.Offset != Offset(len(records)) || err != nil {
				t.Errorf("latest %+v, %v, want %d", got, err, len(records))
			}
		}
		if n := len(p.log.list()); n < 4 {
			t.Fatalf("%d segments, want several", n)
		}
		check(p)
		e = reopen(t, e)
		check(partition(t, e, "t"))
		e = recrash(t, e)
		check(partition(t, e, "t"))
	}
}

// An empty log has no record for any time, and starts and ends at 0.
func TestListOffsetsOfEmptyLog(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	byTime, err1 := p.OffsetByTime(0)
	newest, err2 := p.OffsetOfMaxTimestamp()
	if byTime != noOffset || newest != noOffset || err1 != nil || err2 != nil {
		t.Errorf("by time %+v, %v, newest %+v, %v", byTime, err1, newest, err2)
	}
	for _, f := range []func() (FoundOffset, error){p.Earliest, p.Latest} {
		if found, err := f(); found.Offset != 0 || err != nil {
			t.Errorf("%+v, %v, want 0", found, err)
		}
	}
}

// Records without timestamps are found by no time, but for one that every record
// has.
func TestListOffsetsWithoutTimestamps(t *testing.T) {
	e := openEngine(t, t.TempDir())
	p := createTopic(t, e, "t")
	tune(p, segmentBytes(300))
	for range 20 {
		produce(t, p, batchOf(t, noTimestamp, "x"))
	}
	for range 2 {
		if found, err := p.OffsetByTime(0); found.Offset != -1 || err != nil {
			t.Errorf("by time 0: %+v, %v", found, err)
		}
		if found, err := p.OffsetOfMaxTimestamp(); found.Offset != -1 || err != nil {
			t.Errorf("newest: %+v, %v", found, err)
		}
		if near, err := p.TimestampNear(7); near != noTimestamp || err != nil {
			t.Errorf("near 7: %d, %v", near, err)
		}
		e = reopen(t, e)
		p = partition(t, e, "t")
	}
}

// Only visible records count: while others wait for their sync, the answers are
// those of before.
func TestListOffsetsOfVisibleRecords(t *testing.T) {
	fs := traceDir(t, t.TempDir())
	e := openEngine(t, "", onFS(fs))
	p := createTopic(t, e, "t", "index.interval.bytes", "100")
	tune(p, segmentBytes(700))
	for i := range 30 {
		produce(t, p, batchOf(t, int64(1000+i%13), "x"))
		before, err := p.OffsetOfMaxTimestamp()
		if err != nil {
			t.Fatal(err)
		}
		release, held := make(chan struct{}), make(chan struct{}, 1)
		fs.hook(func(c call) error {
			if c.isLog("datasync") {
				held <- struct{}{}
				<-release
			}
			return nil
		})
		r := &AppendRequest{Batches: batchOf(t, int64(5000+i), "y")}
		p.Append(r)
		<-held
		if found, err := p.OffsetByTime(5000 + int64(i)); found.Offset != -1 || err != nil {
			t.Fatalf("append %d: by time %+v, %v, want none", i, found, err)
		}
		if found, err := p.OffsetOfMaxTimestamp(); found != before || err != nil {
			t.Fatalf("append %d: newest %+v, %v, want %+v", i, found, err, before)
		}
		fs.hook(nil)
		close(release)
		await(t, p, "commit", func(o Offsets) bool { return o.HighWatermark == r.NextOffset })
		if found, err := p.OffsetByTime(5000 + int64(i)); found.Offset != r.BaseOffset || err != nil {
			t.Fatalf("append %d: by time %+v, %v, want %d", i, found, err, r.BaseOffset)
		}
	}
}
