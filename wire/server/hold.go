package server

import (
	"time"

	"github.com/rollway/rollway/internal/netloop"
)

// filler is an answer of no bytes.
type filler struct{}

func (filler) Poll(*netloop.Out, func()) (done bool) { return true }
func (filler) Deadline() time.Time                   { return time.Time{} }
func (filler) Cancel()                               {}

// hold keeps the driver from receiving, and from calling the session, until an
// answer that waits in out's order is done: it leaves no Room behind it. The
// fillers are gone with the answers before them. Whoever holds looks again in
// the next Receive whether its reason has passed.
func hold(out *netloop.Out) {
	for out.Room() > 0 {
		out.Defer(filler{})
	}
}
