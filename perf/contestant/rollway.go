package contestant

import (
	"context"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

// Build builds the program that Options.Program names, as `make build` does, into
// dir. It needs the go command, and to be called in the module.
func Build(ctx context.Context, dir string) (program string, err error) {
	program = filepath.Join(dir, "rollway")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", program, "github.com/rollway/rollway/cmd/rollway")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(cmd.Args, " "), err, strings.TrimSpace(string(out)))
	}
	return program, nil
}

// rollway is the built program, as a user runs it.
type rollway struct {
	name    string
	program string
}

func newRollway(name string, o Options) (Contestant, error) {
	if o.Program == "" {
		return nil, fmt.Errorf("contestant %s without Options.Program, want the path of a built rollway", name)
	}
	return &rollway{name: name, program: o.Program}, nil
}

func (r *rollway) Name() string { return r.name }

// Start starts `rollway serve`.
func (r *rollway) Start(ctx context.Context, s Setup) (Server, error) {
	args := []string{"serve", "--data", s.Dir, "--wire", "127.0.0.1:0", "--kafka", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log-level", "warn"}
	if s.Congestion != "" {
		args = append(args, "--congestion", s.Congestion)
	}
	run := command{program: r.program, args: args, cores: s.Cores}
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready within %v", startLimit))
	defer cancel()
	p, said, err := startSaying(ctx, run)
	if err != nil {
		return nil, err
	}
	native, err := said.addr("wire")
	if err != nil {
		return nil, p.failed(err)
	}
	kafka, err := said.addr("kafka")
	if err != nil {
		return nil, p.failed(err)
	}
	server := &kafkaServer{
		process: p, dir: s.Dir, target: load.Target{Addr: native, Congestion: s.Congestion},
		admin: admin{addr: kafka, gone: p.gone},
	}
	if !s.Durable {
		server.topicConfigs = map[string]string{"flush.messages": strconv.FormatInt(math.MaxInt64, 10)}
	}
	if r.name == RollwayKafka {
		server.target.Addr, server.target.Kafka = kafka, true
	}
	if err := server.start(ctx, s.Expect); err != nil {
		return nil, p.failed(err)
	}
	durability := "synced before it is acknowledged (default)"
	if !s.Durable {
		durability = "page cache: topics have flush.messages=9223372036854775807"
	}
	server.conditions = []result.Condition{
		{Contestant: r.name, Name: "version", Text: r.version(ctx)},
		{Contestant: r.name, Name: "command", Text: run.String()},
		{Contestant: r.name, Name: "durability", Text: durability},
	}
	return server, nil
}

// version is what the program says of itself, in one line.
func (r *rollway) version(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, r.program, "version").CombinedOutput()
	if err != nil {
		return fmt.Sprintf("%s version: %v: %s", r.program, err, out)
	}
	return strings.Join(strings.Fields(string(out)), " ")
}
