package golden

import (
	"bytes"
	"fmt"
)

// Field names Len consecutive bytes of a dump. Len is at least 0.
type Field struct {
	Len  int
	Name string
}

// lineBytes is how many bytes one line of a dump shows.
const lineBytes = 16

// Hex renders p as an annotated dump: for each field, in order, a line with
// the decimal offset of its first byte, its bytes and its name. A field longer
// than 16 bytes continues on lines without a name. Bytes behind the last field
// follow as lines that show them as ASCII; a field that p is too short for is
// marked with the number of bytes it lacks. The same arguments always give the
// same text.
//
//	0  00 00 00 00 00 00 00 2a                          baseOffset
//	8  00 00 00 38                                      batchLength
func Hex(p []byte, fields ...Field) []byte {
	var b bytes.Buffer
	at := 0
	for _, f := range fields {
		if f.Len < 0 {
			panic(fmt.Sprintf("golden: field %q has length %d, want >= 0", f.Name, f.Len))
		}
		n := min(f.Len, len(p)-at)
		name := f.Name
		if n < f.Len {
			name += fmt.Sprintf(" (%d of %d bytes are missing)", f.Len-n, f.Len)
		}
		hexLine(&b, at, p[at:at+min(n, lineBytes)], name)
		for i := lineBytes; i < n; i += lineBytes {
			hexLine(&b, at+i, p[at+i:at+min(n, i+lineBytes)], "")
		}
		at += n
	}
	for ; at < len(p); at += lineBytes {
		rest := p[at:min(len(p), at+lineBytes)]
		hexLine(&b, at, rest, "|"+printable(rest)+"|")
	}
	return b.Bytes()
}

// hexLine writes one line: offset, at most lineBytes bytes, note. A line
// without a note has no spaces at its end.
func hexLine(b *bytes.Buffer, at int, p []byte, note string) {
	if note == "" {
		fmt.Fprintf(b, "%6d  % x\n", at, p)
		return
	}
	fmt.Fprintf(b, "%6d  %-*s  %s\n", at, lineBytes*3-1, fmt.Sprintf("% x", p), note)
}

// printable shows p as ASCII, with a dot for each byte that is not printable.
func printable(p []byte) string {
	s := make([]byte, len(p))
	for i, c := range p {
		if c < ' ' || c > '~' {
			c = '.'
		}
		s[i] = c
	}
	return string(s)
}
