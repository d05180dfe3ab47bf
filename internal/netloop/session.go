package netloop

import (
	"net/netip"
	"time"
)

// Session is one connection's protocol state. The driver never calls two
// methods of one session, or of its Deferreds, at the same time, so that they
// need no lock among themselves. No method waits for a socket, nor for
// anything that can take long. A panic closes this connection only.
type Session interface {
	// Receive is given everything that was received and not yet consumed. It
	// consumes whole frames from the front, as many as are there and for as
	// long as out has Room, and puts the answers into out: always whole
	// frames. n is how many bytes it consumed. need is how many bytes in all,
	// counted from p[n], the next frame takes; 0 when that is not known yet.
	//
	// When out has no Room it leaves the rest, which is given to it again
	// when there is some. It may be called with nothing new in p. p is valid
	// only during the call and may be changed in place.
	//
	// An error ends the connection after the answers already in out have
	// left. io.EOF ends it without a log line; any other is the peer's fault
	// and is counted and logged as such.
	Receive(p []byte, out *Out) (n, need int, err error)

	// Close releases what the session holds. It is called once, last, after
	// every Deferred was done or cancelled.
	Close()
}

// Deferred is an answer that is not there yet, such as a commit or a long
// poll, or a stream of pushed answers.
type Deferred interface {
	// Poll puts what is ready into out: whole frames, since other answers may
	// be sent between the output of two calls. done means that nothing more
	// will come; Poll and Cancel are not called again. Otherwise Poll has
	// arranged that wake is called when calling Poll again is worth it; a
	// stream that stopped for want of Room calls wake itself.
	//
	// wake may be called any number of times, from any goroutine, also from
	// within Poll or Receive and after the end of the connection. It never
	// blocks, takes no lock, and is the same function for the whole life of
	// the Deferred. Poll may also be called without a wake.
	Poll(out *Out, wake func()) (done bool)

	// Deadline is when Poll must be called even without a wake; zero means
	// never. It is asked after each Poll that was not done. A Poll after its
	// deadline must be done or move it.
	Deadline() time.Time

	// Cancel is called instead of a further Poll when the connection ends. It
	// releases what the Deferred holds and un-arms its wake.
	Cancel()
}

// Peer names the two ends of a connection.
type Peer struct {
	Remote netip.AddrPort // an IPv4 address is never in its IPv6 form
	Local  netip.AddrPort // as Remote
}
