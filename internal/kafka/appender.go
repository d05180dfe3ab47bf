package kafka

import "encoding/binary"

// appender encodes the answers of the hot path, field by field, into memory of
// whoever uses it: kmsg, which encodes the others, wants them as objects.
type appender struct {
	p        []byte
	flexible bool // compact lengths and tagged fields (KIP-482)
}

func (a *appender) int16(v int16) { a.p = binary.BigEndian.AppendUint16(a.p, uint16(v)) }
func (a *appender) int32(v int32) { a.p = binary.BigEndian.AppendUint32(a.p, uint32(v)) }
func (a *appender) int64(v int64) { a.p = binary.BigEndian.AppendUint64(a.p, uint64(v)) }

func (a *appender) uuid(id [16]byte) { a.p = append(a.p, id[:]...) }

// length appends the length of a string, of bytes or of an array: -1 is null.
// wide tells that it has 32 bits where it is not compact, else 16.
func (a *appender) length(n int, wide bool) {
	switch {
	case a.flexible:
		a.p = binary.AppendUvarint(a.p, uint64(n+1))
	case wide:
		a.int32(int32(n))
	default:
		a.int16(int16(n))
	}
}

// string appends a string that is not null.
func (a *appender) string(v []byte) {
	a.length(len(v), false)
	a.p = append(a.p, v...)
}

// name appends a string that has at most 32 KiB.
func (a *appender) name(v string) {
	a.length(len(v), false)
	a.p = append(a.p, v...)
}

// text appends a nullable string, cut where the length of one ends; "" is null.
func (a *appender) text(v string) {
	const most = 1<<15 - 1
	if v == "" {
		a.length(-1, false)
		return
	}
	a.name(v[:min(len(v), most)])
}

// array appends the count of an array; -1 is null.
func (a *appender) array(n int) { a.length(n, true) }

// noTags says that there are no tagged fields, where the version has them.
func (a *appender) noTags() {
	if a.flexible {
		a.p = append(a.p, 0)
	}
}
