// Command kafka fetches, formats, starts and stops a broker of Apache Kafka as the
// perf lab does, for who wants one to look at. It is run by scripts/kafka.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rollway/rollway/perf/contestant"
)

const help = `Runs a broker of Apache Kafka %s by itself, in KRaft mode, broker and controller
in one process, on free ports of 127.0.0.1, with the settings that the perf lab
has. Needs Java 17 or later, and Maven to fetch it.

  fetch   fetch its jars, unless they are there
  format  make its directory: properties, ports, metadata
  start   start it, made first if need be, and print where it is
  stop    end it; its data stay

Usage: scripts/kafka fetch|format|start|stop [flags]

`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout)
	if err == nil || err == flag.ErrHelp {
		return
	}
	fmt.Fprintf(os.Stderr, "kafka: %v\n", err)
	os.Exit(1)
}

// run is one command; what it says goes to out.
func run(ctx context.Context, args []string, out io.Writer) error {
	var o contestant.Options
	var dir string
	f := flag.NewFlagSet("kafka", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&dir, "dir", filepath.Join(os.TempDir(), "rollway-kafka"), "`directory` of the broker, with its properties, log and data")
	f.StringVar(&o.Heap, "heap", "1g", "`size` of the JVM's heap, first and last")
	f.StringVar(&o.KafkaLib, "lib", "", "`directory` of the jars (default in the user's cache)")
	f.StringVar(&o.Source, "source", "", "`root` of rollway's source (default where the go command finds it)")
	usage := func() error {
		fmt.Fprintf(out, help, contestant.KafkaVersion)
		f.SetOutput(out)
		f.PrintDefaults()
		return flag.ErrHelp
	}
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return usage()
	}
	if err := f.Parse(args[1:]); err == flag.ErrHelp {
		return usage()
	} else if err != nil {
		return err
	}
	if f.NArg() > 0 {
		return fmt.Errorf("argument %q, want one command and flags", f.Arg(0))
	}
	switch args[0] {
	case "fetch":
		i, err := contestant.FetchKafka(ctx, o)
		if err == nil {
			fmt.Fprintf(out, "jars %s\n", i.Lib)
		}
		return err
	case "format":
		i, err := contestant.FindKafka(o)
		if err == nil {
			err = i.Format(ctx, dir)
		}
		return err
	case "start":
		return start(ctx, o, dir, out)
	case "stop":
		pid, err := contestant.StopDetached(ctx, dir)
		if err == nil {
			fmt.Fprintf(out, "process %d has ended\n", pid)
		}
		return err
	}
	return fmt.Errorf("command %q, want fetch, format, start or stop", args[0])
}

// start starts a broker and says what a user needs to know of it.
func start(ctx context.Context, o contestant.Options, dir string, out io.Writer) error {
	i, err := contestant.FindKafka(o)
	if err != nil {
		return err
	}
	d, err := i.StartDetached(ctx, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "endpoint %v\npid %d\nready after %d ms\nheap -Xms%[4]s -Xmx%[4]s\njava %s\n",
		d.Addr, d.PID, d.Ready.Milliseconds(), i.Heap, d.Java)
	fmt.Fprintf(out, "settings that are not shipped: %s\ncommand %s\nlog %s\n", d.Settings, d.Command, d.Log)
	return nil
}
