package wire

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
	"testing"
)

// A head comes back as it was appended, whatever follows it.
func TestHead(t *testing.T) {
	f := func(want Head) {
		t.Helper()
		p := AppendHead([]byte{0xee}, want)
		if len(p) != 1+HeadSize || p[0] != 0xee {
			t.Fatalf("appended % x", p)
		}
		got, err := ParseHead(append(p[1:], "payload"...))
		if err != nil || got != want {
			t.Errorf("parsed %+v, error %v, want %+v", got, err, want)
		}
	}
	f(Head{})
	f(Head{Length: 1<<32 - 1, Kind: 0xff, Flags: 0xff, RequestID: 1<<32 - 1})
	f(Head{Length: 5, Kind: KindFetch, RequestID: 7})
}

// The check of a head is what docs/protocol.md says, computed here without the library.
func TestHeadCheck(t *testing.T) {
	xxh64 := func(p []byte) uint64 { // for 12 bytes, seed 0
		const p1, p2, p3, p4, p5 uint64 = 0x9e3779b185ebca87, 0xc2b2ae3d27d4eb4f, 0x165667b19e3779f9, 0x85ebca77c2b2ae63, 0x27d4eb2f165667c5
		h := p5 + 12
		h ^= bits.RotateLeft64(binary.LittleEndian.Uint64(p)*p2, 31) * p1
		h = bits.RotateLeft64(h, 27)*p1 + p4
		h ^= uint64(binary.LittleEndian.Uint32(p[8:])) * p1
		h = bits.RotateLeft64(h, 23)*p2 + p3
		h = (h ^ h>>33) * p2
		h = (h ^ h>>29) * p3
		return h ^ h>>32
	}
	for _, s := range samples() {
		head := s.frame()[:HeadSize]
		if found, want := binary.BigEndian.Uint32(head[12:]), uint32(xxh64(head[:12])); found != want {
			t.Errorf("%s: check %08x, want %08x", s.name, found, want)
		}
	}
}

// No flipped bit of a head goes unnoticed.
func TestHeadDamaged(t *testing.T) {
	whole := AppendHead(nil, Head{Length: 1000, Kind: KindProduce, RequestID: 7})
	for bit := range HeadSize * 8 {
		p := bytes.Clone(whole)
		p[bit/8] ^= 1 << (bit % 8)
		_, err := ParseHead(p)
		wantCode(t, "head with a flipped bit", err, CodeBadHeadCheck)
	}
	_, err := ParseHead([]byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"))
	wantCode(t, "HTTP", err, CodeBadHeadCheck)
	_, err = ParseHead(make([]byte, HeadSize))
	wantCode(t, "zeros", err, CodeBadHeadCheck)

	reserved := bytes.Clone(whole)
	reserved[7] = 1
	binary.BigEndian.PutUint32(reserved[12:], headCheck(reserved))
	_, err = ParseHead(reserved)
	wantCode(t, "reserved byte set, check right", err, CodeInvalidRequest)
}

// Split gives pipelined frames one by one, empty payloads included, and what is left of the next.
func TestSplitPipelined(t *testing.T) {
	var stream []byte
	all := samples()
	for i := range all {
		stream = all[i].m.AppendTo(stream, all[i].id)
	}
	cut := all[0].frame()[:20]
	stream = append(stream, cut...)
	for i := range all {
		f, rest, err := Split(stream, 0)
		if err != nil || f.Kind != all[i].kind() || f.Size() != len(all[i].frame()) || len(f.Payload) != int(f.Length) || cap(f.Payload) != len(f.Payload) {
			t.Fatalf("%s: kind %s, size %d, payload %d of capacity %d, error %v", all[i].name, f.Kind, f.Size(), len(f.Payload), cap(f.Payload), err)
		}
		stream = rest
	}
	if _, rest, err := Split(stream, 0); err != ErrIncomplete || !bytes.Equal(rest, cut) {
		t.Errorf("rest % x, error %v, want % x, %v", rest, err, cut, ErrIncomplete)
	}
}

// A length beyond the limit is refused by the head alone; the cap holds whatever the limit is.
func TestSplitFrameTooLarge(t *testing.T) {
	f := func(length uint32, maxFrame int, tooLarge bool) {
		t.Helper()
		p := AppendHead(nil, Head{Length: length, Kind: KindProduce, RequestID: 7})
		frame, rest, err := Split(p, maxFrame)
		if tooLarge {
			wantCode(t, "too large", err, CodeFrameTooLarge)
		} else if err != ErrIncomplete {
			t.Errorf("length %d, limit %d: error %v, want %v", length, maxFrame, err, ErrIncomplete)
		}
		if frame.RequestID != 7 || len(rest) != len(p) {
			t.Errorf("length %d, limit %d: request id %d, rest %d, want 7, %d", length, maxFrame, frame.RequestID, len(rest), len(p))
		}
	}
	f(DefaultMaxFrame, 0, false)
	f(DefaultMaxFrame+1, 0, true)
	f(100, 100, false)
	f(101, 100, true)
	f(MaxFrameCap, MaxFrameCap, false)
	f(MaxFrameCap, 1<<62, false)
	f(MaxFrameCap+1, 1<<62, true)
	f(1<<32-1, 0, true)
	f(1<<31, 1<<62, true)
}

// Any Hello fits the limit of the first frame, any Welcome that of the smallest frame.
func TestFirstFramesFit(t *testing.T) {
	name := strings.Repeat("n", MaxName)
	hello := Hello{
		MinVersion: 1, MaxVersion: 65535, Software: name, SoftwareVersion: name,
		Mechanism: strings.Repeat("M", MaxMechanism), Auth: make([]byte, MaxAuth),
	}
	if err := hello.Check(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Split(hello.AppendTo(nil, 1), MaxHelloFrame); err != nil {
		t.Errorf("longest Hello: %v", err)
	}
	welcome := Welcome{
		Version: 1, Software: name, SoftwareVersion: name, ClusterID: name,
		MaxFrame: MinMaxFrame, MaxInFlight: MinMaxFrame, MaxCredit: 1,
	}
	if err := welcome.Check(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Split(welcome.AppendTo(nil, 1), MinMaxFrame); err != nil {
		t.Errorf("longest Welcome: %v", err)
	}
	failed := Errorf(CodeInternal, "%s", strings.Repeat("x", 2*MaxErrorText))
	if _, _, err := Split(failed.AppendTo(nil, 1), MinMaxFrame); err != nil {
		t.Errorf("longest Error: %v", err)
	}
}

// FrameOverhead is exact for the longest topic name and enough for a Data, and DataHeaderSize is what AppendDataHead appends.
func TestFrameOverhead(t *testing.T) {
	produce := Produce{Topic: bytes.Repeat([]byte("t"), MaxTopicName), Acks: AcksAll}
	if got := len(AppendProduceHead(nil, 1, &produce, 0)) - HeadSize; got != FrameOverhead {
		t.Errorf("Produce adds %d bytes, want %d", got, FrameOverhead)
	}
	head := AppendDataHead(nil, 1, &Data{}, 1000)
	if len(head) != DataHeaderSize || DataHeaderSize-HeadSize > FrameOverhead {
		t.Errorf("Data: %d bytes before the batches, want %d", len(head), DataHeaderSize)
	}
	if h, err := ParseHead(head); err != nil || h.Length != DataHeaderSize-HeadSize+1000 {
		t.Errorf("Data: length %d, error %v, want %d", h.Length, err, DataHeaderSize-HeadSize+1000)
	}
}
