package iouring_test

import (
	"errors"
	"log"
	"net"
	"runtime"

	"github.com/rollway/rollway/iouring"
)

// echo sends back what it receives.
type echo struct{ streams *iouring.Streams }

func (e *echo) Opened(*iouring.Stream) {}

func (e *echo) Received(s *iouring.Stream, b iouring.Buffer) error {
	defer e.streams.GiveBack(b)
	return s.Send(b.Bytes) // a copy
}

func (e *echo) Closed(_ *iouring.Stream, err error) { log.Print(err) }

// An echo server.
func Example() {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	// A descriptor of our own. It is held until the ring is closed: the collector
	// would close its number.
	listener, err := ln.(*net.TCPListener).File()
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()
	ln.Close()

	runtime.LockOSThread() // the ring is for this thread
	ring, err := iouring.Open(iouring.Options{})
	if errors.Is(err, iouring.ErrUnavailable) {
		log.Fatal("serve by something else: ", err)
	}
	if err != nil {
		log.Fatal(err)
	}
	buffers, err := iouring.NewBuffers(iouring.BuffersOptions{Count: 256, Size: 16 << 10})
	if err != nil {
		log.Fatal(err)
	}
	if err := buffers.Register(ring); err != nil {
		log.Fatal(err)
	}
	e := new(echo)
	if e.streams, err = iouring.NewStreams(ring, buffers, e, iouring.StreamsOptions{}); err != nil {
		log.Fatal(err)
	}
	e.streams.Listen(int(listener.Fd()))
	for {
		if err := e.streams.Turn(true); err != nil {
			log.Fatal(err)
		}
	}
}
