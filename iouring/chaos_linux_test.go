package iouring

import (
	"bytes"
	"io"
	"math/rand/v2"
	"slices"
	"testing"

	"golang.org/x/sys/unix"
)

// chaos is a kernel with peers whose completions come in any order, are short or
// fail, find no room, and whose multishot operations end when they like. What it
// does is drawn from choose. The model of an echo server is that a peer gets what
// it has sent.
type chaos struct {
	*testing.T
	choose   func(n int) int // 0 to n-1
	ring     *fakeRing
	kernel   *fakeKernelBuffers
	toAccept int
	peers    []*chaosPeer
	flying   map[uint64][]byte // what sends in flight were given, by UserData

	streams *Streams
	kept    []keptBuffer
	closed  map[*Stream]error
	byFD    map[int]*Stream
}

// chaosPeer is the other end of a connection.
type chaosPeer struct {
	unsent, sent, got []byte
	reset             bool // its connection fails from now on
	refused           bool // by the handler
	closed            bool
}

// keptBuffer is one that the handler has not given back.
type keptBuffer struct {
	buffer Buffer
	had    []byte
}

func newChaos(t *testing.T, choose func(int) int) *chaos {
	t.Helper()
	k := &chaos{T: t, choose: choose, flying: map[uint64][]byte{}, closed: map[*Stream]error{}, byFD: map[int]*Stream{}}
	k.ring = newFakeRing(t, 1+choose(8), 1+choose(8))
	k.ring.submitted, k.ring.work = k.submit, k.work
	k.ring.refuse = func() bool { return choose(4) == 0 }
	buffers := newTestBuffers(t, 1<<choose(4), 1+choose(20))
	k.kernel = &fakeKernelBuffers{buffers: buffers}
	k.toAccept = 1 + choose(8)
	var err error
	if k.streams, err = NewStreams(k.ring, buffers, k, StreamsOptions{PauseBytes: 1 + choose(100)}); err != nil {
		t.Fatal(err)
	}
	return k
}

// run serves all peers and closes, then compares.
func (k *chaos) run() {
	k.streams.Listen(fakeListener)
	for turns := 0; k.toAccept > 0 || k.streams.Len() > 0 || len(k.ring.completions)+len(k.ring.waiting) > 0; turns++ {
		if turns == 50_000 {
			k.Fatalf("%d turns, %d peers still to come, %d there; in flight: %+v", turns, k.toAccept, k.streams.Len(), k.ring.inFlight)
		}
		if err := k.streams.Turn(k.choose(4) > 0); err != nil {
			k.Fatal(err)
		}
		for n := k.choose(len(k.kept) + 1); n > 0; n-- {
			k.giveBack(k.choose(len(k.kept)))
		}
		for range k.choose(3) {
			k.work()
		}
	}
	for len(k.kept) > 0 {
		k.giveBack(0)
	}
	if err := k.streams.Close(); err != nil {
		k.Fatal(err)
	}
	for i, p := range k.peers {
		err, told := k.closed[k.byFD[fakeSocket+i]]
		switch {
		case !p.closed || !told:
			k.Errorf("peer %d: closed %v, handler told %v; want both", i, p.closed, told)
		case !bytes.HasPrefix(p.sent, p.got):
			k.Errorf("peer %d got %q, want the begin of %q", i, p.got, p.sent)
		case err == io.EOF && !bytes.Equal(p.got, p.sent):
			k.Errorf("peer %d got %q, want all of %q", i, p.got, p.sent)
		case (err == io.EOF) != (!p.reset && !p.refused) && !(err == io.EOF && p.reset):
			k.Errorf("peer %d, reset %v, refused %v: closed with %v", i, p.reset, p.refused, err)
		}
	}
	b := k.kernel.buffers
	if b.Free() != b.Count() || len(k.ring.inFlight) > 0 {
		k.Errorf("%d of %d buffers free, in flight: %+v; want all and nothing", b.Free(), b.Count(), k.ring.inFlight)
	}
}

func (k *chaos) Opened(s *Stream) { k.byFD[s.fd] = s }

func (k *chaos) Received(s *Stream, b Buffer) error {
	k.kept = append(k.kept, keptBuffer{b, bytes.Clone(b.Bytes)})
	if k.choose(100) == 0 {
		k.peers[s.fd-fakeSocket].refused = true
		return errAny
	}
	return s.Send(b.Bytes)
}

func (k *chaos) Closed(s *Stream, err error) {
	if _, ok := k.closed[s]; ok {
		k.Errorf("socket %d: closed twice", s.fd)
	}
	k.closed[s] = err
}

func (k *chaos) giveBack(i int) {
	b := k.kept[i]
	k.kept = slices.Delete(k.kept, i, i+1)
	if !bytes.Equal(b.buffer.Bytes, b.had) {
		k.Errorf("buffer %d has %q, want what was received, %q", b.buffer.ID, b.buffer.Bytes, b.had)
	}
	k.streams.GiveBack(b.buffer)
}

// submit takes a submission.
func (k *chaos) submit(s SQE) {
	switch s.Op {
	case OpCancel:
		k.cancel(s)
		return
	case OpSend:
		k.flying[s.UserData] = bytes.Clone(s.Buffer)
	case OpClose:
		for _, other := range k.ring.inFlight {
			if other.FD == s.FD {
				k.Errorf("close of socket %d with %v in flight", s.FD, other.Op)
			}
		}
	}
	k.ring.inFlight = append(k.ring.inFlight, s)
}

func (k *chaos) cancel(s SQE) {
	i := slices.IndexFunc(k.ring.inFlight, func(other SQE) bool { return other.UserData == s.Target })
	own := CQE{UserData: s.UserData}
	switch {
	case i < 0:
		own.Result = int32(errno(unix.ENOENT))
		k.ring.post(own)
	case k.choose(4) == 0:
		own.Result = int32(errno(unix.EALREADY))
		k.ring.post(own)
	case k.choose(2) == 0:
		k.ring.post(own)
		k.complete(i, errno(unix.ECANCELED), 0)
	default:
		k.complete(i, errno(unix.ECANCELED), 0)
		k.ring.post(own)
	}
}

// complete completes an operation. One whose completion finds no room stays in
// flight no longer.
func (k *chaos) complete(i, result int, flags CQEFlags) {
	if len(k.ring.completions) == k.ring.room || len(k.ring.waiting) > 0 {
		flags &^= CQEMore
	}
	s := k.ring.completeAt(i, result, flags)
	if s.Op == OpSend {
		if !bytes.Equal(s.Buffer, k.flying[s.UserData]) {
			k.Errorf("send of %q became one of %q", k.flying[s.UserData], s.Buffer)
		}
		delete(k.flying, s.UserData)
	}
}

// more is what the completion of a multishot says, mostly that it goes on.
func (k *chaos) more() CQEFlags {
	if k.choose(8) == 0 {
		return 0
	}
	return CQEMore
}

// work completes one of the operations in flight, if it can.
func (k *chaos) work() bool {
	n := len(k.ring.inFlight)
	if n == 0 {
		return false
	}
	for i, first := 0, k.choose(n); i < n; i++ {
		if k.step((first + i) % n) {
			return true
		}
	}
	return false
}

func (k *chaos) step(i int) bool {
	s := k.ring.inFlight[i]
	switch s.Op {
	case OpRead:
		k.complete(i, 8, 0) // somebody called Wake
	case OpAccept:
		return k.accept(i)
	case OpReceive:
		k.receive(i, k.peers[s.FD-fakeSocket])
	case OpSend:
		k.send(i, k.peers[s.FD-fakeSocket])
	case OpClose:
		p := k.peers[s.FD-fakeSocket]
		if p.closed {
			k.Errorf("socket %d closed twice", s.FD)
		}
		p.closed = true
		k.complete(i, 0, 0)
	default:
		k.Fatalf("submission %+v, which Streams has no reason for", s)
	}
	return true
}

func (k *chaos) accept(i int) bool {
	switch {
	case k.toAccept == 0:
		return false
	case k.choose(16) == 0:
		k.complete(i, errno(unix.ECONNABORTED), 0)
		return true
	case k.choose(16) == 0 && k.streams.Len() > 0:
		k.complete(i, errno(unix.EMFILE), 0)
		return true
	}
	k.toAccept--
	p := &chaosPeer{sent: make([]byte, k.choose(300))}
	for i := range p.sent {
		p.sent[i] = byte('a' + (len(k.peers)+i)%26)
	}
	p.unsent = p.sent
	k.peers = append(k.peers, p)
	k.complete(i, fakeSocket+len(k.peers)-1, k.more())
	return true
}

func (k *chaos) receive(i int, p *chaosPeer) {
	switch {
	case p.reset:
		k.complete(i, errno(unix.ECONNRESET), 0)
		return
	case k.choose(200) == 0:
		p.reset = true
		k.complete(i, errno(unix.ETIMEDOUT), 0)
		return
	case k.choose(16) == 0:
		k.complete(i, errno(unix.EAGAIN), 0)
		return
	}
	if len(p.unsent) == 0 {
		k.complete(i, 0, 0)
		return
	}
	flags, n, ok := k.kernel.take(p.unsent[:1+k.choose(len(p.unsent))])
	if !ok {
		k.complete(i, errno(unix.ENOBUFS), 0)
		return
	}
	p.unsent = p.unsent[n:]
	k.complete(i, n, flags|k.more())
}

func (k *chaos) send(i int, p *chaosPeer) {
	buffer := k.ring.inFlight[i].Buffer
	switch {
	case p.reset:
		k.complete(i, errno(unix.EPIPE), 0)
	case k.choose(16) == 0:
		k.complete(i, errno(unix.EAGAIN), 0)
	default:
		n := 1 + k.choose(len(buffer))
		p.got = append(p.got, buffer[:n]...)
		k.complete(i, n, 0)
	}
}

// Whatever the kernel makes of the operations, each peer gets what it has sent,
// is closed once, and no buffer is lost or used by two.
func TestChaos(t *testing.T) {
	seed := rand.Uint64()
	for i := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, i))
		newChaos(t, random.IntN).run()
		if t.Failed() {
			t.Fatalf("seed %d, round %d", seed, i)
		}
	}
}

// The same, with choices that a fuzzer finds.
func FuzzChaos(f *testing.F) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 4 {
		p := make([]byte, 400)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		// Beyond its choices it goes on at random, so that it comes to an end.
		random := rand.New(rand.NewPCG(uint64(len(p)), 0))
		choose := func(n int) int {
			if len(p) == 0 {
				return random.IntN(n)
			}
			c := int(p[0]) % n
			p = p[1:]
			return c
		}
		newChaos(t, choose).run()
	})
}
