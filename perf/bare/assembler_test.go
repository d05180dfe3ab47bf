package bare

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/rollway/rollway/wire"
)

// Frames come out whole and in order however they are cut, also where a piece is
// received right behind a part of a frame, and stay as they are until the reset.
func TestAssembler(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	defer func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	}()
	var s scratch
	a := assembler{scratch: &s}
	for range 200 {
		var stream []byte
		var want, got [][]byte
		for i := range 1 + random.IntN(20) {
			payload := bytes.Repeat([]byte{byte(i)}, 1+random.IntN(1<<random.IntN(12)))
			m := wire.Produce{Topic: []byte("t"), Acks: wire.AcksAll, Batches: payload}
			stream = m.AppendTo(stream, uint32(i+1))
			want = append(want, payload)
		}
		for len(stream) > 0 {
			n := 1 + random.IntN(min(len(stream), 1<<random.IntN(12)))
			piece := bytes.Clone(stream[:n])
			stream = stream[n:]
			if random.IntN(2) == 0 {
				n := copy(a.missing(), piece)
				a.extend(n)
				piece = piece[n:]
			}
			err := a.feed(piece, func(f wire.Frame) error {
				m, err := wire.ParseProduce(f)
				if err != nil || f.RequestID != uint32(len(got)+1) {
					return fmt.Errorf("frame %d, %w; want %d", f.RequestID, err, len(got)+1)
				}
				got = append(got, m.Batches)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		if a.need != 0 {
			t.Fatalf("%d of %d bytes of a frame are left, want none", len(a.partial), a.need)
		}
		for i := range want {
			if i >= len(got) || !bytes.Equal(got[i], want[i]) {
				t.Fatalf("%d frames, want %d, and what frame %d had", len(got), len(want), i)
			}
		}
		s.reset()
	}
	if err := a.feed(make([]byte, 3), nil); err != nil {
		t.Error(err)
	}
	a.drop()
	if a.need != 0 || len(a.missing()) != 0 {
		t.Error("a frame that was dropped is still there")
	}
}
