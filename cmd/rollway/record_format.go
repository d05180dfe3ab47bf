package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/nearest"
)

// recordFormat prints records as --format says.
type recordFormat []formatPart

// formatPart is a literal, or a verb when its verb is not 0.
type formatPart struct {
	literal string
	verb    byte
}

// formatVerbs are the letters that may follow a "%", those of kcat.
const formatVerbs = "tpoTkKvsSh"

const formatHelp = `Formats. In --format FORMAT stand
  %t  topic          %k  key                        %K  bytes of the key, -1: null
  %p  partition      %v  value (also %s)            %S  bytes of the value, -1: null
  %o  offset         %T  timestamp, ms since 1970   %h  headers, as name=value,...
  %%  a percent sign
  \n  \r  \t  \0  \\  \xHH   the character
and everything else for itself. A null key or value prints nothing.`

// parseRecordFormat reads a format.
func parseRecordFormat(text string) (recordFormat, error) {
	var parts recordFormat
	var literal strings.Builder
	flush := func() {
		if literal.Len() > 0 {
			parts = append(parts, formatPart{literal: literal.String()})
			literal.Reset()
		}
	}
	for i := 0; i < len(text); i++ {
		rest := text[i+1:]
		switch {
		case text[i] == '%' && strings.HasPrefix(rest, "%"):
			literal.WriteByte('%')
			i++
		case text[i] == '%':
			if rest == "" || strings.IndexByte(formatVerbs, rest[0]) < 0 {
				return nil, fmt.Errorf("%q at byte %d, want %% and one of %s or %%", nearest.Shorten(text[i:min(i+2, len(text))]), i, formatVerbs)
			}
			flush()
			parts = append(parts, formatPart{verb: rest[0]})
			i++
		case text[i] == '\\':
			c, n, err := parseEscape(text[i:])
			if err != nil {
				return nil, fmt.Errorf("%w at byte %d", err, i)
			}
			literal.WriteByte(c)
			i += n - 1
		default:
			literal.WriteByte(text[i])
		}
	}
	flush()
	return parts, nil
}

// parseEscape reads the escape at the beginning of text and returns its
// character and length.
func parseEscape(text string) (c byte, n int, err error) {
	if len(text) >= 4 && text[1] == 'x' {
		if v, err := strconv.ParseUint(text[2:4], 16, 8); err == nil {
			return byte(v), 4, nil
		}
	}
	if len(text) >= 2 {
		if i := strings.IndexByte(`nrt0\`, text[1]); i >= 0 {
			return "\n\r\t\x00\\"[i], 2, nil
		}
	}
	return 0, 0, fmt.Errorf("%q, want one of \\n \\r \\t \\0 \\\\ \\xHH", nearest.Shorten(text[:min(4, len(text))]))
}

// append appends what the format makes of a record.
func (f recordFormat) append(dst []byte, topic string, partition int32, r *record.Record) []byte {
	for _, part := range f {
		switch part.verb {
		case 0:
			dst = append(dst, part.literal...)
		case 't':
			dst = append(dst, topic...)
		case 'p':
			dst = strconv.AppendInt(dst, int64(partition), 10)
		case 'o':
			dst = strconv.AppendInt(dst, int64(r.Offset), 10)
		case 'T':
			dst = strconv.AppendInt(dst, r.Timestamp, 10)
		case 'k':
			dst = append(dst, r.Key...)
		case 'v', 's':
			dst = append(dst, r.Value...)
		case 'K':
			dst = strconv.AppendInt(dst, sizeOf(r.Key), 10)
		case 'S':
			dst = strconv.AppendInt(dst, sizeOf(r.Value), 10)
		case 'h':
			dst = appendHeaders(dst, r)
		}
	}
	return dst
}

// sizeOf returns the bytes of a key or value, -1 for null.
func sizeOf(p []byte) int64 {
	if p == nil {
		return -1
	}
	return int64(len(p))
}

func appendHeaders(dst []byte, r *record.Record) []byte {
	for it, first := r.Headers(), true; it.Next(); first = false {
		if !first {
			dst = append(dst, ',')
		}
		h := it.Header()
		dst = append(append(append(dst, h.Key...), '='), h.Value...)
	}
	return dst
}
