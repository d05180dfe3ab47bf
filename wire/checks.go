package wire

import "unicode/utf8"

// checks collects the first thing that is wrong with the fields of a message.
type checks struct {
	kind Kind
	err  *Error
}

// result returns the first error, nil if there is none.
func (c *checks) result() error {
	if c.err != nil {
		return c.err
	}
	return nil
}

// failf records an error of CodeInvalidRequest, unless there is one already.
func (c *checks) failf(format string, args ...any) {
	if c.err == nil {
		c.err = Errorf(CodeInvalidRequest, "%s: "+format, append([]any{c.kind}, args...)...)
	}
}

// within wants low <= v <= high.
func (c *checks) within(field string, v, low, high int64) {
	if v < low || v > high {
		c.failf("%s: %d, want %d..%d", field, v, low, high)
	}
}

// atLeast wants v >= low.
func (c *checks) atLeast(field string, v, low int64) {
	if v < low {
		c.failf("%s: %d, want at least %d", field, v, low)
	}
}

// text wants UTF-8 of low to high bytes.
func (c *checks) text(field, s string, low, high int) {
	if len(s) < low || len(s) > high {
		c.failf("%s: %d bytes, want %d..%d", field, len(s), low, high)
	} else if !utf8.ValidString(s) {
		c.failf("%s: %q, want UTF-8", field, s)
	}
}

// topic wants 1 to MaxTopicName bytes of UTF-8; which characters a name may
// have is for the server to say.
func (c *checks) topic(name []byte) {
	if len(name) < 1 || len(name) > MaxTopicName {
		c.failTopic("%d bytes, want 1..%d", len(name), MaxTopicName)
	} else if !utf8.Valid(name) {
		c.failTopic("%q, want UTF-8", name)
	}
}

// topicString is topic for the messages that hold the name as a string.
func (c *checks) topicString(name string) {
	if len(name) < 1 || len(name) > MaxTopicName {
		c.failTopic("%d bytes, want 1..%d", len(name), MaxTopicName)
	} else if !utf8.ValidString(name) {
		c.failTopic("%q, want UTF-8", name)
	}
}

// failTopic records an error of CodeInvalidTopicName.
func (c *checks) failTopic(format string, args ...any) {
	if c.err == nil {
		c.failf("topic: "+format, args...)
		c.err.Code = CodeInvalidTopicName
	}
}
