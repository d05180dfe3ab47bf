package contestant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/rollway/rollway/perf/child"
	"github.com/rollway/rollway/perf/host"
)

const (
	// startLimit is how long a server may take to be ready: Kafka takes 40 s to come
	// back with 5,000 partitions after kill -9.
	startLimit = 5 * time.Minute
	// stopLimit is how long a server may take to end after SIGTERM.
	stopLimit = time.Minute
)

// process is a server's process. Its methods are for one goroutine.
type process struct {
	cmd     *exec.Cmd
	began   time.Time     // before the fork
	output  fmt.Stringer  // what it wrote last; read it when it has ended
	ended   chan struct{} // closed when it has been waited for
	err     error         // of its end; set before ended is closed
	stopped bool          // an end was asked for
}

// command is what to run as a process.
type command struct {
	program string
	args    []string
	env     []string // beside our own
	dir     string   // to run in; empty: ours
	cores   []int
	stdout  io.Writer // nil: kept with what goes to standard error
	// log gets all that it writes. Then it outlives us, and has a session of its own.
	log *os.File
}

// String is what a user would type to the same effect.
func (c command) String() string { return strings.Join(append([]string{c.program}, c.args...), " ") }

// startProcess starts one in a group of its own: Ctrl-C on the terminal is for us,
// who stop it in order. It is killed when we die, unless it has a log.
func startProcess(c command) (*process, error) {
	output := new(child.Tail)
	p := &process{cmd: exec.Command(c.program, c.args...), output: output, ended: make(chan struct{})}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	p.cmd.Dir = c.dir
	if len(c.env) > 0 {
		p.cmd.Env = append(os.Environ(), c.env...)
	}
	p.cmd.Stderr = output
	p.cmd.Stdout = output // the same writer: os/exec then has one goroutine write to it
	if c.stdout != nil {
		p.cmd.Stdout = c.stdout
	}
	if c.log != nil {
		p.cmd.Stdout, p.cmd.Stderr, p.output = c.log, c.log, logTail{c.log.Name()}
		p.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	}
	p.began = time.Now()
	if err := host.PinnedTo(c.cores, p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", c.program, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.ended)
	}()
	return p, nil
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// gone returns why the process has ended, nil if it has not.
func (p *process) gone() error {
	select {
	case <-p.ended:
	default:
		return nil
	}
	err := p.err
	if err == nil {
		err = errors.New("exit status 0")
	}
	return p.explain(fmt.Errorf("ended by itself: %w", err))
}

// explain adds what the process wrote last, once it has ended.
func (p *process) explain(err error) error {
	err = fmt.Errorf("%s, process %d: %w", filepath.Base(p.cmd.Path), p.pid(), err)
	if text := strings.TrimSpace(p.output.String()); text != "" {
		err = fmt.Errorf("%w; it wrote last: %s", err, text)
	}
	return err
}

// stop ends the process by SIGTERM, and by SIGKILL when ctx or stopLimit are over.
func (p *process) stop(ctx context.Context) error {
	if p.stopped {
		return nil
	}
	if err := p.gone(); err != nil {
		p.stopped = true
		return err
	}
	p.stopped = true
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	p.cmd.Process.Signal(syscall.SIGTERM) // fails only when it has ended meanwhile
	select {
	case <-p.ended:
	case <-ctx.Done():
		p.cmd.Process.Kill()
		<-p.ended
		return p.explain(fmt.Errorf("did not end within %v of SIGTERM and was killed", stopLimit))
	}
	// The JVM ends with 143 after SIGTERM, however well it went.
	if exit := (*exec.ExitError)(nil); p.err != nil && !(errors.As(p.err, &exit) && exit.ExitCode() == 128+int(syscall.SIGTERM)) {
		return p.explain(p.err)
	}
	return nil
}

// kill ends the process by SIGKILL. That it had ended by itself is an error.
func (p *process) kill() error {
	if p.stopped {
		return nil
	}
	p.stopped = true
	if err := p.gone(); err != nil {
		return err
	}
	p.cmd.Process.Kill()
	<-p.ended
	return nil
}

// failed ends the process, whose start has gone wrong, and returns why: its own
// words are with the error.
func (p *process) failed(err error) error {
	if gone := p.gone(); gone != nil {
		p.stopped = true
		return gone
	}
	p.kill()
	return p.explain(err)
}

// logTail is the end of a file.
type logTail struct{ path string }

func (l logTail) String() string {
	text, err := os.ReadFile(l.path)
	if err != nil {
		return err.Error()
	}
	return lastLines(strings.TrimSpace(string(text)), 20)
}
