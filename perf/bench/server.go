package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"runtime"
	"runtime/pprof"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/perf/bare"
	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/zerocopy"
)

// serverArgument as the first argument makes this program a contestant's
// server; the second is its serverConfig.
const serverArgument = "-server"

// serverConfig says what a server process is to be. Exactly one of its
// contestants is set.
type serverConfig struct {
	Congestion string
	Profile    string `json:",omitempty"` // file to write a CPU profile to

	Rollway *rollwayConfig    `json:",omitempty"`
	Fetcher *fetcherConfig    `json:",omitempty"`
	Sink    *bare.SinkOptions `json:",omitempty"`
}

// rollwayConfig is rollway with its defaults but for what is here.
type rollwayConfig struct {
	Dir       string
	FetchPath zerocopy.Path
}

// fetcherConfig is a bare.Fetcher.
type fetcherConfig struct {
	File string
	Path zerocopy.Path
}

// question is what a server process is asked.
type question struct {
	Peer netip.AddrPort // the client's end of a connection; the zero value is none
}

// report is what it answers.
type report struct {
	TCP        host.TCP          // its own end of that connection
	Kafka      netip.AddrPort    // rollway: where it speaks Kafka's protocol
	GOMAXPROCS int               //
	Syncs      int64             // fdatasyncs so far
	Sent       zerocopy.Snapshot // rollway: what went which way so far
}

// server is what runs in a server process.
type server struct {
	addr  netip.AddrPort
	kafka netip.AddrPort
	syncs func() int64
	sent  func() zerocopy.Snapshot
}

// runServer is the server process, until its input ends. Nothing is closed in
// order: its data is thrown away.
func runServer(argument string) error {
	var c serverConfig
	if err := json.Unmarshal([]byte(argument), &c); err != nil {
		return err
	}
	s, err := c.start()
	if err != nil {
		return err
	}
	if c.Profile != "" {
		f, err := os.Create(c.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	return child.Serve(s.addr, func(line json.RawMessage) (any, error) {
		var q question
		if err := json.Unmarshal(line, &q); err != nil {
			return nil, err
		}
		r := report{GOMAXPROCS: runtime.GOMAXPROCS(0), Kafka: s.kafka, Syncs: s.syncs(), Sent: s.sent()}
		if q.Peer.IsValid() {
			r.TCP, err = host.PeerTCP(q.Peer)
		}
		return r, err
	})
}

func (c serverConfig) start() (server, error) {
	s := server{syncs: func() int64 { return 0 }, sent: func() (none zerocopy.Snapshot) { return none }}
	switch {
	case c.Rollway != nil:
		return c.startRollway()
	case c.Sink != nil:
		sink, err := bare.NewSink(*c.Sink)
		if err != nil {
			return s, err
		}
		s.syncs = sink.Syncs
		return s, c.listen(&s, sink)
	case c.Fetcher != nil:
		f, err := os.Open(c.Fetcher.File)
		if err != nil {
			return s, err
		}
		info, err := f.Stat()
		if err != nil {
			return s, err
		}
		return s, c.listen(&s, &bare.Fetcher{File: f, Size: info.Size(), Path: c.Fetcher.Path})
	}
	return s, fmt.Errorf("server without a contestant, want one")
}

func (c serverConfig) listen(s *server, h bare.Handler) error {
	l, err := bare.Listen(h, c.Congestion)
	if err == nil {
		s.addr = l.Addr()
	}
	return err
}

func (c serverConfig) startRollway() (server, error) {
	b, err := broker.Open(broker.Options{
		DataDir:    c.Rollway.Dir,
		Wire:       "127.0.0.1:0",
		Kafka:      "127.0.0.1:0",
		HTTP:       broker.Off,
		FetchPath:  c.Rollway.FetchPath,
		Congestion: c.Congestion,
		Log:        slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
	})
	if err != nil {
		return server{}, err
	}
	if err := b.Ready(context.Background()); err != nil {
		return server{}, err
	}
	return server{
		addr:  b.WireAddr().(*net.TCPAddr).AddrPort(),
		kafka: b.KafkaAddrs()[0].(*net.TCPAddr).AddrPort(),
		syncs: func() int64 { return b.Engine().Stats().Syncs },
		sent:  b.Sent,
	}, nil
}
