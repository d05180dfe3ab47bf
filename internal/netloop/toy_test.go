package netloop

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollway/rollway/zerocopy"
)

// lab is a server of toy sessions and everything they account for. When the
// test ends it checks that nothing leaked: Ranges, Deferreds, sessions,
// buffers and goroutines.
//
// A toy frame is a line, or a line and as many bytes as it says:
//
//	echo TEXT        answers TEXT
//	bulk N           with N bytes behind the line: answers "N bytes"
//	bytes N          answers N bytes from memory
//	range AT LEN     answers "range LEN" and that part of the file
//	two AT LEN       the same as one answer of two Ranges with bytes around
//	defer ID [MS]    a Deferred that the test makes ready, or that answers "late ID" after MS
//	after ID         a Deferred that puts a Range, made ready by the test
//	stream ID N LEN  pushes N frames of "ID i LEN" and LEN bytes of the file
//	quit             ends the connection in order
//	bad              a protocol error, answered by "no"
//	panic            panics
//	panicpoll        a Deferred whose Poll panics after a Range
type lab struct {
	t      testing.TB
	server *Server
	budget *Budget
	file   *os.File
	data   []byte
	log    *logBuffer

	sessions, closed   atomic.Int64
	ranges, released   atomic.Int64
	deferred, finished atomic.Int64
	cancelled          atomic.Int64
	frames             atomic.Int64

	mu      sync.Mutex
	waiting map[string]*toyDeferred
}

// logBuffer keeps what was logged.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// newLab starts a server with o, on loopback and under cubic, since the
// default may be bbr, which paces even loopback.
func newLab(t testing.TB, o Options) *lab {
	t.Helper()
	return newLabOf(t, o, nil)
}

// newLabOf is newLab with sessions of another kind, unless newSession is nil.
func newLabOf(t testing.TB, o Options, newSession func(Peer) Session) *lab {
	t.Helper()
	goroutines := runtime.NumGoroutine()
	l := &lab{t: t, log: new(logBuffer), waiting: map[string]*toyDeferred{}}
	l.data = make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{}).Read(l.data)
	var err error
	if l.file, err = os.Create(filepath.Join(t.TempDir(), "00000000000000000042.log")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.file.Write(l.data); err != nil {
		t.Fatal(err)
	}
	if o.Budget == nil {
		if o.Budget, err = NewBudget(256 << 20); err != nil {
			t.Fatal(err)
		}
	}
	l.budget = o.Budget
	o.Log = slog.New(slog.NewTextHandler(l.log, nil))
	o.Congestion = "cubic"
	ln, err := Listen(context.Background(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if newSession == nil {
		newSession = l.newSession
	}
	if l.server, err = Serve(ln, newSession, o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.server.Close()
		l.file.Close()
		l.accounts()
		eventually(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= goroutines })
	})
	return l
}

// accounts checks that all was given back, once no connection is left.
func (l *lab) accounts() {
	l.t.Helper()
	f := func(what string, got, want int64) {
		l.t.Helper()
		if got != want {
			l.t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	f("sessions closed", l.closed.Load(), l.sessions.Load())
	f("ranges released", l.released.Load(), l.ranges.Load())
	f("deferreds done or cancelled", l.finished.Load()+l.cancelled.Load(), l.deferred.Load())
	f("budget in use", l.budget.InUse(), 0)
	f("connections", int64(l.server.Stats().Connections), 0)
}

// quiet waits until no connection is left and checks the accounts.
func (l *lab) quiet() {
	l.t.Helper()
	eventually(l.t, "connections end", func() bool { return l.server.Stats().Connections == 0 })
	l.accounts()
}

// Release implements zerocopy.Releaser for every Range of the lab.
func (l *lab) Release() { l.released.Add(1) }

func (l *lab) newRange(at, length int64) zerocopy.Range {
	l.ranges.Add(1)
	return zerocopy.NewRange(l.file, at, length, l)
}

func (l *lab) newSession(Peer) Session {
	l.sessions.Add(1)
	return &toySession{lab: l}
}

// ready makes the Deferred of that name put text, and done ends it.
func (l *lab) ready(id, text string, done bool) {
	l.t.Helper()
	var d *toyDeferred
	eventually(l.t, "deferred "+id, func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		d = l.waiting[id]
		return d != nil
	})
	d.mu.Lock()
	d.text += text
	d.done = d.done || done
	wake := d.wake
	d.mu.Unlock()
	if wake != nil {
		wake()
	}
}

// toySession is one connection of a lab.
type toySession struct {
	lab    *lab
	busy   atomic.Bool
	open   int // Deferreds neither done nor cancelled
	closed bool
}

// enter checks that the driver calls one method at a time.
func (s *toySession) enter() func() {
	if !s.busy.CompareAndSwap(false, true) {
		s.lab.t.Error("two methods of one session at the same time")
	}
	return func() { s.busy.Store(false) }
}

func (s *toySession) Receive(p []byte, out *Out) (n, need int, err error) {
	defer s.enter()()
	for out.Room() > 0 {
		end := bytes.IndexByte(p[n:], '\n')
		if end < 0 {
			return n, 0, nil
		}
		line := string(p[n : n+end])
		size := end + 1
		if length, ok := strings.CutPrefix(line, "bulk "); ok {
			size += number(length)
			if size > len(p)-n {
				return n, size, nil
			}
		}
		n += size
		s.lab.frames.Add(1)
		if err := s.handle(line, out); err != nil {
			return n, 0, err
		}
	}
	return n, 0, nil
}

func (s *toySession) handle(line string, out *Out) error {
	verb, rest, _ := strings.Cut(line, " ")
	arg := strings.Fields(rest)
	put := func(format string, args ...any) { out.Buf = fmt.Appendf(out.Buf, format, args...) }
	switch verb {
	case "echo":
		put("%s\n", rest)
	case "bulk":
		put("%s bytes\n", rest)
	case "bytes":
		out.Buf = append(out.Buf, s.lab.data[:number(rest)]...)
	case "range":
		put("range %s\n", arg[1])
		out.Range(s.lab.newRange(int64(number(arg[0])), int64(number(arg[1]))))
	case "two":
		at, length := int64(number(arg[0])), int64(number(arg[1]))
		put("two %d\n", length)
		out.Range(s.lab.newRange(at, length/2))
		put("and\n")
		out.Range(s.lab.newRange(at+length/2, length-length/2))
		put("end\n")
	case "defer", "after":
		d := &toyDeferred{session: s, id: arg[0], ranged: verb == "after"}
		if len(arg) > 1 {
			d.deadline = time.Now().Add(time.Duration(number(arg[1])) * time.Millisecond)
		}
		s.opened()
		out.Defer(d)
		s.lab.mu.Lock()
		s.lab.waiting[d.id] = d
		s.lab.mu.Unlock()
	case "stream":
		s.opened()
		out.Stream(&toyStream{session: s, id: arg[0], count: number(arg[1]), size: int64(number(arg[2]))})
	case "quit":
		put("bye\n")
		return io.EOF
	case "bad":
		put("no\n")
		return errors.New("no such verb: bad")
	case "panic":
		panic("toy")
	case "panicpoll":
		s.opened()
		out.Defer(&toyPanic{session: s})
	default:
		return fmt.Errorf("no such verb: %.20q", verb)
	}
	return nil
}

func (s *toySession) opened() {
	s.lab.deferred.Add(1)
	s.open++
}

func (s *toySession) ended(count *atomic.Int64) {
	if s.closed {
		s.lab.t.Error("a Deferred is called after Session.Close")
	}
	count.Add(1)
	s.open--
}

func (s *toySession) Close() {
	defer s.enter()()
	if s.closed || s.open != 0 {
		s.lab.t.Errorf("Close with %d Deferreds open, closed before: %v", s.open, s.closed)
	}
	s.closed = true
	s.lab.closed.Add(1)
}

func number(s string) int {
	n, err := strconv.Atoi(strings.TrimSpace(s))
	if err != nil {
		panic(err)
	}
	return n
}

// toyDeferred puts what the test gave it.
type toyDeferred struct {
	session  *toySession
	id       string
	ranged   bool
	deadline time.Time

	mu   sync.Mutex
	text string
	done bool
	wake func()
}

func (d *toyDeferred) Poll(out *Out, wake func()) bool {
	defer d.session.enter()()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.wake = wake
	if !d.deadline.IsZero() && !time.Now().Before(d.deadline) {
		d.text, d.done = "late "+d.id+"\n", true
	}
	out.Buf = append(out.Buf, d.text...)
	d.text = ""
	if d.done {
		if d.ranged {
			out.Range(d.session.lab.newRange(0, 100))
		}
		d.session.ended(&d.session.lab.finished)
	}
	return d.done
}

func (d *toyDeferred) Deadline() time.Time { return d.deadline }

func (d *toyDeferred) Cancel() {
	defer d.session.enter()()
	d.session.ended(&d.session.lab.cancelled)
}

// toyStream pushes frames for as long as there is room, then wakes itself.
type toyStream struct {
	session *toySession
	id      string
	count   int
	size    int64
	next    int
}

func (d *toyStream) Poll(out *Out, wake func()) bool {
	defer d.session.enter()()
	for d.next < d.count {
		if out.Room() == 0 {
			wake()
			return false
		}
		out.Buf = fmt.Appendf(out.Buf, "%s %d %d\n", d.id, d.next, d.size)
		out.Range(d.session.lab.newRange(0, d.size))
		d.next++
	}
	d.session.ended(&d.session.lab.finished)
	return true
}

func (d *toyStream) Deadline() time.Time { return time.Time{} }

func (d *toyStream) Cancel() {
	defer d.session.enter()()
	d.session.ended(&d.session.lab.cancelled)
}

// toyPanic panics when it is polled, with output half put.
type toyPanic struct{ session *toySession }

func (d *toyPanic) Poll(out *Out, _ func()) bool {
	out.Range(d.session.lab.newRange(0, 10))
	panic("toy poll")
}
func (d *toyPanic) Deadline() time.Time { return time.Time{} }
func (d *toyPanic) Cancel()             { d.session.ended(&d.session.lab.cancelled) }

// peer is a client of a lab.
type peer struct {
	t   testing.TB
	tcp *net.TCPConn
	r   *bufio.Reader
}

// dial connects to the lab. The connection ends with the test at the latest.
func (l *lab) dial() *peer {
	l.t.Helper()
	tcp, err := net.DialTCP("tcp", nil, l.server.Addr().(*net.TCPAddr))
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { tcp.Close() })
	if err := zerocopy.SetCongestion(tcp, "cubic"); err != nil {
		l.t.Fatal(err)
	}
	return &peer{t: l.t, tcp: tcp, r: bufio.NewReader(impatient{tcp})}
}

// impatient bounds each read, so that a test ends to whose peer nothing comes any
// more. All reads together may take as long as the machine needs.
type impatient struct{ tcp *net.TCPConn }

func (i impatient) Read(p []byte) (int, error) {
	i.tcp.SetReadDeadline(time.Now().Add(20 * time.Second))
	return i.tcp.Read(p)
}

// send writes the frames, each a line.
func (p *peer) send(lines ...string) {
	p.t.Helper()
	if _, err := io.WriteString(p.tcp, strings.Join(lines, "\n")+"\n"); err != nil {
		p.t.Fatal(err)
	}
}

// line reads a line.
func (p *peer) line() string {
	p.t.Helper()
	s, err := p.r.ReadString('\n')
	if err != nil {
		p.t.Fatalf("read %q, %v; want a line", s, err)
	}
	return strings.TrimSuffix(s, "\n")
}

// want reads lines and compares.
func (p *peer) want(lines ...string) {
	p.t.Helper()
	for _, want := range lines {
		if got := p.line(); got != want {
			p.t.Fatalf("read %.80q, want %q", got, want)
		}
	}
}

// wantBytes reads as many bytes as want has and compares.
func (p *peer) wantBytes(want []byte) {
	p.t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(p.r, got); err != nil {
		p.t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		p.t.Fatalf("read %d bytes that differ from those wanted", len(got))
	}
}

// wantEnd reads until the connection ends, in order, with nothing more.
func (p *peer) wantEnd() {
	p.t.Helper()
	rest, err := io.ReadAll(p.r)
	if len(rest) != 0 || err != nil {
		p.t.Fatalf("read %d more bytes %.80q, %v; want the end", len(rest), rest, err)
	}
}

// wantGone reads until the connection ends, however it does.
func (p *peer) wantGone() {
	p.t.Helper()
	_, err := io.Copy(io.Discard, p.r)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatal("the connection is still open")
	}
}

// eventually waits until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			buf := make([]byte, 1<<20)
			t.Fatalf("%s: not within 20 s\n%s", what, buf[:runtime.Stack(buf, true)])
		}
	}
}

// shutdown ends the lab's server in order, within 20 s.
func (l *lab) shutdown() error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	return l.server.Shutdown(ctx)
}
