package wire

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// Codes count from 1 without a gap, have a name each, and none tells to retry what may have happened.
func TestCodes(t *testing.T) {
	names := map[string]bool{}
	for c := Code(1); int(c) <= len(codes); c++ {
		fact, ok := codes[c]
		if !ok || fact.name == "" || names[fact.name] || c.String() != fact.name {
			t.Errorf("code %d: %+v, want a name of its own", c, fact)
		}
		names[fact.name] = true
		if fact.retryable && fact.inDoubt {
			t.Errorf("code %d (%s) is retryable and in doubt", c, c)
		}
	}
	if got, want := Code(999).String(), "code 999"; got != want {
		t.Errorf("unknown code is %q, want %q", got, want)
	}
}

// What an Error says of a code that it does not know depends on the flag; of one that it knows, the flag has to agree.
func TestErrorFlag(t *testing.T) {
	f := func(code Code, flags uint8, retryable, inDoubt bool) {
		t.Helper()
		frame := reframed(Head{Kind: KindError, Flags: flags}, appendString(appendU16(nil, uint16(code)), "text"))
		e, err := ParseError(frame)
		if err != nil || e.Code != code || e.Text != "text" || e.Retryable() != retryable || e.InDoubt() != inDoubt {
			t.Errorf("code %d, flags %d: %+v, error %v, want retryable %t, in doubt %t", code, flags, e, err, retryable, inDoubt)
			return
		}
		if got := e.AppendTo(nil, 0); got[5] != flags {
			t.Errorf("code %d: appended with flags %d, want %d", code, got[5], flags)
		}
		frame.Flags ^= FlagRetryable
		if _, known := codes[code]; known {
			_, err := ParseError(frame)
			wantCode(t, "flag flipped", err, CodeInvalidRequest)
		}
	}
	f(CodeNotReady, FlagRetryable, true, false)
	f(CodeTimeout, 0, false, true)
	f(CodeUnknownTopic, 0, false, false)
	f(999, FlagRetryable, true, false)
	f(999, 0, false, true)
}

// An Error is always sent whole and as UTF-8, however long and odd its text is.
func TestErrorTextIsCut(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		e, err := ParseError(split(t, Errorf(CodeInternal, "%s", text).AppendTo(nil, 1)))
		if err != nil || e.Text != want || !utf8.ValidString(e.Text) {
			t.Errorf("text of %d bytes came as %d bytes, error %v, want %d bytes", len(text), len(e.Text), err, len(want))
		}
	}
	x := strings.Repeat("x", MaxErrorText)
	f("", "")
	f(x, x)
	f(x+"y", x)
	f(x[1:]+"ä", x[1:])
	f(x[2:]+"äö", x[2:]+"ä")
	f("a\xffb", "a\uFFFDb")
	f(strings.Repeat("x\xff", 40000), strings.Repeat("x\uFFFD", MaxErrorText/4))
	frame := reframed(Head{Kind: KindError}, appendString(appendU16(nil, 20), x+"y"))
	_, err := ParseError(frame)
	wantCode(t, "text beyond the limit", err, CodeInvalidRequest)
}

// CodeOf finds the code below wrapping.
func TestCodeOf(t *testing.T) {
	f := func(err error, want Code) {
		t.Helper()
		if got := CodeOf(err); got != want {
			t.Errorf("CodeOf(%v) = %s, want %s", err, got, want)
		}
	}
	f(nil, 0)
	f(io.EOF, CodeInternal)
	f(Errorf(CodeNotReady, "orders-1"), CodeNotReady)
	f(fmt.Errorf("produce: %w", Errorf(CodeNotReady, "orders-1")), CodeNotReady)
	f(errors.Join(io.EOF, Errorf(CodeTimeout, "5s")), CodeTimeout)
	if got, want := Errorf(CodeNotReady, "orders-1: recovering").Error(), "not ready: orders-1: recovering"; got != want {
		t.Errorf("text %q, want %q", got, want)
	}
}
