package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/record"
)

// The example builds, runs, and gives back what was put, also after it was
// killed and started anew.
func TestEmbed(t *testing.T) {
	program := filepath.Join(t.TempDir(), "embed")
	if out, err := exec.Command("go", "build", "-buildvcs=false", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	data := t.TempDir()
	long := strings.Repeat("long ", 10_000) // above what is sent by copying
	stop, talk := start(t, program, data)
	for i, text := range []string{"first", "", long} {
		if got, want := talk("PUT "+text), fmt.Sprintf("OK %d", i); got != want {
			t.Fatalf("PUT answered %q, want %q", got, want)
		}
	}
	if got := talk("GET 7"); !strings.HasPrefix(got, "ERROR engine: offset out of range") {
		t.Fatalf("GET beyond the end answered %q", got)
	}
	if got := talk("nonsense"); !strings.HasPrefix(got, `ERROR "nonsense", want`) {
		t.Fatalf("nonsense answered %q", got)
	}
	stop()
	stop, talk = start(t, program, data)
	defer stop()
	if got := talk("GET 0"); got != "first||"+long {
		t.Fatalf("GET 0 gave %d bytes of text, want %d", len(got), len(long)+7)
	}
}

// start runs the program and returns how to kill it and how to talk to it: GET
// is answered by the texts of the records, joined by bars.
func start(t *testing.T, program, data string) (stop func(), talk func(string) string) {
	t.Helper()
	cmd := exec.Command(program, data)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", strings.TrimSpace(strings.TrimPrefix(line, "listening on ")))
	if err != nil {
		t.Fatal(err)
	}
	stop = func() {
		conn.Close()
		cmd.Process.Kill()
		cmd.Wait()
	}
	in := bufio.NewReader(conn)
	return stop, func(request string) string {
		t.Helper()
		fmt.Fprintf(conn, "%s\n", request)
		line, err := in.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		var size int
		if _, err := fmt.Sscanf(line, "BYTES %d\n", &size); err != nil {
			return strings.TrimSuffix(line, "\n")
		}
		body := make([]byte, size)
		if _, err := io.ReadFull(in, body); err != nil {
			t.Fatal(err)
		}
		return texts(t, body)
	}
}

func texts(t *testing.T, batches []byte) string {
	t.Helper()
	var all []string
	for len(batches) > 0 {
		var b record.Batch
		var err error
		if b, batches, err = record.Next(batches); err != nil {
			t.Fatal(err)
		}
		it := b.Iterate(b.Records())
		for it.Next() {
			all = append(all, string(it.Record().Value))
		}
	}
	return strings.Join(all, "|")
}
