package record

import (
	"errors"
	"fmt"
)

// What an error means for whoever sent or stored the bytes. Each error of
// this package about the content of a batch is exactly one of the two, which
// errors.Is tells.
var (
	// ErrCorrupt: the bytes are not those that were written. A Kafka
	// frontend answers CORRUPT_MESSAGE (2) and the producer sends again.
	ErrCorrupt = errors.New("corrupt batch")
	// ErrInvalid: the bytes arrived as they were written, but what they say
	// is refused. A Kafka frontend answers INVALID_RECORD (87); sending
	// again does not help.
	ErrInvalid = errors.New("invalid batch")
)

// What is wrong, each with the values found in the text of the error that
// matches it. In brackets the kind that comes with it.
var (
	ErrShort      = errors.New("batch ends early")      // fewer bytes than the batch needs (corrupt)
	ErrLength     = errors.New("bad batch length")      // batchLength out of bounds or not that of the batch (corrupt)
	ErrMagic      = errors.New("bad magic")             // not 2 (invalid for the old 0 and 1, else corrupt)
	ErrCRC        = errors.New("bad crc")               // stored and computed crc differ (corrupt)
	ErrOffset     = errors.New("bad offset")            // offsets negative or beyond int64 (corrupt)
	ErrCount      = errors.New("bad count")             // recordsCount and lastOffsetDelta contradict each other or the size (invalid)
	ErrAttributes = errors.New("bad attributes")        // an attribute that a producer must not set (invalid)
	ErrSequence   = errors.New("bad sequence")          // producer id, epoch and sequence contradict each other (invalid)
	ErrRecord     = errors.New("bad record")            // a record that cannot be parsed (invalid)
	ErrCodec      = errors.New("unknown codec")         // codec 5, 6 or 7, or an unknown name (invalid)
	ErrCompressed = errors.New("bad compressed data")   // the codec refuses the data (invalid)
	ErrTooLarge   = errors.New("larger than the limit") // decompressed data above the limit, or a batch above MaxSize (invalid)
)

// A batchError says in its text what was found and wanted, and matches its
// kind and its cause.
type batchError struct {
	kind  error // ErrCorrupt or ErrInvalid
	cause error // one of the other sentinels
	text  string
}

func (e *batchError) Error() string        { return e.text }
func (e *batchError) Is(target error) bool { return target == e.kind || target == e.cause }

func corrupt(cause error, format string, args ...any) error {
	return &batchError{kind: ErrCorrupt, cause: cause, text: fmt.Sprintf(format, args...)}
}

func invalid(cause error, format string, args ...any) error {
	return &batchError{kind: ErrInvalid, cause: cause, text: fmt.Sprintf(format, args...)}
}
