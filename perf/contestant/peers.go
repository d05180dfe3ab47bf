package contestant

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

// peersModule is the module of their program, below the module's root.
const peersModule = "perf/peers"

// BuildPeers builds the program that Options.Peers names into dir: it has NATS and
// kfake, which the go command fetches if need be. So call it where there is a
// network.
//
// Errors: *UnavailableError if it cannot be built.
func BuildPeers(ctx context.Context, o Options, dir string) (program string, err error) {
	root := o.Source
	if root == "" {
		if root, err = moduleRoot(ctx); err != nil {
			return "", err
		}
	}
	if program, err = filepath.Abs(filepath.Join(dir, "peers")); err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, "go", "build", "-C", filepath.Join(root, peersModule), "-trimpath", "-o", program, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", &UnavailableError{Name: NATS + " and " + KFake, Lacks: fmt.Sprintf("%s: %v: %s", strings.Join(cmd.Args, " "), err, lastLines(strings.TrimSpace(string(out)), 5))}
	}
	return program, nil
}

// peer is a server of perf/peers.
type peer struct {
	name    string
	program string
}

func newPeer(name string, o Options) (Contestant, error) {
	if o.Peers == "" {
		return nil, fmt.Errorf("contestant %s without Options.Peers, want the path of the program that BuildPeers builds", name)
	}
	return &peer{name: name, program: o.Peers}, nil
}

func (p *peer) Name() string { return p.name }

// Start starts its server.
func (p *peer) Start(ctx context.Context, s Setup) (Server, error) {
	run := command{program: p.program, args: []string{p.name}, cores: s.Cores}
	if p.name == NATS {
		run.args = append(run.args, s.Dir)
		if s.Durable {
			run.args = append(run.args, "sync")
		}
	} else if len(s.Expect) > 0 {
		return nil, fmt.Errorf("%s: start with topics %v of an earlier one, want none: it keeps nothing", p.name, s.Expect)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready within %v", startLimit))
	defer cancel()
	process, said, err := startSaying(ctx, run)
	if err != nil {
		return nil, err
	}
	conditions := []result.Condition{
		{Contestant: p.name, Name: "version", Text: said["version"]},
		{Contestant: p.name, Name: "command", Text: run.String()},
	}
	if p.name == NATS {
		return p.startNATS(ctx, s, process, said, conditions)
	}
	addr, err := said.addr("kafka")
	if err != nil {
		return nil, process.failed(err)
	}
	server := &kafkaServer{
		process: process, target: load.Target{Addr: addr, Congestion: s.Congestion, Kafka: true},
		admin: admin{addr: addr, gone: process.gone}, conditions: append(conditions, result.Condition{
			Contestant: p.name, Name: "durability", Text: "none, all is in memory",
		}),
	}
	if err := server.start(ctx, nil); err != nil {
		return nil, process.failed(err)
	}
	return server, nil
}
