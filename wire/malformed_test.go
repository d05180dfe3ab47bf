package wire

import (
	"bytes"
	"errors"
	"runtime"
	"slices"
	"testing"
)

// reframed returns the frame of h with another payload.
func reframed(h Head, payload []byte) Frame {
	h.Length = uint32(len(payload))
	return Frame{Head: h, Payload: payload}
}

// split returns the frame at the start of p.
func split(t testing.TB, p []byte) Frame {
	t.Helper()
	f, _, err := Split(p, 0)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// wantCode wants an Error of the code, with a text.
func wantCode(t testing.TB, what string, err error, want Code) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) || e.Code != want || e.Text == "" {
		t.Errorf("%s: error %v, want %s", what, err, want)
	}
}

// A frame that ends early anywhere is incomplete, and Split says how many bytes it is waiting for.
func TestSplitTruncated(t *testing.T) {
	for _, s := range samples() {
		whole := s.frame()
		for n := range whole {
			f, rest, err := Split(whole[:n], 0)
			want := HeadSize
			if n >= HeadSize {
				want = len(whole)
			}
			if err != ErrIncomplete || f.Size() != want || len(rest) != n || f.Payload != nil {
				t.Fatalf("%s: first %d bytes: size %d, rest %d, error %v, want %d, %d, %v", s.name, n, f.Size(), len(rest), err, want, n, ErrIncomplete)
			}
		}
	}
}

// A payload that ends early anywhere is refused, but for batches, whose end the codec does not judge.
func TestPayloadTruncated(t *testing.T) {
	for _, s := range samples() {
		f := split(t, s.frame())
		for n := range f.Payload {
			_, err := parse(reframed(f.Head, f.Payload[:n]))
			fixed := len(f.Payload) - s.tail
			if s.kind() == KindProduce {
				fixed++ // at least one byte of batches
			}
			if n >= fixed {
				if err != nil {
					t.Errorf("%s: batches cut to %d bytes: error %v, want none", s.name, n-fixed, err)
				}
				continue
			}
			if err == nil {
				t.Errorf("%s: first %d of %d payload bytes: no error", s.name, n, len(f.Payload))
			} else if code := CodeOf(err); code != CodeInvalidRequest && code != CodeInvalidTopicName {
				t.Errorf("%s: first %d payload bytes: error %v", s.name, n, err)
			}
		}
	}
}

// One byte behind the last field is refused, but behind batches.
func TestTrailingByte(t *testing.T) {
	for _, s := range samples() {
		f := split(t, s.frame())
		_, err := parse(reframed(f.Head, append(bytes.Clone(f.Payload), 0)))
		if s.kind() == KindProduce || s.kind() == KindData {
			if err != nil {
				t.Errorf("%s: error %v, want none", s.name, err)
			}
			continue
		}
		wantCode(t, s.name, err, CodeInvalidRequest)
	}
}

// A flag without a meaning for the kind is refused.
func TestUnknownFlags(t *testing.T) {
	known := map[Kind]uint8{KindData: FlagEnd, KindError: FlagRetryable}
	for _, s := range samples() {
		f := split(t, s.frame())
		for bit := range 8 {
			f.Flags = 1 << bit
			if known[f.Kind]&f.Flags == 0 {
				_, err := parse(f)
				wantCode(t, s.name, err, CodeUnknownFlags)
			}
		}
	}
}

// Request id 0 is for errors about the connection and for nothing else.
func TestRequestIDZero(t *testing.T) {
	for _, s := range samples() {
		f := split(t, s.m.AppendTo(nil, 0))
		_, err := parse(f)
		if s.kind() == KindError {
			if err != nil {
				t.Errorf("%s: error %v, want none", s.name, err)
			}
			continue
		}
		wantCode(t, s.name, err, CodeInvalidRequest)
	}
}

// Every Parse function refuses the frame of another kind.
func TestOtherKind(t *testing.T) {
	for _, s := range samples() {
		f := split(t, s.frame())
		for kind, parse := range parsers {
			if kind != f.Kind {
				_, err := parse(f)
				wantCode(t, s.name+" taken for "+kind.String(), err, CodeUnknownKind)
			}
		}
	}
}

// Kinds that nobody knows and kinds of the other side are told apart.
func TestUnknownKind(t *testing.T) {
	f := func(k Kind, want string) {
		t.Helper()
		err := UnknownKind(k)
		wantCode(t, want, err, CodeUnknownKind)
		if err.Text != want {
			t.Errorf("%q, want %q", err.Text, want)
		}
	}
	f(0x00, "head: kind 0x00, want one of version 1")
	f(0x7f, "head: kind 0x7f, want one of version 1")
	f(0xff, "head: kind 0xff, want one of version 1")
	f(KindData, "head: kind 0x86 (Data), which only a server sends")
	f(KindFetch, "head: kind 0x08 (Fetch), which only a client sends")
}

// A count beyond what the payload can hold is refused before anything is allocated for it.
func TestCountsAreNotBelieved(t *testing.T) {
	f := func(name string, kind Kind, fields []byte, count uint32) {
		t.Helper()
		payload := appendU32(fields, count)
		payload = append(payload, make([]byte, 64)...)
		frame := reframed(Head{Kind: kind, RequestID: 1}, payload)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := parse(frame)
		runtime.ReadMemStats(&after)
		wantCode(t, name, err, CodeInvalidRequest)
		if got := after.TotalAlloc - before.TotalAlloc; got > 64<<10 {
			t.Errorf("%s: %d bytes allocated for %d payload bytes", name, got, len(payload))
		}
	}

	topic := appendString(nil, "t")
	for _, count := range []uint32{65, 1 << 20, 1<<31 - 1, 1<<32 - 1} {
		f("CreateTopic.configs", KindCreateTopic, appendI32(slices.Clone(topic), 1), count)
		f("AlterTopic.set", KindAlterTopic, slices.Clone(topic), count)
		f("AlterTopic.reset", KindAlterTopic, appendU32(slices.Clone(topic), 0), count)
		f("TopicDescription.partitions", KindTopicDescription, append(slices.Clone(topic), topicID[:]...), count)
		f("TopicDescription.configs", KindTopicDescription, appendU32(append(slices.Clone(topic), topicID[:]...), 0), count)
		f("TopicList.topics", KindTopicList, nil, count)
		f("DamageSkipped.ranges", KindDamageSkipped, nil, count)
		f("CommitOffset.partitions", KindCommitOffset, append(slices.Clone(topic), topic...), count)
		f("OffsetsFetched.topics", KindOffsetsFetched, nil, count)
		f("OffsetsFetched.topics[0].partitions", KindOffsetsFetched, append(appendU32(nil, 1), topic...), count)
		f("GroupList.groups", KindGroupList, nil, count)
		description := GroupDescription{Group: "g", State: GroupStable, Members: []GroupMember{{Assigned: []TopicPartitions{{Topic: "t"}}}}}
		payload := description.AppendTo(nil, 1)[HeadSize:]
		for field, behind := range map[string]int{"offsets": 4, "members[0].assigned[0].partitions": 8, "members[0].assigned": 15, "members": 27} {
			f("GroupDescription."+field, KindGroupDescription, slices.Clone(payload[:len(payload)-behind]), count)
		}
	}
}

// An array of configs that the payload holds but the protocol does not allow is refused before it is read.
func TestTooManyConfigs(t *testing.T) {
	f := func(count int, want Code) {
		t.Helper()
		m := CreateTopic{Topic: "t", Partitions: 1, Configs: slices.Repeat([]Config{{Key: "k"}}, count)}
		if got := CodeOf(m.Check()); got != want {
			t.Errorf("check of %d configs: %s, want %s", count, got, want)
		}
		_, err := ParseCreateTopic(split(t, m.AppendTo(nil, 1)))
		if got := CodeOf(err); got != want {
			t.Errorf("parse of %d configs: error %v, want %s", count, err, want)
		}
	}
	f(MaxConfigs, 0)
	f(MaxConfigs+1, CodeInvalidRequest)
}
