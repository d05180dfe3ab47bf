package client

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// fetched returns what a Fetch from offset makes of a Data with these batches.
func fetched(t *testing.T, q FetchRequest, body []byte) (*FetchResult, error) {
	t.Helper()
	c := serve(t, func(s *fake) {
		f := s.expect(wire.KindFetch)
		s.data(f.RequestID, q.Partition, body)
		s.end()
	})
	q.Topic = "orders"
	r, err := c.Fetch(t.Context(), q)
	if err == nil {
		t.Cleanup(r.Release)
	}
	if c.Err() != nil {
		t.Errorf("the connection is broken: %v", c.Err())
	}
	return r, err
}

// Batches are verified, those cut at the end and records below the offset are left out.
func TestFetch(t *testing.T) {
	log := append(batch(t, record.CodecNone, 40, "a", "b", "c"), batch(t, record.CodecZstd, 43, "d")...)
	log = append(log, batch(t, record.CodecLZ4, 44, "e", "f")...)
	third := len(log) - len(batch(t, record.CodecLZ4, 44, "e", "f"))

	f := func(offset int64, body []byte, next int64, want ...string) {
		t.Helper()
		r, err := fetched(t, FetchRequest{Offset: offset}, body)
		if err != nil {
			t.Fatal(err)
		}
		if got := values(t, &r.Batches); !reflect.DeepEqual(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		if int64(r.Next()) != next || r.Skipped != 0 {
			t.Errorf("next %d, skipped %d, want %d, 0", r.Next(), r.Skipped, next)
		}
	}
	f(40, log, 46, "40:a", "41:b", "42:c", "43:d", "44:e", "45:f")
	f(42, log, 46, "42:c", "43:d", "44:e", "45:f")
	f(40, log[:len(log)-1], 44, "40:a", "41:b", "42:c", "43:d")
	f(40, log[:third+3], 44, "40:a", "41:b", "42:c", "43:d")
	f(40, nil, 40)
	f(1000, nil, 1000)
}

// What is no log is a *CorruptError, behind what is good.
func TestFetchCorrupt(t *testing.T) {
	good := batch(t, record.CodecNone, 40, "a", "b", "c")
	f := func(name string, offset int64, body []byte, want string) {
		t.Helper()
		_, err := fetched(t, FetchRequest{Offset: offset}, body)
		var corrupt *CorruptError
		if !errors.As(err, &corrupt) || corrupt.Topic != "orders" || corrupt.Offset != offset {
			t.Fatalf("%s: %v, want a *CorruptError at %d", name, err, offset)
		}
		wantError(t, err, want)
	}
	f("crc", 40, damaged(good, len(good)-1), "crc")
	f("magic", 40, damaged(good, 16), "magic 3")
	f("length", 40, withLength(good, 7), "batchLength 7")
	f("cut", 40, good[:len(good)-1], "first batch cut after")
	f("before", 43, good, "offsets 40..42, want 43 or later")

	twice := append(append([]byte(nil), good...), good...)
	r, err := fetched(t, FetchRequest{Offset: 40}, twice)
	if err != nil || len(values(t, &r.Batches)) != 3 || r.Next() != 43 {
		t.Errorf("%v, want the good batch", err)
	}
}

// Offsets that no batch has are counted; the batches are taken.
func TestFetchGap(t *testing.T) {
	body := append(batch(t, record.CodecNone, 12, "a"), batch(t, record.CodecNone, 20, "b")...)
	r, err := fetched(t, FetchRequest{Offset: 10}, body)
	if err != nil || r.Skipped != 2+7 || r.Next() != 21 {
		t.Errorf("skipped %d, next %d, %v, want 9, 21", r.Skipped, r.Next(), err)
	}
}

// A first batch may be longer than what was asked for, and is received whole.
func TestFetchLongBatch(t *testing.T) {
	value := strings.Repeat("x", 3<<20)
	r, err := fetched(t, FetchRequest{MaxBytes: 100}, batch(t, record.CodecNone, 0, value))
	if err != nil {
		t.Fatal(err)
	}
	if got := values(t, &r.Batches); len(got) != 1 || got[0] != "0:"+value {
		t.Errorf("%d records", len(got))
	}
}

// Control batches are no data, and a batch that inflates beyond the limit ends the iteration.
func TestRecords(t *testing.T) {
	control := batch(t, record.CodecNone, 0, "commit")
	var b record.Builder
	b.Reset(record.BuilderOptions{Control: true})
	if err := b.Append(0, []byte{0, 0, 0, 1}, []byte("commit")); err != nil {
		t.Fatal(err)
	}
	control, err := b.Build(control[:0])
	if err != nil {
		t.Fatal(err)
	}
	body := append(control, batch(t, record.CodecZstd, 1, strings.Repeat("x", 10_000))...)
	body = append(body, batch(t, record.CodecNone, 2, "last")...)

	r, err := fetched(t, FetchRequest{}, body)
	if err != nil {
		t.Fatal(err)
	}
	if got := values(t, &r.Batches); len(got) != 2 || got[1] != "2:last" {
		t.Errorf("%v", got)
	}
	for range r.Records() {
		break // leaving early is allowed
	}

	r, err = fetched(t, FetchRequest{MaxRecords: 5000}, body)
	if err != nil {
		t.Fatal(err)
	}
	var got error
	for _, err := range r.Records() {
		got = err
	}
	if !errors.Is(got, record.ErrTooLarge) {
		t.Errorf("%v, want ErrTooLarge", got)
	}

	// A crc can be right over records that are none.
	bad := damaged(batch(t, record.CodecNone, 0, "a"), record.HeaderSize)
	record.Batch(bad).SetLogAppendTime(5)
	r, err = fetched(t, FetchRequest{}, bad)
	if err != nil {
		t.Fatal(err)
	}
	got = nil
	for _, err := range r.Records() {
		got = err
	}
	if !errors.Is(got, record.ErrInvalid) {
		t.Errorf("%v, want ErrInvalid", got)
	}
}

// The request carries what was asked for, cut to what can be.
func TestFetchRequest(t *testing.T) {
	f := func(q FetchRequest, want wire.Fetch) {
		t.Helper()
		c := serve(t, func(s *fake) {
			f := s.expect(wire.KindFetch)
			m, err := wire.ParseFetch(f)
			if err != nil || !reflect.DeepEqual(m, want) {
				s.fail("%+v, %v, want %+v", m, err, want)
			}
			s.send(wire.Errorf(wire.CodeOffsetOutOfRange, "x"), f.RequestID)
			s.end()
		})
		_, err := c.Fetch(t.Context(), q)
		wantCode(t, err, wire.CodeOffsetOutOfRange)
	}
	const most = wire.DefaultMaxFrame - wire.FrameOverhead
	f(FetchRequest{Topic: "t"}, wire.Fetch{Topic: []byte("t"), MaxBytes: 1 << 20})
	f(FetchRequest{Topic: "t", Partition: 2, Offset: 5, MinBytes: 1, MaxBytes: 10, MaxWait: time.Second},
		wire.Fetch{Topic: []byte("t"), Partition: 2, Offset: 5, MinBytes: 1, MaxBytes: 10, MaxWaitMs: 1000})
	f(FetchRequest{Topic: "t", MinBytes: 1 << 30, MaxBytes: 1 << 30}, wire.Fetch{Topic: []byte("t"), MinBytes: most, MaxBytes: most})
}
