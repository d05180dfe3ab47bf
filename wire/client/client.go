package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/zerocopy"
)

// Client is one connection to a server. Its methods may be called
// concurrently. Close it.
type Client struct {
	addr    string
	conn    net.Conn
	options Options
	welcome wire.Welcome
	maxSend int // payload bytes of a frame that the server takes
	maxRecv int // payload bytes of a frame that this client takes

	slots  chan struct{} // one element per unanswered call or live subscription
	broken chan struct{} // closed when err is set
	wake   chan struct{} // one element: the writer has something to do

	// Ids of requests are even, those of subscriptions odd, so that they never
	// meet. requestIDs counts by 2 and wraps: long before it meets an id again,
	// that request has been answered.
	requestIDs atomic.Uint32

	loops      sync.WaitGroup
	writerDone chan struct{}

	mu sync.Mutex
	// err is a *ConnectionError from the moment that the connection is given
	// up.
	err error // +checklocks:mu
	// writeErr is why the writer has stopped; the reader looks for a better
	// reason until its deadline.
	writeErr error // +checklocks:mu
	// out is queued for the writer, in order.
	out []outFrame // +checklocks:mu
	// writing is what the writer has taken and not yet reported as written.
	writing []outFrame // +checklocks:mu
	// pending are the requests whose answers are awaited.
	// Invariant: the frames of those after pending.sent are in out, in the same order.
	pending requestQueue // +checklocks:mu
	// subscriptions are those that the server has not ended, by id.
	subscriptions map[uint32]*Subscription // +checklocks:mu
	// subscriptionID is the last one given.
	subscriptionID uint32 // +checklocks:mu
	// credits are the subscriptions with a grant that is not sent yet.
	credits []*Subscription // +checklocks:mu
}

// drainTimeout is how long the reader goes on after the writer failed: the
// server may have said why it closes, or answered what it got.
const drainTimeout = time.Second

// Dial connects to addr, "host:port", and exchanges Hello and Welcome. ctx
// bounds the dialing, not the life of the connection.
//
// Errors: those of Options.Validate; else a *ConnectionError, which holds a
// *wire.Error if the server has refused the connection.
func Dial(ctx context.Context, addr string, options Options) (*Client, error) {
	if err := options.Validate(); err != nil {
		return nil, err
	}
	options = options.withDefaults()
	ctx, cancel := context.WithTimeout(ctx, options.DialTimeout)
	defer cancel()

	conn, err := options.Dial(ctx, addr)
	if err != nil {
		return nil, &ConnectionError{Addr: addr, Err: err}
	}
	if options.Congestion != "" {
		if err := setCongestion(conn, options.Congestion); err != nil {
			conn.Close()
			return nil, &ConnectionError{Addr: addr, Err: err}
		}
	}
	c, err := handshake(ctx, conn, addr, options)
	if err != nil {
		conn.Close()
		return nil, &ConnectionError{Addr: addr, Err: err}
	}
	return c, nil
}

func setCongestion(conn net.Conn, algorithm string) error {
	tcp, ok := conn.(*net.TCPConn)
	if !ok {
		return fmt.Errorf("congestion control %s of a %T, want a *net.TCPConn", algorithm, conn)
	}
	return zerocopy.SetCongestion(tcp, algorithm)
}

// handshake exchanges Hello and Welcome on conn and starts the client. options
// have their defaults. On an error conn is the caller's.
func handshake(ctx context.Context, conn net.Conn, addr string, options Options) (*Client, error) {
	// A deadline in the past interrupts the exchange when ctx ends. stop
	// reports whether that has not begun: only then may the deadline be
	// removed.
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	r := newReceiver(conn, wire.MaxHelloFrame)
	welcome, err := exchangeHello(conn, r, options.hello())
	if !stop() {
		return nil, fmt.Errorf("hello: %w", context.Cause(ctx))
	}
	if err != nil {
		return nil, fmt.Errorf("hello: %w", err)
	}
	c := newClient(conn, addr, options, welcome)
	r.maxFrame = c.maxRecv
	c.start(r)
	return c, nil
}

// exchangeHello sends the Hello and reads what answers it.
func exchangeHello(conn net.Conn, r *receiver, hello wire.Hello) (wire.Welcome, error) {
	const id = 1
	if _, err := conn.Write(hello.AppendTo(nil, id)); err != nil {
		return wire.Welcome{}, err
	}
	h, err := r.head()
	if errors.Is(err, io.EOF) {
		return wire.Welcome{}, errors.New("closed by the server without an answer, want Welcome")
	}
	if err != nil {
		return wire.Welcome{}, err
	}
	f, err := r.frame(h)
	if err != nil {
		return wire.Welcome{}, err
	}
	if h.Kind == wire.KindError {
		return wire.Welcome{}, serverError(f)
	}
	if h.Kind == wire.KindWelcome && h.RequestID != id {
		return wire.Welcome{}, malformedf("Welcome with request id %d, want %d", h.RequestID, id)
	}
	welcome, err := wire.ParseWelcome(f)
	if err != nil {
		return wire.Welcome{}, malformed(err)
	}
	return welcome, nil
}

// serverError returns the Error in f as the reason for which the server closes
// the connection.
func serverError(f wire.Frame) error {
	e, err := wire.ParseError(f)
	if err != nil {
		return malformed(err)
	}
	return fmt.Errorf("closed by the server: %w", e)
}

func newClient(conn net.Conn, addr string, options Options, welcome wire.Welcome) *Client {
	return &Client{
		addr:           addr,
		conn:           conn,
		options:        options,
		welcome:        welcome,
		maxSend:        int(welcome.MaxFrame),
		maxRecv:        min(int(welcome.MaxFrame), options.MaxFrame),
		slots:          make(chan struct{}, options.MaxRequests),
		broken:         make(chan struct{}),
		wake:           make(chan struct{}, 1),
		writerDone:     make(chan struct{}),
		subscriptions:  map[uint32]*Subscription{},
		subscriptionID: 1<<32 - 1,
	}
}

// start starts reader and writer. The connection's end stops them.
func (c *Client) start(r *receiver) {
	c.loops.Add(2)
	go func() {
		defer c.loops.Done()
		c.finish(c.readLoop(r))
	}()
	go func() {
		defer c.loops.Done()
		defer close(c.writerDone)
		c.writeLoop()
	}()
}

// Welcome returns what the server has said about itself and its limits.
func (c *Client) Welcome() wire.Welcome { return c.welcome }

// Addr returns the address that was dialed.
func (c *Client) Addr() string { return c.addr }

// Err returns nil as long as the connection stands, then the *ConnectionError
// that its calls return.
func (c *Client) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Close ends the connection and waits until its goroutines have. All calls in
// progress return ErrClosed in a *ConnectionError, and what was produced and
// not yet answered is in doubt: close producers before. It returns nil, and
// may be called more than once.
func (c *Client) Close() error {
	c.giveUp(ErrClosed)
	c.loops.Wait()
	return nil
}

// giveUp makes err the reason for which the connection has ended, unless there
// is one already, and closes it. Requests learn of it from the reader.
func (c *Client) giveUp(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		return
	}
	c.err = &ConnectionError{Addr: c.addr, Err: err}
	close(c.broken)
	c.conn.Close()
}

// finish is the reader's last act, readErr being why it stopped: it tells all
// that wait.
func (c *Client) finish(readErr error) {
	c.giveUp(c.reason(readErr))
	<-c.writerDone // the connection is closed, so it does not wait

	c.mu.Lock()
	err, pending, subscriptions := c.err, c.pending, c.subscriptions
	taken, queued := c.writing, c.out
	c.pending, c.subscriptions = requestQueue{}, nil
	c.writing, c.out, c.credits = nil, nil, nil
	c.mu.Unlock()

	if !errors.Is(err, ErrClosed) {
		c.options.Log.Warn("connection broken", "addr", c.addr, "cause", err.(*ConnectionError).Err,
			"unanswered", pending.count, "subscriptions", len(subscriptions))
	}
	for i := range pending.count {
		pending.at(i).req.lost(err, i < pending.sent)
	}
	for _, f := range taken {
		f.lost(err, true)
	}
	for _, f := range queued {
		f.lost(err, false)
	}
	for _, s := range subscriptions {
		s.lost(err)
	}
}

// reason chooses between why the reader and why the writer has stopped. What
// the server has said comes first; when the writer failed, the reader's own
// error is but the consequence.
func (c *Client) reason(readErr error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var said *wire.Error
	switch {
	case errors.As(readErr, &said):
		return readErr
	case c.writeErr != nil:
		return c.writeErr
	case errors.Is(readErr, io.EOF):
		return errors.New("closed by the server")
	}
	return readErr
}

// readLoop takes frames until one cannot be taken.
func (c *Client) readLoop(r *receiver) error {
	for {
		h, err := r.head()
		if err != nil {
			return err
		}
		if err := c.takeFrame(r, h); err != nil {
			return err
		}
	}
}

// takeFrame takes the payload of h and hands it to whom it is for. An error
// ends the connection.
func (c *Client) takeFrame(r *receiver, h wire.Head) error {
	c.mu.Lock()
	subscription := c.subscriptions[h.RequestID]
	var front unanswered
	if c.pending.sent > 0 {
		front = *c.pending.at(0)
	}
	c.mu.Unlock()

	switch {
	case h.Kind == wire.KindError:
		return c.takeError(r, h, subscription, front)
	case h.Kind == wire.KindData && subscription != nil:
		ended, err := subscription.receive(r, h)
		if ended && err == nil {
			c.removeSubscription(subscription)
		}
		return err
	case front.req == nil || front.id != h.RequestID:
		return malformedf("%s for request id %d, want an answer to %s", h.Kind, h.RequestID, front)
	case front.req.wants() != h.Kind:
		return malformedf("%s for request id %d, want %s", h.Kind, h.RequestID, front.req.wants())
	}
	if err := front.req.receive(r, h); err != nil {
		return err
	}
	c.popRequest()
	return nil
}

// takeError takes an Error frame. One that is neither about a subscription nor
// about the request that is to be answered next concerns the connection: the
// server closes it after that.
func (c *Client) takeError(r *receiver, h wire.Head, subscription *Subscription, front unanswered) error {
	f, err := r.frame(h)
	if err != nil {
		return err
	}
	of := h.RequestID != 0
	switch {
	case of && subscription != nil:
	case of && front.req != nil && front.id == h.RequestID:
	default:
		return serverError(f)
	}
	e, err := wire.ParseError(f)
	if err != nil {
		return malformed(err)
	}
	if subscription != nil {
		c.removeSubscription(subscription)
		subscription.refused(e)
		return nil
	}
	front.req.refused(e)
	c.popRequest()
	return nil
}

// popRequest removes the request that was answered.
func (c *Client) popRequest() {
	c.mu.Lock()
	front := c.pending.pop()
	c.mu.Unlock()
	if front.slot {
		c.releaseSlot()
	}
}

// removeSubscription forgets a subscription that the server has ended.
func (c *Client) removeSubscription(s *Subscription) {
	c.mu.Lock()
	delete(c.subscriptions, s.id)
	c.mu.Unlock()
	c.releaseSlot()
}

// String describes the request for an error.
func (u unanswered) String() string {
	if u.req == nil {
		return "nothing"
	}
	return fmt.Sprintf("request id %d (%s)", u.id, u.req.wants())
}

// nextRequestID returns an id for a request that is not a subscription.
func (c *Client) nextRequestID() uint32 {
	for {
		if id := c.requestIDs.Add(2); id != 0 {
			return id
		}
	}
}
