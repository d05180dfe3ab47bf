package child

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/rollway/rollway/perf/host"
)

// stopTime is how long a child has to exit after its input ended, before it is
// killed.
const stopTime = 5 * time.Second

// Process is a running child. Its methods are for one goroutine.
type Process struct {
	Addr netip.AddrPort // where it listens

	cmd    *exec.Cmd
	in     io.Closer
	encode *json.Encoder
	out    *bufio.Reader
	errors *Tail
}

// Start runs the program with the arguments and waits until it is ready. On
// core, unless that is negative, with all its threads. The process is killed
// when ctx ends; Stop it in any case.
func Start(ctx context.Context, core int, program string, args ...string) (*Process, error) {
	var cores []int
	if core >= 0 {
		cores = []int{core}
	}
	return StartOn(ctx, cores, program, args...)
}

// StartOn is Start on several cores; none: all that this process may use.
func StartOn(ctx context.Context, cores []int, program string, args ...string) (*Process, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	// A group of its own: Ctrl-C on the terminal is for the parent, which then
	// stops its children in order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p := &Process{cmd: cmd, errors: new(Tail)}
	cmd.Stderr = p.errors
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.in, p.encode, p.out = in, json.NewEncoder(in), bufio.NewReader(out)

	if err := host.PinnedTo(cores, cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	var r ready
	if err := p.read(&r); err != nil {
		return nil, err
	}
	p.Addr = r.Addr
	return p, nil
}

// ready is the first line of a child.
type ready struct {
	Addr netip.AddrPort `json:"ready"`
}

// Ask sends a question and reads the answer, both as encoding/json has them.
// After an error the process has been stopped.
func (p *Process) Ask(question, answer any) error {
	if err := p.encode.Encode(question); err != nil {
		return p.failed(err)
	}
	return p.read(answer)
}

// CPUTime returns what the process has used so far, see host.CPUTime.
func (p *Process) CPUTime() (time.Duration, error) { return host.CPUTime(p.PID()) }

// PID returns the process id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop ends the process and waits for it. It may be called again.
func (p *Process) Stop() error {
	if p.cmd.ProcessState != nil {
		return nil
	}
	p.in.Close() // fails only when the process has ended already
	kill := time.AfterFunc(stopTime, func() { p.cmd.Process.Kill() })
	defer kill.Stop()
	if err := p.cmd.Wait(); err != nil {
		return p.explain(err)
	}
	return nil
}

// Kill ends the process by SIGKILL and waits for it. It may be called again.
func (p *Process) Kill() {
	if p.cmd.ProcessState == nil {
		p.cmd.Process.Kill()
		p.cmd.Wait() // says that it was killed
	}
}

// read reads one line.
func (p *Process) read(v any) error {
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, v)
	}
	if err != nil {
		return p.failed(err)
	}
	return nil
}

// failed stops the process and returns why it had to end, its own words first.
func (p *Process) failed(err error) error {
	if stop := p.Stop(); stop != nil {
		return stop
	}
	return p.explain(err)
}

// explain adds what the process wrote to its standard error.
func (p *Process) explain(err error) error {
	if text := strings.TrimSpace(p.errors.String()); text != "" {
		return fmt.Errorf("server process %d: %w: %s", p.PID(), err, text)
	}
	return fmt.Errorf("server process %d: %w", p.PID(), err)
}
