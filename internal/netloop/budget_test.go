package netloop

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"
)

// Buffers are powers of two, counted until they come back, and never more than the limit.
func TestBudget(t *testing.T) {
	b, err := NewBudget(1 << 20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := NewBudget(1<<20 - 1); err == nil {
		t.Error("NewBudget below 1 MiB: nil, want an error")
	}
	f := func(limit int64, want int) {
		t.Helper()
		if got := (&Budget{limit: limit}).maxBuffer(); got != want {
			t.Errorf("maxBuffer at %d: %d, want %d", limit, got, want)
		}
	}
	f(1<<20, 512<<10)
	f(1<<20+1, 512<<10)
	f(2<<20-1, 512<<10)
	f(2<<20, 1<<20)

	if got := []int{bufferSize(1), bufferSize(2), bufferSize(3), bufferSize(4096), bufferSize(4097)}; fmt.Sprint(got) != "[1 2 4 4096 8192]" {
		t.Errorf("bufferSize: %v", got)
	}
	big, small := b.try(512<<10), b.try(256<<10)
	if b.InUse() != 768<<10 || len(big.p) != 512<<10 {
		t.Errorf("in use %d", b.InUse())
	}
	if b.try(512<<10) != nil {
		t.Error("try beyond the limit gave a buffer")
	}
	b.put(big)
	b.put(small)
	if b.InUse() != 0 {
		t.Errorf("in use %d, want 0", b.InUse())
	}
}

// Who waits is served in the order of asking: a small one does not pass a large one.
func TestBudgetIsFair(t *testing.T) {
	b, _ := NewBudget(1 << 20)
	held := []*buffer{b.try(256 << 10), b.try(256 << 10), b.try(256 << 10), b.try(256 << 10)}
	order := make(chan string, 3)
	var wg sync.WaitGroup
	ask := func(name string, size, waiting int) {
		wg.Go(func() {
			f, err := b.get(size, nil, 0)
			if err != nil {
				t.Error(err)
				return
			}
			order <- name
			b.put(f)
		})
		eventually(t, name+" waits", func() bool { return b.Waiting() == waiting })
	}
	ask("large", 512<<10, 1)
	ask("small", 16<<10, 2)

	// One that gives up, by either way, leaves the queue in order.
	stop := make(chan struct{})
	close(stop)
	if f, err := b.get(512<<10, stop, 0); f != nil || err != nil {
		t.Errorf("get with stop closed: %v, %v; want nil, nil", f, err)
	}
	if f, err := b.get(512<<10, nil, time.Millisecond); f != nil || !errors.Is(err, errNoMemory) {
		t.Errorf("get with a timeout: %v, %v; want nil, errNoMemory", f, err)
	}
	b.put(held[0])
	if len(order) != 0 || b.Waiting() != 2 {
		t.Errorf("the small one passed the large one")
	}
	if f := b.try(16 << 10); f != nil {
		t.Error("try passed those who wait")
	}
	b.put(held[1])
	wg.Wait()
	if first, second := <-order, <-order; b.InUse() != 512<<10 || (first != "large" && second != "large") {
		t.Errorf("served %s, %s with %d in use", first, second, b.InUse())
	}
}

// When the budget is used up by half-received frames, who has something to
// receive waits, who is idle does not, and all go on when it is released.
func TestBudgetExhausted(t *testing.T) {
	b, _ := NewBudget(1 << 20)
	l := newLab(t, Options{Budget: b})
	var holders []*peer
	for range 4 {
		p := l.dial()
		io.WriteString(p.tcp, "bulk 200000\n"+strings.Repeat("x", 100_000))
		holders = append(holders, p)
	}
	eventually(t, "the budget is used up", func() bool { return b.InUse() == b.Limit() })
	idle, busy := l.dial(), l.dial()
	busy.send("echo busy")
	eventually(t, "one waits", func() bool { return b.Waiting() == 1 })
	for _, p := range holders {
		io.WriteString(p.tcp, strings.Repeat("x", 100_000))
	}
	for _, p := range holders {
		p.want("200000 bytes")
	}
	busy.want("busy")
	idle.send("echo idle")
	idle.want("idle")
	eventually(t, "the budget is free", func() bool { return b.InUse() == 0 })
}

// Large frames that all wait for each other's buffers do not wait for ever,
// and the end of a connection ends its wait.
func TestBudgetNoDeadlock(t *testing.T) {
	b, _ := NewBudget(1 << 20)
	l := newLab(t, Options{Budget: b, FrameTimeout: 100 * time.Millisecond})
	for range 4 {
		p := l.dial()
		io.WriteString(p.tcp, "bulk 400000\n"+strings.Repeat("x", 300_000))
	}
	// Some end for the frame that is not whole, some for the memory.
	l.connectionsEnd()
	l.accounts()
	p := l.dial()
	p.send("echo x")
	p.want("x")
}

// Small rests of frames are moved out of the large buffers while they wait,
// and can become whole where they are when there is no room for large ones.
func TestRestIsSmall(t *testing.T) {
	b, _ := NewBudget(1 << 20)
	l := newLab(t, Options{Budget: b})
	const count = 60 // 60 * 16 KiB: all but 64 KiB of the budget
	var peers []*peer
	for i := range count {
		p := l.dial()
		io.WriteString(p.tcp, fmt.Sprintf("echo %d", i))
		peers = append(peers, p)
	}
	eventually(t, "all rest", func() bool { return b.InUse() == count*restBytes })
	for i, p := range peers {
		p.send("")
		p.want(fmt.Sprint(i))
	}
	eventually(t, "the budget is free", func() bool { return b.InUse() == 0 })
}

// Idle connections, those included that wait for an answer, hold no buffer and
// one goroutine each.
func TestIdleConnectionsHoldNothing(t *testing.T) {
	const count = 1000
	l := newLab(t, Options{})
	before := goroutineCount()
	var peers []*peer
	for i := range count {
		p := l.dial()
		p.send("echo x")
		if i%2 == 0 {
			p.send(fmt.Sprintf("defer %d 100000000", i))
		}
		peers = append(peers, p)
	}
	for _, p := range peers {
		p.want("x")
	}
	eventually(t, "all frames are consumed", func() bool { return l.frames.Load() == count+count/2 })
	eventually(t, "no buffer is in use", func() bool { return l.budget.InUse() == 0 })
	eventually(t, "one goroutine each", func() bool { return goroutineCount()-before <= count })
	for i, p := range peers {
		if i%2 == 0 {
			l.ready(fmt.Sprint(i), "y\n", true)
			p.want("y")
		}
	}
}
