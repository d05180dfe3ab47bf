// Package netloop drives connections. It hands what a peer sends to a Session,
// the protocol's state machine, and sends what the session answers: bytes,
// ranges of files, answers that are not there yet (Deferred) and streams of
// pushed ones. It knows no protocol, and sessions know no sockets.
//
// The parts that any driver needs know no goroutines of a connection either:
// Session and Deferred are the contract (session.go), Out is what a session
// writes into (out.go), answers keeps the order of what is to be sent
// (answers.go), Budget bounds the memory that all connections receive into
// (budget.go), admission bounds the connections (admission.go).
//
// The driver here is a goroutine per connection (conn.go), the reader. It
// waits for the socket to become readable without holding a buffer, receives
// (receive.go), calls the session and sends the answers itself (pump.go). When
// an answer becomes ready later, its wake starts a goroutine for as long as
// there is something to send, so a connection that waits costs one goroutine
// and at most one timer. A go statement costs 0.30 us, handing over to a
// parked goroutine 0.32.
//
// # Invariants
//
//   - One connection's session and its Deferreds are called one at a time,
//     under conn.mu. Nothing that can wait is done under it.
//   - Bytes are sent by whoever holds the token of the connection, conn.pump:
//     the reader, or the one goroutine that a wake has started.
//   - A Range that was given to an Out is closed exactly once, a Deferred is
//     either done or cancelled, exactly once, and Session.Close comes last.
//   - What a connection holds is bounded: received bytes by the Budget,
//     answers by Options.InFlightBytes and MaxQueuedAnswers, beyond which
//     nothing more is received.
//
// # How a connection ends
//
//   - The peer closes: what is ready is sent, what still waits is cancelled. A
//     peer that shuts down only its sending side gets no later answer.
//   - The session returns an error, or Server.Shutdown: nothing more is
//     received, every answer in order is waited for and sent, streams are
//     cancelled, and the peer gets the time to read the rest before the
//     connection is closed, because the kernel answers unread bytes with a
//     reset that would destroy it.
//   - Anything else, such as a reset, a deadline or a panic: at once.
//
// # Lock order
//
// Server.mu, conn.mu and Budget.mu are never held together with one another;
// conn.endMu may be taken under conn.mu, and nothing under it. A session's own
// locks come under conn.mu, so nothing that holds one calls the Server. A wake
// takes no lock and may be called under any.
package netloop
