package wire

import (
	"bytes"
	"errors"
	"runtime"
	"testing"
)

// Frames of a client: what is accepted is encoded to the same bytes, all else is one Error.
func FuzzClientFrames(f *testing.F) { fuzzFrames(f, false) }

// Frames of a server, in the same way.
func FuzzServerFrames(f *testing.F) { fuzzFrames(f, true) }

// fuzzFrames fuzzes streams of frames and, because a stream rarely passes the
// check of its first head, the kind, flags and payload of one frame.
func fuzzFrames(f *testing.F, fromServer bool) {
	for _, s := range samples() {
		if frame := s.frame(); s.kind().FromServer() == fromServer {
			f.Add(frame, frame[4], frame[5], frame[HeadSize:])
		}
	}
	f.Fuzz(func(t *testing.T, stream []byte, kind, flags uint8, payload []byte) {
		const maxFrame = 1 << 20
		left := stream
		for range 1000 {
			frame, rest, err := Split(left, maxFrame)
			if err != nil {
				checkError(t, err)
				if len(rest) != len(left) {
					t.Fatalf("error %v consumed %d bytes", err, len(left)-len(rest))
				}
				break
			}
			if frame.Size() != len(left)-len(rest) || len(frame.Payload) != int(frame.Length) {
				t.Fatalf("frame of size %d, payload %d, consumed %d bytes", frame.Size(), len(frame.Payload), len(left)-len(rest))
			}
			if encoded := AppendHead(nil, frame.Head); !bytes.Equal(encoded, left[:HeadSize]) {
				t.Fatalf("head % x is encoded as % x", left[:HeadSize], encoded)
			}
			fuzzFrame(t, frame)
			left = rest
		}
		k := Kind(kind &^ 0x80)
		if fromServer {
			k = Kind(kind | 0x80)
		}
		fuzzFrame(t, reframed(Head{Kind: k, Flags: flags, RequestID: 1}, payload))
	})
}

// fuzzFrame parses one frame.
func fuzzFrame(t *testing.T, f Frame) {
	var before, after runtime.MemStats
	measure := len(f.Payload) < 256 // else the copies of good strings hide what is looked for
	if measure {
		runtime.ReadMemStats(&before)
	}
	m, err := parse(f)
	if measure {
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 1<<20 {
			t.Fatalf("%s: %d bytes allocated for %d payload bytes", f.Kind, n, len(f.Payload))
		}
	}
	if err != nil {
		checkError(t, err)
		return
	}
	want := append(AppendHead(nil, f.Head), f.Payload...)
	if got := m.AppendTo(nil, f.RequestID); !bytes.Equal(got, want) {
		t.Fatalf("%s % x is encoded as % x", f.Kind, want, got)
	}
}

// checkError wants an error that a server can answer with.
func checkError(t *testing.T, err error) {
	var e *Error
	if err != ErrIncomplete && (!errors.As(err, &e) || e.Text == "" || e.Code == 0 || int(e.Code) > len(codes)) {
		t.Fatalf("error %#v, want an Error with a known code and a text", err)
	}
}
