package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/twmb/franz-go/pkg/kfake"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "peers: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "kfake":
		return serveKFake()
	case len(args) == 2 && args[0] == "nats", len(args) == 3 && args[0] == "nats" && args[2] == "sync":
		return serveNATS(args[1], len(args) == 3)
	case len(args) == 2 && args[0] == "nats-client":
		return driveNATS(args[1])
	}
	return errors.New("usage: peers kfake | peers nats DIR [sync] | peers nats-client ADDR")
}

// serveKFake serves Kafka's protocol from memory.
func serveKFake() error {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		return err
	}
	defer c.Close()
	fmt.Printf("ready kafka=%s version=%s\n", c.ListenAddrs()[0], version("github.com/twmb/franz-go/pkg/kfake"))
	untilToldTo()
	return nil
}

// readyTime is how long NATS may take to accept connections.
const readyTime = time.Minute

// serveNATS serves JetStream from files in dir, with the settings that the server
// has when it is started with a store directory and nothing else.
func serveNATS(dir string, sync bool) error {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: dir, SyncAlways: sync, NoSigs: true, NoLog: true})
	if err != nil {
		return err
	}
	s.Start()
	if !s.ReadyForConnections(readyTime) {
		s.Shutdown()
		return fmt.Errorf("nats-server is not ready after %v", readyTime)
	}
	if !s.JetStreamEnabled() {
		s.Shutdown()
		return fmt.Errorf("nats-server has no JetStream in %s", dir)
	}
	port := s.Addr().(*net.TCPAddr).Port
	fmt.Printf("ready nats=%s version=%s\n", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), server.VERSION)
	untilToldTo()
	s.Shutdown()
	s.WaitForShutdown()
	return nil
}

// untilToldTo waits for SIGTERM. Who started this has the kernel kill it when they
// die themselves.
func untilToldTo() {
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	<-told
}
