package contestant

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
)

// readyLine is what a server says on its standard output when it listens: the word
// ready and then names and values, "ready wire=127.0.0.1:9192 kafka=127.0.0.1:9092".
type readyLine map[string]string

// startSaying starts a process and waits for its ready line. Its standard input ends
// when it does.
func startSaying(ctx context.Context, c command) (*process, readyLine, error) {
	stdout, in := io.Pipe()
	c.stdout = in
	p, err := startProcess(c)
	if err != nil {
		return nil, nil, err
	}
	go func() { // the pipe has no end of its own
		<-p.ended
		in.Close()
	}()
	said, err := readReady(ctx, stdout)
	if err != nil {
		return nil, nil, p.failed(err)
	}
	return p, said, nil
}

// readReady reads the ready line, and goes on reading behind it, so that the program
// never waits for us.
func readReady(ctx context.Context, stdout io.ReadCloser) (readyLine, error) {
	unwatch := context.AfterFunc(ctx, func() { stdout.Close() })
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if !unwatch() {
		return nil, context.Cause(ctx)
	}
	go io.Copy(io.Discard, stdout) // ends with the process
	fields := strings.Fields(line)
	if err != nil || len(fields) == 0 || fields[0] != "ready" {
		return nil, errors.Join(fmt.Errorf("it said %q, want a line that begins with ready", line), err)
	}
	said := readyLine{}
	for _, f := range fields[1:] {
		name, value, _ := strings.Cut(f, "=")
		said[name] = value
	}
	return said, nil
}

// addr returns the address of a listener.
func (r readyLine) addr(name string) (netip.AddrPort, error) {
	addr, err := netip.ParseAddrPort(r[name])
	if err != nil {
		return addr, fmt.Errorf("it listens at %s=%q: %w", name, r[name], err)
	}
	return addr, nil
}
