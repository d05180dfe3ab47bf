package contestant

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollway/rollway/perf/load"
)

const (
	// pidFile and logFile are in the directory of a broker that runs by itself.
	pidFile = "kafka.pid"
	logFile = "kafka.log"
)

// DetachedKafka is a broker that runs on when this program ends.
type DetachedKafka struct {
	Addr     netip.AddrPort
	PID      int
	Log      string // file of what it writes
	Command  string
	Settings string // that differ from what is shipped
	Java     string
	Ready    time.Duration // from its start
}

// StartDetached formats dir, unless it is formatted, starts a broker there and
// waits until it is ready. StopDetached ends it.
func (i KafkaInstall) StartDetached(ctx context.Context, dir string) (d DetachedKafka, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready within %v", startLimit))
	defer cancel()
	if dir, err = filepath.Abs(dir); err != nil {
		return d, err
	}
	if pid, err := detachedPID(dir); err == nil {
		return d, fmt.Errorf("the broker of %s runs already, as process %d", dir, pid)
	}
	if err := i.Format(ctx, dir); err != nil {
		return d, err
	}
	if d.Addr, err = readListener(filepath.Join(dir, propertiesFile)); err != nil {
		return d, err
	}
	if d.Settings, err = i.settings(dir); err != nil {
		return d, err
	}
	run := i.broker(dir)
	d.Log, d.Command, d.Java = filepath.Join(dir, logFile), run.String(), i.javaVersion(ctx)
	if run.log, err = os.Create(d.Log); err != nil {
		return d, err
	}
	defer run.log.Close()
	p, err := startProcess(run)
	if err != nil {
		return d, err
	}
	server := kafkaServer{process: p, target: load.Target{Addr: d.Addr, Kafka: true}, admin: admin{addr: d.Addr, gone: p.gone}}
	if err := server.start(ctx, nil); err != nil {
		return d, p.failed(err)
	}
	d.PID, d.Ready = server.PID(), server.Ready()
	if err := os.WriteFile(filepath.Join(dir, pidFile), fmt.Appendln(nil, d.PID), 0o644); err != nil {
		return d, p.failed(err)
	}
	return d, nil
}

// StopDetached ends the broker of dir, by SIGKILL if it takes too long after
// SIGTERM.
func StopDetached(ctx context.Context, dir string) (pid int, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return 0, err
	}
	if pid, err = detachedPID(dir); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, stopLimit)
	defer cancel()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		if err := syscall.Kill(pid, signal); err != nil && err != syscall.ESRCH {
			return pid, fmt.Errorf("signal %v to process %d: %w", signal, pid, err)
		}
		for ctx.Err() == nil || signal == syscall.SIGKILL {
			if running, err := detachedPID(dir); err != nil || running != pid {
				return pid, os.Remove(filepath.Join(dir, pidFile))
			}
			time.Sleep(retryPause)
		}
	}
	return pid, nil
}

// errNotRunning is that there is no broker of a directory.
var errNotRunning = errors.New("no broker runs there")

// detachedPID returns the process of a broker of dir. The number may have gone to
// another process meanwhile, which is left alone: the command line must name dir.
func detachedPID(dir string) (int, error) {
	text, err := os.ReadFile(filepath.Join(dir, pidFile))
	if errors.Is(err, os.ErrNotExist) {
		return 0, fmt.Errorf("%s: %w", dir, errNotRunning)
	}
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", filepath.Join(dir, pidFile), err)
	}
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)) // empty of one that has ended and is not waited for
	last := "\x00" + filepath.Join(dir, propertiesFile) + "\x00"
	if err != nil || !bytes.HasSuffix(line, []byte(last)) {
		return 0, fmt.Errorf("%s: %w", dir, errNotRunning)
	}
	return pid, nil
}
