package iouring

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// What is appended leaves in order, in pieces that stay as they are while they
// are the kernel's, however much is appended meanwhile.
func TestOutBuffer(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var b outBuffer
	defer func() { b.free() }()
	var given, left, flying, was []byte
	for step := range 5000 {
		if flying == nil && b.len() > 0 && random.IntN(2) == 0 {
			flying = b.next()
			was = bytes.Clone(flying)
		}
		if random.IntN(8) > 0 {
			p := make([]byte, 1+random.IntN(1<<random.IntN(15)))
			for i := range p {
				p[i] = byte(random.Uint32())
			}
			given = append(given, p...)
			if err := b.append(p); err != nil {
				t.Fatal(err)
			}
		}
		if flying != nil && random.IntN(2) == 0 {
			if !bytes.Equal(flying, was) {
				t.Fatalf("seed %d step %d: what is in flight has changed", seed, step)
			}
			n := random.IntN(len(flying) + 1)
			left = append(left, flying[:n]...)
			b.sent(n)
			flying = nil
		}
		if b.len() != len(given)-len(left) {
			t.Fatalf("seed %d step %d: %d bytes have not left, want %d", seed, step, b.len(), len(given)-len(left))
		}
	}
	if flying != nil {
		b.sent(0)
	}
	for b.len() > 0 {
		p := b.next()
		left = append(left, p...)
		b.sent(len(p))
	}
	if !bytes.Equal(left, given) {
		t.Errorf("seed %d: %d bytes left, want the %d that were given", seed, len(left), len(given))
	}
}
