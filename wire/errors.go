package wire

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// ErrIncomplete is returned for bytes that end before the head or the frame
// does. More bytes may make them whole.
var ErrIncomplete = errors.New("wire: frame incomplete")

// Code numbers what an Error says. Within version 1 codes may be added, none
// changes its meaning; a client judges one it does not know by the retryable
// flag.
type Code uint16

// Codes of version 1.
const (
	CodeUnknownTopic       Code = 1  // no topic has this name
	CodeUnknownPartition   Code = 2  // the topic has no partition of this number
	CodeTopicExists        Code = 3  // a topic has this name already, or one that cannot stand beside it
	CodeInvalidTopicName   Code = 4  // a topic cannot have this name
	CodeInvalidConfig      Code = 5  // a config key is unknown, or its value is not one it can have
	CodeOffsetOutOfRange   Code = 6  // the partition does not have this offset, any more or yet
	CodeCorruptBatch       Code = 7  // a batch has a wrong checksum: the produced one, of which nothing was appended, or the stored one
	CodeInvalidBatch       Code = 8  // a produced batch is whole, but not one that may be appended; nothing was
	CodeMessageTooLarge    Code = 9  // a batch is longer than its topic allows or a frame can hold
	CodeNotReady           Code = 10 // the partition is being recovered
	CodeStorageFailed      Code = 11 // a write or sync of the server's disk failed, now or earlier; it lasts until the server is started again
	CodeNotEnoughReplicas  Code = 12 // min.insync.replicas asks for more replicas than there are
	CodeInvalidRequest     Code = 13 // a payload is not what its kind says, a field is out of range, or the frame may not stand here
	CodeUnsupportedVersion Code = 14 // the Hello names no version that the server speaks
	CodeUnknownKind        Code = 15 // no frame of this kind is known, or not from this side
	CodeUnknownFlags       Code = 16 // a flag is set that has no meaning for the kind
	CodeFrameTooLarge      Code = 17 // the length in a head is beyond the limit
	CodeLimitReached       Code = 18 // there is no room now: connections, subscriptions, memory or disk; nothing was changed
	CodeServerClosing      Code = 19 // the server is stopping; nothing was changed
	CodeInternal           Code = 20 // the server has found a bug in itself
	CodeBadHeadCheck       Code = 21 // the check of a head fails; what follows cannot be trusted
	CodeTimeout            Code = 22 // the server has stopped waiting for what was asked for

	CodeOutOfOrderSequence   Code = 23 // a batch of an idempotent producer does not follow the last one that the partition knows of it; nothing was appended
	CodeInvalidProducerEpoch Code = 24 // a later epoch of the producer id is known
	CodeUnknownProducerID    Code = 25 // the server has never given this producer id

	CodeInvalidTimestamp Code = 26 // a produced batch has a timestamp further from the server's clock than its topic allows; nothing was appended
	CodeFileUnusable     Code = 27 // a file that the request needs cannot be opened, read or made, or the partition is offline because of one; nothing was changed

	CodeUnknownGroup           Code = 28 // no group has this id
	CodeGroupNotEmpty          Code = 29 // the group has members, who alone may commit its offsets; it cannot be deleted
	CodeGroupsLoading          Code = 30 // the groups are being loaded after a start
	CodeGroupUnavailable       Code = 31 // the group takes no change now: there is no memory for it, it is being deleted, it could not be written, or what is known of it cannot be read
	CodeOffsetMetadataTooLarge Code = 32 // the metadata of an offset is longer than the server keeps; offsets that the text does not name are committed
)

// codeFact is what is fixed about a code.
type codeFact struct {
	name      string
	retryable bool // the same request may succeed later, and this one changed nothing
	inDoubt   bool // what the request asked for may have happened
}

// codes has the facts of all codes of version 1.
// Invariant: none is both retryable and in doubt.
var codes = map[Code]codeFact{
	CodeUnknownTopic:       {name: "unknown topic"},
	CodeUnknownPartition:   {name: "unknown partition"},
	CodeTopicExists:        {name: "topic exists"},
	CodeInvalidTopicName:   {name: "invalid topic name"},
	CodeInvalidConfig:      {name: "invalid config"},
	CodeOffsetOutOfRange:   {name: "offset out of range"},
	CodeCorruptBatch:       {name: "corrupt batch"},
	CodeInvalidBatch:       {name: "invalid batch"},
	CodeMessageTooLarge:    {name: "message too large"},
	CodeNotReady:           {name: "not ready", retryable: true},
	CodeStorageFailed:      {name: "storage failed", inDoubt: true},
	CodeNotEnoughReplicas:  {name: "not enough replicas", retryable: true},
	CodeInvalidRequest:     {name: "invalid request"},
	CodeUnsupportedVersion: {name: "unsupported version"},
	CodeUnknownKind:        {name: "unknown kind"},
	CodeUnknownFlags:       {name: "unknown flags"},
	CodeFrameTooLarge:      {name: "frame too large"},
	CodeLimitReached:       {name: "limit reached", retryable: true},
	CodeServerClosing:      {name: "server closing", retryable: true},
	CodeInternal:           {name: "internal", inDoubt: true},
	CodeBadHeadCheck:       {name: "bad head check"},
	CodeTimeout:            {name: "timeout", inDoubt: true},

	CodeOutOfOrderSequence:   {name: "out of order sequence"},
	CodeInvalidProducerEpoch: {name: "invalid producer epoch"},
	CodeUnknownProducerID:    {name: "unknown producer id"},
	CodeInvalidTimestamp:     {name: "invalid timestamp"},
	CodeFileUnusable:         {name: "file unusable"},

	CodeUnknownGroup:           {name: "unknown group"},
	CodeGroupNotEmpty:          {name: "group not empty"},
	CodeGroupsLoading:          {name: "groups loading", retryable: true},
	CodeGroupUnavailable:       {name: "group unavailable", retryable: true},
	CodeOffsetMetadataTooLarge: {name: "offset metadata too large"},
}

// String returns the name of the code as docs/protocol.md has it.
func (c Code) String() string {
	if fact, ok := codes[c]; ok {
		return fact.name
	}
	return fmt.Sprintf("code %d", uint16(c))
}

// Known tells whether version 1 has this code.
func (c Code) Known() bool {
	_, known := codes[c]
	return known
}

// Error is the answer to a request that was refused or failed, or with request
// id 0 one about the connection. It is also what this package returns for
// bytes that it refuses.
//
//	at  len  field
//	 0    2  code
//	 2    .  text    string, at most 4096 bytes: what was found and what was wanted
//
// The layout is the same in all versions, so that a client of any version can
// read why it was refused.
type Error struct {
	Code Code
	Text string

	// retryable is what the frame said about a code that is unknown here.
	retryable bool
}

// Errorf returns an Error with a formatted text, which names what was found
// and what was wanted.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the Error in the chain of err: 0 if err is nil,
// CodeInternal if there is none.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &e):
		return e.Code
	}
	return CodeInternal
}

// Error returns the name of the code and the text.
func (e *Error) Error() string { return e.Code.String() + ": " + e.Text }

// Retryable tells whether the same request may succeed later; the one that was
// refused has changed nothing.
func (e *Error) Retryable() bool {
	if fact, known := codes[e.Code]; known {
		return fact.retryable
	}
	return e.retryable
}

// InDoubt tells whether what the request asked for may have happened all the
// same: a Produce answered so may be in the log or not. Of a code that is
// unknown here it is true unless the server called it retryable.
func (e *Error) InDoubt() bool {
	if fact, known := codes[e.Code]; known {
		return fact.inDoubt
	}
	return !e.retryable
}

// AppendTo appends the frame to dst. The request id is that of the request,
// or 0 for an error about the connection. A text longer than MaxErrorText is
// cut before the character that crosses it, and what is not UTF-8 in it is
// replaced by U+FFFD.
func (e *Error) AppendTo(dst []byte, requestID uint32) []byte {
	var flags uint8
	if e.Retryable() {
		flags |= FlagRetryable
	}
	dst, at := beginFrame(dst)
	dst = appendU16(dst, uint16(e.Code))
	dst = appendString(dst, cutText(e.Text, MaxErrorText))
	return endFrame(dst, at, Head{Kind: KindError, Flags: flags, RequestID: requestID}, 0)
}

// cutText returns text as valid UTF-8 of at most maxBytes.
func cutText(text string, maxBytes int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= maxBytes {
		return text
	}
	for maxBytes > 0 && !utf8.RuneStart(text[maxBytes]) {
		maxBytes--
	}
	return text[:maxBytes]
}

// ParseError reads an Error that a server sent. The second result says what is
// wrong with the frame itself; a flag that contradicts a known code is.
func ParseError(f Frame) (*Error, error) {
	r := open(f, KindError, FlagRetryable)
	e := &Error{
		Code:      Code(r.u16("code")),
		Text:      r.text("text"),
		retryable: f.Flags&FlagRetryable != 0,
	}
	if err := r.close(); err != nil {
		return nil, err
	}
	c := checks{kind: KindError}
	c.text("text", e.Text, 0, MaxErrorText)
	if fact, known := codes[e.Code]; known && fact.retryable != e.retryable {
		c.failf("retryable flag %t of code %d (%s), want %t", e.retryable, uint16(e.Code), fact.name, fact.retryable)
	}
	if err := c.result(); err != nil {
		return nil, err
	}
	return e, nil
}
