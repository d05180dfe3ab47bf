package netloop

import (
	"errors"
	"fmt"
)

// Why a connection was closed, as the log says it. Session code never sees
// these: it is told by Cancel and Close.
var (
	// ErrServerClosed is returned by Shutdown when answers were cut off, and
	// is the reason of connections that Close ended.
	ErrServerClosed = errors.New("netloop: server closed")

	errPeerClosed    = errors.New("peer closed")
	errFrameTimeout  = errors.New("frame half received")
	errFrameTooLarge = errors.New("frame too large")
	errStalled       = errors.New("peer reads nothing")
	errIdle          = errors.New("idle")
	errUnanswered    = errors.New("answers before the end are not ready")
)

// panicError is what a session panicked with.
type panicError struct {
	value any
	stack []byte
}

func (e *panicError) Error() string { return fmt.Sprintf("session panicked: %v", e.value) }
