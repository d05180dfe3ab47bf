package child

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/signal"
	"syscall"
)

// Serve is what the program does that Start runs, once it listens on addr: it
// says so and answers questions, in order, until its standard input ends, which
// is nil. An error of answer ends it too.
func Serve(addr netip.AddrPort, answer func(question json.RawMessage) (any, error)) error {
	// The parent says when to stop, also when all of its group are told to.
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM)
	return serve(os.Stdin, os.Stdout, addr, answer)
}

func serve(in io.Reader, out io.Writer, addr netip.AddrPort, answer func(question json.RawMessage) (any, error)) error {
	encode := json.NewEncoder(out)
	if err := encode.Encode(ready{Addr: addr}); err != nil {
		return err
	}
	lines := bufio.NewReader(in)
	for {
		line, err := lines.ReadBytes('\n')
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		a, err := answer(line)
		if err != nil {
			return fmt.Errorf("question %.200s: %w", line, err)
		}
		if err := encode.Encode(a); err != nil {
			return err
		}
	}
}
