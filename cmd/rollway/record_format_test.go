package main

import (
	"testing"

	"github.com/rollway/rollway/engine/record"
)

// Every verb and escape prints what the help says; anything else is refused with its place.
func TestRecordFormat(t *testing.T) {
	var b record.Builder
	add := func(key, value []byte, headers ...record.Header) {
		t.Helper()
		if err := b.Append(1_700_000_000_123, key, value, headers...); err != nil {
			t.Fatal(err)
		}
	}
	b.Reset(record.BuilderOptions{BaseOffset: 41})
	add(nil, nil)
	add([]byte("key"), []byte("value"), record.Header{Key: []byte("host"), Value: []byte("web1")}, record.Header{Key: []byte("null")})
	batch, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	it := record.Batch(batch).Iterate(record.Batch(batch).Records())
	it.Next()
	null := *it.Record()
	it.Next()
	whole := *it.Record()

	f := func(format, wantWhole, wantNull string) {
		t.Helper()
		parsed, err := parseRecordFormat(format)
		if err != nil {
			t.Errorf("%q: %v", format, err)
			return
		}
		if got := string(parsed.append(nil, "orders", 3, &whole)); got != wantWhole {
			t.Errorf("%q: %q, want %q", format, got, wantWhole)
		}
		if got := string(parsed.append(nil, "orders", 3, &null)); got != wantNull {
			t.Errorf("%q of nulls: %q, want %q", format, got, wantNull)
		}
	}
	f("", "", "")
	f(`%v\n`, "value\n", "\n")
	f(`%t %p %o %k %v\n`, "orders 3 42 key value\n", "orders 3 41  \n")
	f(`%T;%K;%S;%s;%h`, "1700000000123;3;5;value;host=web1,null=", "1700000000123;-1;-1;;")
	f(`100%%\t\r\0\\\x41é`, "100%\t\r\x00\\Aé", "100%\t\r\x00\\Aé")

	bad := func(format, want string) {
		t.Helper()
		if _, err := parseRecordFormat(format); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", format, err, want)
		}
	}
	bad("a%", `"%" at byte 1, want % and one of tpoTkKvsSh or %`)
	bad("%z", `"%z" at byte 0, want % and one of tpoTkKvsSh or %`)
	bad(`\q`, `"\\q", want one of \n \r \t \0 \\ \xHH at byte 0`)
	bad(`a\x1`, `"\\x1", want one of \n \r \t \0 \\ \xHH at byte 1`)
	bad(`a\`, `"\\", want one of \n \r \t \0 \\ \xHH at byte 1`)
}

// A position is earliest, latest, an offset or a time.
func TestPosition(t *testing.T) {
	f := func(text string, kind positionKind, n int64) {
		t.Helper()
		var p position
		if err := p.Set(text); err != nil || p.kind != kind || p.n != n || p.String() != text {
			t.Errorf("%s: %+v, %v; want kind %d, %d", text, p, err, kind, n)
		}
	}
	f("earliest", atEarliest, 0)
	f("latest", atLatest, 0)
	f("0", atOffset, 0)
	f("9223372036854775807", atOffset, 1<<63-1)
	f("@0", atTime, 0)
	f("@1700000000123", atTime, 1_700_000_000_123)
	f("@2023-11-14T22:13:20Z", atTime, 1_700_000_000_000)
	f("@2023-11-14T23:13:20.0001+01:00", atTime, 1_700_000_000_001)
	for _, text := range []string{"", "first", "-1", "1.5", "9223372036854775808", "@", "@-1", "@yesterday", "@2023-11-14", "@1960-01-01T00:00:00Z"} {
		var p position
		if err := p.Set(text); err == nil {
			t.Errorf("%q: %+v, want an error", text, p)
		}
	}
}

// Sizes are read with binary units and written with the largest that leaves no fraction.
func TestByteSize(t *testing.T) {
	f := func(text string, want int64, again string) {
		t.Helper()
		var b byteSize
		if err := b.Set(text); err != nil || int64(b) != want || b.String() != again {
			t.Errorf("%s: %d, %s, %v; want %d, %s", text, b, b.String(), err, want, again)
		}
	}
	f("0", 0, "0")
	f("-1", -1, "-1")
	f("1000", 1000, "1000")
	f("1024", 1024, "1KiB")
	f("16MiB", 16<<20, "16MiB")
	f("16 MiB", 16<<20, "16MiB")
	f("3GiB", 3<<30, "3GiB")
	f("2TiB", 2<<40, "2TiB")
	for _, text := range []string{"", "x", "1.5MiB", "1MB", "16m", "9223372036854775807KiB", "KiB"} {
		var b byteSize
		if err := b.Set(text); err == nil {
			t.Errorf("%q: %d, want an error", text, b)
		}
	}
}
