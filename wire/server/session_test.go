package server

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

func hello(versions ...uint16) *wire.Hello {
	h := &wire.Hello{MinVersion: 1, MaxVersion: 1, Software: "test", SoftwareVersion: "1"}
	if len(versions) == 2 {
		h.MinVersion, h.MaxVersion = versions[0], versions[1]
	}
	return h
}

// The Welcome names the server and its limits.
func TestHello(t *testing.T) {
	f := openFrontend(t, Options{MaxCredit: 12345}, func(o *node.Options) { o.MaxFrameBytes, o.InFlightBytes = 1<<20, 3<<20 })
	m := newMemory(t, f)
	m.ask(7, hello(1, 9))
	w := m.welcome(7)
	want := wire.Welcome{
		Version: 1, Software: "rollway", SoftwareVersion: "1.2.3", NodeID: 0, ClusterID: f.engine.ClusterID(),
		MaxFrame: 1 << 20, MaxInFlight: 3 << 20, MaxCredit: 12345, IdleTimeoutMs: 600_000,
	}
	if w != want {
		t.Fatalf("welcome %+v, want %+v", w, want)
	}
}

// Each malformed frame is answered by one Error that says why, and ends the
// connection; what follows it is not looked at.
func TestMalformed(t *testing.T) {
	f := openFrontend(t, Options{}, func(o *node.Options) { o.MaxFrameBytes = 1 << 20 })
	createTopic(t, f, "t", nil)
	frame := func(h wire.Head, payload string) []byte {
		h.Length = uint32(len(payload))
		return append(wire.AppendHead(nil, h), payload...)
	}
	check := func(m *memory, name string, p []byte, id uint32, code wire.Code, text string) {
		t.Helper()
		m.Receive(append(p, hello().AppendTo(nil, 5)...))
		if got := m.refused(id, code); !strings.Contains(got, text) {
			t.Errorf("%s: text %q, want %q in it", name, got, text)
		}
		if m.Err == nil {
			t.Errorf("%s: the connection goes on", name)
		}
		m.quiet()
	}
	first := func(name string, p []byte, id uint32, code wire.Code, text string) {
		t.Helper()
		check(newMemory(t, f), name, p, id, code, text)
	}
	later := func(name string, p []byte, id uint32, code wire.Code, text string) {
		t.Helper()
		check(greeted(t, f), name, p, id, code, text)
	}
	reserved := frame(wire.Head{Kind: wire.KindFetch, RequestID: 3}, "")
	reserved[6] = 1
	reserved = sealed(reserved)

	first("garbage", []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), 0, wire.CodeBadHeadCheck, "not of this protocol")
	first("no hello", (&wire.ListTopics{}).AppendTo(nil, 3), 3, wire.CodeInvalidRequest, "first frame is ListTopics, want Hello")
	first("large hello", frame(wire.Head{Kind: wire.KindHello, RequestID: 3}, strings.Repeat("x", wire.MaxHelloFrame+1)), 3, wire.CodeFrameTooLarge, "32769 payload bytes, want at most 32768")
	first("later version", hello(2, 3).AppendTo(nil, 3), 3, wire.CodeUnsupportedVersion, "versions 2..3, want one of 1..1")
	first("no version", hello(0, 0).AppendTo(nil, 3), 3, wire.CodeInvalidRequest, "versions 0..0")
	first("mechanism", (&wire.Hello{MinVersion: 1, MaxVersion: 1, Software: "x", SoftwareVersion: "1", Mechanism: "PLAIN", Auth: []byte("x")}).AppendTo(nil, 3),
		3, wire.CodeInvalidRequest, `mechanism "PLAIN", want none`)
	first("no request id", hello().AppendTo(nil, 0), 0, wire.CodeInvalidRequest, "request id 0")

	later("second hello", hello().AppendTo(nil, 3), 3, wire.CodeInvalidRequest, "second Hello")
	later("damaged head", []byte(strings.Repeat("\x00", 16)), 0, wire.CodeBadHeadCheck, "check")
	later("reserved bytes", reserved, 3, wire.CodeInvalidRequest, "reserved 0x0100")
	later("too large", wire.AppendHead(nil, wire.Head{Length: 1<<20 + 1, Kind: wire.KindProduce, RequestID: 3}), 3, wire.CodeFrameTooLarge, "want at most 1048576")
	later("unknown kind", frame(wire.Head{Kind: 0x44, RequestID: 3}, ""), 3, wire.CodeUnknownKind, "kind 0x44")
	later("kind of a server", frame(wire.Head{Kind: wire.KindData, RequestID: 3}, ""), 3, wire.CodeUnknownKind, "only a server sends")
	for kind := wire.KindCreateTopic; kind <= wire.KindDeleteGroup; kind++ {
		if kind != wire.KindListTopics && kind != wire.KindUnsubscribe && kind != wire.KindListGroups {
			later(kind.String()+" without payload", frame(wire.Head{Kind: kind, RequestID: 3}, ""), 3, wire.CodeInvalidRequest, kind.String())
		}
		later(kind.String()+" with a flag", frame(wire.Head{Kind: kind, Flags: 4, RequestID: 3}, ""), 3, wire.CodeUnknownFlags, "flags 0x04")
		later(kind.String()+" with garbage", frame(wire.Head{Kind: kind, RequestID: 3}, strings.Repeat("\xff", 300)), 3, wire.CodeInvalidRequest, kind.String())
	}
	later("empty topic", (&wire.Fetch{MaxBytes: 1}).AppendTo(nil, 3), 3, wire.CodeInvalidTopicName, "0 bytes")
	later("no batches", (&wire.Produce{Topic: []byte("t"), Acks: wire.AcksAll}).AppendTo(nil, 3), 3, wire.CodeInvalidRequest, "at least one batch")
	later("no batches, acks 0", (&wire.Produce{Topic: []byte("t")}).AppendTo(nil, 3), 3, wire.CodeInvalidRequest, "at least one batch")
	later("no credit", (&wire.Credit{}).AppendTo(nil, 3), 3, wire.CodeInvalidRequest, "bytes: 0, want at least 1")
}

// sealed returns p with the check of the head at its start made right.
func sealed(p []byte) []byte {
	binary.BigEndian.PutUint32(p[12:], uint32(xxhash.Sum64(p[:12])))
	return p
}

// Frames are taken in whatever pieces they arrive, and what a piece needs to
// be whole is told.
func TestPieces(t *testing.T) {
	f := openFrontend(t, Options{})
	createTopic(t, f, "t", pageCache)
	var p []byte
	p = hello().AppendTo(p, 1)
	for id := uint32(2); id < 12; id++ {
		p = (&wire.Produce{Topic: []byte("t"), Acks: wire.AcksAll, Batches: batchOf(t, "a value")}).AppendTo(p, id)
	}
	for _, size := range []int{1, 7, 16, 100, len(p)} {
		m := newMemory(t, f)
		for rest := p; len(rest) > 0; {
			n := min(size, len(rest))
			m.Receive(rest[:n])
			rest = rest[n:]
		}
		m.answer(1, wire.KindWelcome)
		for id := uint32(2); id < 12; id++ {
			m.answer(id, wire.KindProduced)
		}
		m.quiet()
	}
}

// A panic in a task costs its request only.
func TestTaskPanics(t *testing.T) {
	f := openFrontend(t, Options{})
	m := greeted(t, f)
	m.Do(func(out *netloop.Out) {
		m.session.run(wire.Frame{Head: wire.Head{RequestID: 4}}, out, func([]byte) ([]byte, error) { panic("a bug") })
	})
	if text := m.refused(4, wire.CodeInternal); !strings.Contains(text, "a bug") {
		t.Errorf("text %q", text)
	}
	m.ask(5, &wire.ListTopics{})
	m.answer(5, wire.KindTopicList)
}
