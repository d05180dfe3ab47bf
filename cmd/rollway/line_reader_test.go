package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
)

// Lines come out as they stand in the input, however it arrives; the last one needs no end.
func TestLineReader(t *testing.T) {
	f := func(input string, limit int, want ...string) {
		t.Helper()
		for name, wrap := range map[string]func(io.Reader) io.Reader{
			"whole": func(r io.Reader) io.Reader { return r }, "bytes": iotest.OneByteReader, "data with EOF": iotest.DataErrReader,
		} {
			l := newLineReader(wrap(strings.NewReader(input)), limit)
			var got []string
			var err error
			for {
				var line []byte
				if line, err = l.next(); err != nil {
					break
				}
				if line == nil {
					t.Errorf("%s %.40q: nil line, want it empty", name, input)
				}
				got = append(got, string(line))
			}
			var long longLineError
			if errors.As(err, &long) {
				got = append(got, fmt.Sprintf("line %d has %d", long.line, long.size))
			} else if err != io.EOF {
				t.Errorf("%s %.40q: error %v", name, input, err)
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want) {
				t.Errorf("%s %.40q: %.80q, want %.80q", name, input, got, want)
			}
		}
	}
	f("", 10)
	f("\n", 10, "")
	f("a", 10, "a")
	f("a\n", 10, "a")
	f("a\n\n\nb", 10, "a", "", "", "b")
	f("a\r\nb\r", 10, "a\r", "b\r")
	f("\x00\xff\n", 10, "\x00\xff")
	f("1234567890\n", 10, "1234567890")
	f("1234567890", 10, "1234567890")
	f("a\n12345678901\nb\n", 10, "a", "line 2 has 11")
	f("12345678901", 10, "line 1 has 11")
	f(strings.Repeat("x", 1000)+"\ny", 10, "line 1 has 1000")
	f("\n\n", 0, "", "")
	f("x\n", 0, "line 1 has 1")
	long := strings.Repeat("x", 3*firstLineBuffer)
	f(long+"\nb\n"+long, 1<<20, long, "b", long)
}

// Random text comes out whole whatever the sizes of reads, lines and buffer.
func TestLineReaderRandom(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	var input bytes.Buffer
	for range 2000 {
		input.WriteString(strings.Repeat("z", r.IntN(1+r.IntN(2000))))
		input.WriteByte('\n')
	}
	l := newLineReader(iotest.HalfReader(bytes.NewReader(input.Bytes())), 2000)
	l.buffer = make([]byte, 7)
	var got bytes.Buffer
	for {
		line, err := l.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		got.Write(line)
		got.WriteByte('\n')
	}
	if !bytes.Equal(got.Bytes(), input.Bytes()) {
		t.Errorf("seed %d: %d bytes came out, want the same %d", seed, got.Len(), input.Len())
	}
}

// An error of the reader is not taken for an end, and a reader that gives nothing ends the reading.
func TestLineReaderErrors(t *testing.T) {
	broken := errors.New("broken")
	f := func(r io.Reader, want error) {
		t.Helper()
		l := newLineReader(r, 10)
		var err error
		for err == nil {
			_, err = l.next()
		}
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
	f(io.MultiReader(strings.NewReader("a\nb"), iotest.ErrReader(broken)), broken)
	f(silentReader{}, io.ErrNoProgress)
}

type silentReader struct{}

func (silentReader) Read([]byte) (int, error) { return 0, nil }

// A line costs no allocation.
func TestLineReaderAllocations(t *testing.T) {
	input := strings.Repeat("a line of a log file\n", 50_000)
	allocs := testing.AllocsPerRun(1, func() {
		l := newLineReader(strings.NewReader(input), 1<<20)
		for {
			if _, err := l.next(); err != nil {
				return
			}
		}
	})
	if allocs > 5 {
		t.Errorf("%v allocations for 50,000 lines, want those of the reader only", allocs)
	}
}

func BenchmarkLineReader(b *testing.B) {
	input := strings.Repeat(strings.Repeat("x", 99)+"\n", 100_000)
	b.SetBytes(int64(len(input)))
	b.ReportAllocs()
	for b.Loop() {
		l := newLineReader(strings.NewReader(input), 1<<20)
		for {
			if _, err := l.next(); err != nil {
				break
			}
		}
	}
}
