// Package properties reads and writes text of java.util.Properties, the format
// of Kafka's server.properties and meta.properties: key=value lines, comments
// with # and !, keys ended by =, : or white space, lines continued by a
// backslash, and the escapes \t \n \r \f \uXXXX, with \ before any other
// character standing for that character. Bytes are ISO 8859-1, so everything
// else is \uXXXX.
//
// It keeps no state; everything may be used concurrently.
package properties

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Property is one key and its value.
type Property struct {
	Key, Value string
	Line       int // where it begins in the text, from 1
}

// Parse reads text as java.util.Properties.load does and returns the
// properties in their order. A key may come more than once: then the last one
// counts, as in Map.
//
// The only possible error is an escape \u without four hex digits; it names
// the line.
func Parse(text string) ([]Property, error) {
	var list []Property
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for number := 1; len(text) > 0; {
		line, rest := cutLine(text)
		at := number
		number += strings.Count(text[:len(text)-len(rest)], "\n")
		text = rest
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value := split(line)
		key, err := unescape(key)
		if err == nil {
			value, err = unescape(value)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", at, err)
		}
		list = append(list, Property{Key: key, Value: value, Line: at})
	}
	return list, nil
}

// Map returns the values by their keys.
func Map(list []Property) map[string]string {
	m := make(map[string]string, len(list))
	for _, p := range list {
		m[p.Key] = p.Value
	}
	return m
}

// space is what java.util.Properties takes for white space in a line.
const space = " \t\f"

// cutLine returns the first line, without white space before it, and joined
// with those that follow while it ends in an odd number of backslashes. A
// comment is never continued.
func cutLine(text string) (line, rest string) {
	var joined strings.Builder
	for {
		line, rest, _ = strings.Cut(text, "\n")
		line = strings.TrimLeft(line, space)
		isComment := joined.Len() == 0 && line != "" && (line[0] == '#' || line[0] == '!')
		slashes := len(line) - len(strings.TrimRight(line, `\`))
		if isComment || slashes%2 == 0 {
			joined.WriteString(line)
			return joined.String(), rest
		}
		joined.WriteString(line[:len(line)-1])
		if rest == "" {
			return joined.String(), ""
		}
		text = rest
	}
}

// split cuts a line behind its key, before anything is unescaped.
func split(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if strings.IndexByte("=:"+space, line[i]) >= 0 {
			end = i
			break
		}
	}
	value = strings.TrimLeft(line[end:], space)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], space)
	}
	return line[:end], value
}

func unescape(s string) (string, error) {
	units := make([]uint16, 0, len(s)) // as in Java: a character above U+FFFF is two escapes
	for i := 0; i < len(s); i++ {
		c := uint16(s[i])
		if c == '\\' && i+1 < len(s) {
			i++
			c = uint16(s[i])
			switch c {
			case 't':
				c = '\t'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 'f':
				c = '\f'
			case 'u':
				digits := s[i+1 : min(i+5, len(s))]
				n, err := strconv.ParseUint(digits, 16, 16)
				if err != nil || len(digits) < 4 {
					return "", fmt.Errorf(`"\u%s", want \u and 4 hex digits`, digits)
				}
				c = uint16(n)
				i += len(digits)
			}
		}
		units = append(units, c)
	}
	return string(utf16.Decode(units)), nil
}

// Escape returns a value as java.util.Properties.store writes it.
func Escape(value string) string {
	var b strings.Builder
	for i, c := range value {
		switch {
		case c == ' ' && i > 0:
			b.WriteByte(' ')
		case strings.ContainsRune(` \=:#!`, c):
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c > '~':
			for _, unit := range utf16.AppendRune(nil, c) {
				fmt.Fprintf(&b, `\u%04X`, unit)
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
