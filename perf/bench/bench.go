package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
)

// bench is one run of the benchmarks.
type bench struct {
	options  options
	dir      string // a directory of its own, removed at the end
	client   int    // core of this process, or -1
	server   int    // core of the servers, or -1
	progress *progress
	ends     tcpEnds
}

// tcpEnds are the options of connections that were seen, as short texts.
type tcpEnds struct {
	client, server map[string]bool
	procs          int // GOMAXPROCS of servers
}

// newBench makes the directory and puts this process on its core: with two
// cores or more the first is the client's and the last the servers', which are
// no siblings on most machines.
func newBench(o options, p *progress) (*bench, error) {
	dir, err := os.MkdirTemp(o.dir, "rollway-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, dir: dir, client: -1, server: -1, progress: p}
	b.ends.client, b.ends.server = map[string]bool{}, map[string]bool{}
	cores, err := host.Cores()
	if err == nil && len(cores) > 1 {
		b.client, b.server = cores[0], cores[len(cores)-1]
		err = host.Pin(b.client)
		// More running threads than cores would wait for one another.
		runtime.GOMAXPROCS(1)
	}
	if err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

// close removes what the run has left on the disk.
func (b *bench) close() error { return os.RemoveAll(b.dir) }

// newDir makes an empty directory.
func (b *bench) newDir() (string, error) { return os.MkdirTemp(b.dir, "data-") }

// start starts a server process. name is for its profile.
func (b *bench) start(ctx context.Context, name string, c serverConfig) (*child.Process, error) {
	c.Congestion = b.options.congestion
	if b.options.profile != "" {
		c.Profile = filepath.Join(b.options.profile, fmt.Sprintf("%s-%d.pprof", name, time.Now().UnixNano()))
	}
	argument, err := json.Marshal(c)
	if err != nil {
		return nil, err
	}
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return child.Start(ctx, b.server, program, serverArgument, string(argument))
}

func (b *bench) target(p *child.Process) load.Target {
	return load.Target{Addr: p.Addr, Congestion: b.options.congestion}
}

// kafkaTarget is where a rollway speaks Kafka's protocol.
func (b *bench) kafkaTarget(p *child.Process) (load.Target, error) {
	var r report
	err := p.Ask(question{}, &r)
	return load.Target{Addr: r.Kafka, Congestion: b.options.congestion, Kafka: true}, err
}

// client is what has a connection whose options can be read.
type client interface {
	TCP() (host.TCP, netip.AddrPort, error)
}

// ask asks the server about itself and notes how both ends of the client's
// connection are set. It is part of no measurement.
func (b *bench) ask(p *child.Process, c client) (report, error) {
	ours, local, err := c.TCP()
	if err != nil {
		return report{}, err
	}
	var r report
	if err := p.Ask(question{Peer: local}, &r); err != nil {
		return report{}, err
	}
	b.ends.client[ours.String()] = true
	b.ends.server[r.TCP.String()] = true
	b.ends.procs = r.GOMAXPROCS
	return r, nil
}

// settleTime is how long a server gets to go to sleep before its CPU clock is
// read, see host.CPUTime: about a thousand times what it takes.
const settleTime = 5 * time.Millisecond

// cpuOf returns the CPU time that the server uses for what f does.
func cpuOf(p *child.Process, f func() error) (time.Duration, error) {
	time.Sleep(settleTime)
	before, err := p.CPUTime()
	if err != nil {
		return 0, err
	}
	if err := f(); err != nil {
		return 0, err
	}
	time.Sleep(settleTime)
	after, err := p.CPUTime()
	return after - before, err
}
