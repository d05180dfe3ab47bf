package netloop

import (
	"context"
	"net"
)

// Listen listens on a TCP address such as "127.0.0.1:9192"; port 0 picks a free
// one.
//
// Package net would accept Multipath TCP too, since Go 1.24. Its sockets do
// not know TCP_USER_TIMEOUT, and its connections cannot be told from others by
// who benchmarks sendfile.
func Listen(ctx context.Context, address string) (*net.TCPListener, error) {
	var config net.ListenConfig
	config.SetMultipathTCP(false)
	ln, err := config.Listen(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return ln.(*net.TCPListener), nil
}
