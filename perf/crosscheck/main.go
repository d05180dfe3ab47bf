package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/rollway/rollway/perf/contestant"
)

func main() {
	if handled, err := contestant.ServeChild(os.Args[1:]); handled {
		exit(err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	o, err := parseOptions(os.Args[1:], os.Stdout)
	if err == nil {
		err = o.run(ctx, os.Stdout, os.Stderr)
	}
	if err == flag.ErrHelp {
		err = nil
	}
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "crosscheck: %v\n", err)
		os.Exit(1)
	}
}

const help = `Repeats workloads of the perf lab by Kafka's ProducerPerformance and
ConsumerPerformance, by kcat and by iperf3 -Z, in turns with the lab's own clients,
and prints what each of them sees. A tool that is missing is left out.

Usage: scripts/crosscheck [flags]

`

// options are the flags.
type options struct {
	contestants contestant.Options
	dir         string
	rounds      int
	mib         int
	write       string
	commit      string
}

func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("crosscheck", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.dir, "dir", "/var/tmp", "`directory` on the disk to be measured, for a temporary one in it")
	f.IntVar(&o.rounds, "rounds", 5, "`number` of rounds")
	f.IntVar(&o.mib, "mib", 2048, "how many `MiB` the fastest tool moves in a turn; the others as much less as they are slower")
	f.StringVar(&o.write, "write", "", "`file` to write the figures to, such as perf/results/crosscheck.jsonl")
	f.StringVar(&o.commit, "commit", "", "`commit` that is measured, for that file")
	f.StringVar(&o.contestants.Heap, "heap", "1g", "`size` of Kafka's heap")
	f.StringVar(&o.contestants.KafkaLib, "lib", "", "`directory` of Kafka's jars (default in the user's cache)")
	f.StringVar(&o.contestants.Program, "program", "", "`rollway` to start (default: one that is built)")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, help)
			f.SetOutput(out)
			f.PrintDefaults()
			return o, flag.ErrHelp
		}
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("argument %q, want flags only", f.Arg(0))
	}
	if o.rounds < 1 || o.mib < minMiB {
		return o, fmt.Errorf("-rounds %d and -mib %d, want at least 1 and %d", o.rounds, o.mib, minMiB)
	}
	return o, nil
}
