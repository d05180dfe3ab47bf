//go:build !race

// The race detector makes sync.Pool drop buffers at random, so what is
// allocated is counted without it.

package zerocopy

import "testing"

// Nothing is allocated per Send, on any path.
func TestSendAllocatesNothing(t *testing.T) {
	file := fileOf(t, content(1<<20))
	everyPath(t, func(t *testing.T, options Options) {
		server, client := connect(t)
		s, _ := sender(t, server, options)
		done := make(chan struct{})
		go func() {
			defer close(done)
			p := make([]byte, 1<<20)
			for {
				if _, err := client.Read(p); err != nil {
					return
				}
			}
		}()
		head := make([]byte, 50)
		releaser := new(note)
		for _, length := range []int64{0, 100, 64 << 10, 1 << 20} {
			n := testing.AllocsPerRun(100, func() {
				r := NewRange(file, 0, length, releaser)
				if _, err := s.Send(head, &r); err != nil {
					t.Fatal(err)
				}
				r.Close()
			})
			if n != 0 {
				t.Errorf("body of %d bytes: %v allocations a Send, want 0", length, n)
			}
		}
		server.Close()
		<-done
	})
}

// Nothing is allocated per ReceiveFile.
func TestReceiveAllocatesNothing(t *testing.T) {
	everyWay(t, func(t *testing.T, options ReceiverOptions) {
		server, client := connect(t)
		r := receiver(t, server, options)
		file := fileOf(t, nil)
		p := make([]byte, 256<<10)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := client.Write(p); err != nil {
					return
				}
			}
		}()
		if n := testing.AllocsPerRun(50, func() {
			if _, err := r.ReceiveFile(file, 0, int64(len(p))); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations, want 0", n)
		}
		server.Close()
		<-done
	})
}

// A range costs no memory.
func TestRangeAllocatesNothing(t *testing.T) {
	file := fileOf(t, nil)
	r := new(note)
	if n := testing.AllocsPerRun(100, func() {
		a := NewRange(file, 0, 1, r)
		a.Close()
	}); n != 0 {
		t.Errorf("%v allocations a range, want 0", n)
	}
}
