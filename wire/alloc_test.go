package wire

import "testing"

// The messages of the fast path are appended, split and parsed without an allocation.
func TestHotMessagesAllocateNothing(t *testing.T) {
	f := func(name string, frame []byte, once func(f Frame) error) {
		t.Helper()
		allocs := testing.AllocsPerRun(100, func() {
			f, _, err := Split(frame, 0)
			if err == nil {
				err = once(f)
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
		})
		if allocs != 0 {
			t.Errorf("%s: %v allocations, want 0", name, allocs)
		}
	}
	frames := map[Kind][]byte{}
	for _, s := range samples() {
		if s.name != "data_end" {
			frames[s.kind()] = s.frame()
		}
	}
	out := make([]byte, 0, 4096)
	topics := map[string]int{"orders": 1}

	f("Produce", frames[KindProduce], func(f Frame) error {
		m, err := ParseProduce(f)
		if topics[string(m.Topic)] != 1 {
			t.Errorf("topic %q", m.Topic)
		}
		m.AppendTo(out, f.RequestID)
		return err
	})
	f("Produced", frames[KindProduced], func(f Frame) error {
		m, err := ParseProduced(f)
		m.AppendTo(out, f.RequestID)
		return err
	})
	f("Fetch", frames[KindFetch], func(f Frame) error {
		m, err := ParseFetch(f)
		m.AppendTo(out, f.RequestID)
		return err
	})
	f("Data", frames[KindData], func(f Frame) error {
		m, err := ParseData(f)
		m.AppendTo(out, f.RequestID)
		AppendDataHead(out, f.RequestID, &m, 1<<20)
		return err
	})
	f("Subscribe", frames[KindSubscribe], func(f Frame) error {
		m, err := ParseSubscribe(f)
		m.AppendTo(out, f.RequestID)
		return err
	})
	f("Credit", frames[KindCredit], func(f Frame) error {
		m, err := ParseCredit(f)
		m.AppendTo(out, f.RequestID)
		return err
	})
	f("ListOffsets", frames[KindListOffsets], func(f Frame) error {
		m, err := ParseListOffsets(f)
		m.AppendTo(out, f.RequestID)
		return err
	})
	if allocs := testing.AllocsPerRun(100, func() { Split(frames[KindData][:40], 0) }); allocs != 0 {
		t.Errorf("incomplete frame: %v allocations, want 0", allocs)
	}
}

func BenchmarkProduce(b *testing.B) {
	m := Produce{Topic: []byte("orders"), Partition: 1, Acks: AcksAll, Batches: make([]byte, 1024)}
	frame := m.AppendTo(nil, 1)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		f, _, err := Split(frame, 0)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := ParseProduce(f); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppendDataHead(b *testing.B) {
	m := Data{Partition: 1, Offsets: Offsets{LogStart: 0, LastStable: 44, HighWatermark: 44}}
	out := make([]byte, 0, DataHeaderSize)
	b.ReportAllocs()
	for b.Loop() {
		AppendDataHead(out, 1, &m, 1<<20)
	}
}
