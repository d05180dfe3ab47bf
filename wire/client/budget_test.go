package client

import (
	"context"
	"testing"
)

// Wishes are granted in the order in which they came, small ones do not overtake a large one, and who leaves the line
// is no longer in the way.
func TestBudgetLine(t *testing.T) {
	b := budget{limit: 10}
	if !b.try(8) || b.try(3) {
		t.Fatal("8 of 10 bytes, then 3 more")
	}
	take := func(ctx context.Context, n int64) chan bool {
		got := make(chan bool, 1)
		before := b.waiting.Load()
		go func() { got <- b.take(ctx, nil, n) }()
		eventually(t, "waits", func() bool { return b.waiting.Load() == before+1 })
		return got
	}
	ctx, cancel := context.WithCancel(t.Context())
	large := take(ctx, 9)
	small := take(t.Context(), 2)
	if b.try(1) {
		t.Error("1 byte granted past those who wait")
	}
	cancel()
	if <-large {
		t.Error("granted to who has left")
	}
	if !<-small || b.inUse() != 10 {
		t.Errorf("%d bytes in use, want 10", b.inUse())
	}
	large = take(t.Context(), 9)
	b.give(8)
	small = take(t.Context(), 1)
	b.give(2)
	if !<-large || !<-small || b.inUse() != 10 {
		t.Errorf("%d bytes in use, want 10", b.inUse())
	}

	broken := make(chan struct{})
	close(broken)
	if b.take(t.Context(), broken, 1) {
		t.Error("granted on a broken connection")
	}

	// Beyond the limit is possible alone.
	b.give(10)
	if !b.try(100) || b.try(1) {
		t.Error("want 100 bytes granted, and nothing beside them")
	}
}
