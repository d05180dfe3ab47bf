package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/perf/host"
)

// congestion is the algorithm that all connections are to have. JVM sockets take
// the namespace's default.
const congestion = "cubic"

// innerArgument as the first argument makes this program the inner process; behind
// it stand what the guard has found, as place.arguments has it, and the flags.
const innerArgument = "-inner"

// place is where the inner process works.
type place struct {
	dir     string // its own, which the guard removes
	network string // a condition
	warning bool
}

// arguments are those of the inner process before the flags.
func (p place) arguments() []string {
	return []string{innerArgument, p.dir, p.network, strconv.FormatBool(p.warning)}
}

// innerArguments is how many there are.
const innerArguments = 4

// parsePlace is the reverse of arguments.
func parsePlace(args []string) (p place, err error) {
	if len(args) < innerArguments {
		return p, fmt.Errorf("arguments %q, want %d at least", args, innerArguments)
	}
	p.dir, p.network = args[1], args[2]
	p.warning, err = strconv.ParseBool(args[3])
	return p, err
}

// guard builds what is measured, starts the inner process, passes signals on to it,
// waits and removes what it has left. It returns the exit code.
func (p program) guard(o options, args []string) (code int, err error) {
	dir, err := os.MkdirTemp(o.dir, "rollway-lab-")
	if err != nil {
		return 1, err
	}
	defer func() {
		err = errors.Join(err, os.RemoveAll(dir), host.RemoveMemoryGroup(filepath.Base(dir)))
	}()
	building, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if err := p.build(building, o, dir); err != nil {
		return 1, err
	}
	executable, err := os.Executable()
	if err != nil {
		return 1, err
	}
	// From here on a signal is the inner process's to act upon.
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	if building.Err() != nil {
		return 1, errors.New("ended by a signal while rollway was built")
	}

	started, ended := make(chan error), make(chan error, 1)
	cmd := exec.Command(executable)
	go func() {
		// The thread is in another namespace when this is over, so it is not given
		// back; and it lives as long as the child, which is told when it ends.
		runtime.LockOSThread()
		where := place{dir: dir}
		where.network, where.warning = enterNamespace(o)
		cmd.Args = append(append([]string{executable}, where.arguments()...), args...)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
		// A group of its own: Ctrl-C comes to it once, from us.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
		err := cmd.Start()
		started <- err
		if err == nil {
			ended <- cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return 1, fmt.Errorf("start the inner process: %w", err)
	}
	for {
		select {
		case s := <-signals:
			cmd.Process.Signal(s) // fails only when it has ended already
		case err := <-ended:
			var exit *exec.ExitError
			switch {
			case err == nil:
				return 0, nil
			case !errors.As(err, &exit):
				return 1, err
			case exit.ExitCode() < 0:
				return 1, fmt.Errorf("inner process: %w; its servers have ended with it", err)
			}
			return exit.ExitCode(), nil
		}
	}
}

// enterNamespace puts the calling thread into a network namespace of its own with a
// loopback and the congestion control set, and says where it is then. Without the
// right to it stays where it is; warning tells that this is not fair to everybody.
func enterNamespace(o options) (text string, warning bool) {
	why := "a broker that is running was given by -kafka-endpoint"
	if o.kafkaEndpoint == "" {
		err := newNamespace()
		if err == nil {
			return "a namespace of its own, congestion control " + congestion, false
		}
		why = err.Error()
	}
	now, err := os.ReadFile(congestionFile)
	if err != nil {
		return fmt.Sprintf("the host's namespace, since %s; %v", why, err), true
	}
	found := strings.TrimSpace(string(now))
	return fmt.Sprintf("the host's namespace, congestion control %s, since %s", found, why), found != congestion
}

const (
	congestionFile = "/proc/sys/net/ipv4/tcp_congestion_control"
	// allowedFile lists the algorithms that those without privileges may use, and
	// that namespaces may have. It is one for the whole machine.
	allowedFile = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
)

func newNamespace() error {
	host, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer host.Close()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("unshare a network namespace: %w", err)
	}
	err = raiseLoopback()
	if err == nil {
		err = setCongestion(host)
	}
	if err != nil {
		return errors.Join(err, unix.Setns(int(host.Fd()), unix.CLONE_NEWNET))
	}
	return nil
}

// setCongestion sets the default of the namespace that the thread is in. Where the
// machine does not let namespaces have it, it is let for that moment, in the
// host's namespace.
func setCongestion(host *os.File) error {
	err := os.WriteFile(congestionFile, []byte(congestion), 0)
	if !errors.Is(err, unix.EPERM) {
		return err
	}
	ours, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		return err
	}
	defer ours.Close()
	in := func(ns *os.File, f func() error) error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("setns: %w", err)
		}
		return f()
	}
	var allowed []byte
	err = in(host, func() (err error) {
		if allowed, err = os.ReadFile(allowedFile); err == nil {
			err = os.WriteFile(allowedFile, []byte(strings.TrimSpace(string(allowed))+" "+congestion), 0)
		}
		return err
	})
	if err == nil {
		err = in(ours, func() error { return os.WriteFile(congestionFile, []byte(congestion), 0) })
	}
	if allowed != nil {
		err = errors.Join(err, in(host, func() error { return os.WriteFile(allowedFile, allowed, 0) }))
	}
	return errors.Join(err, in(ours, func() error { return nil }))
}

// raiseLoopback is `ip link set lo up`: SIOCSIFFLAGS of netdevice(7).
func raiseLoopback() error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	defer unix.Close(fd)
	request, err := unix.NewIfreq("lo")
	if err != nil {
		return err
	}
	if err := unix.IoctlIfreq(fd, unix.SIOCGIFFLAGS, request); err != nil {
		return fmt.Errorf("ioctl SIOCGIFFLAGS of lo: %w", err)
	}
	request.SetUint16(request.Uint16() | unix.IFF_UP)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, request); err != nil {
		return fmt.Errorf("ioctl SIOCSIFFLAGS of lo: %w", err)
	}
	return nil
}
