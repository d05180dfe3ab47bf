package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/rollway/rollway/perf/host"
)

// options are the flags.
type options struct {
	flags         []string // as they were given
	profile       string
	results       string
	dir           string
	fresh         bool
	shareCores    bool
	only          []string // workloads or letters; nil: the profile's
	contestants   []string // nil: the profile's
	with          []string // contestants that are there by flag only
	heap          string
	kafkaLib      string
	kafkaEndpoint string
	kafkaPID      int
}

const help = `Measures rollway, Apache Kafka and the bare mechanisms of the kernel side by side:
the same machine, clients and work, in turns, and writes what it finds to a file in
perf/results as it goes. See docs/lab.md.

  smoke    a, e, h in one variant each, under 90 seconds: does everything work?
  quick    (a) to (c), e, h, i, under 12 minutes
  default  all but j with 5,000 partitions and more, f and l, under an hour
  full     everything, in about an hour and a half

Workloads:
  a  produce 100 B records in batches of 16 KiB and 1 MiB
  b  produce 1 KiB records in batches of 64 KiB, 4 connections
  c  64 and 512 small producers, one batch of 1 KiB in flight each
  d  consume at the end of the log while it grows
  e  catch up from the page cache, 1 to 64 consumers, answers of 1 MiB and 64 KiB
  f  catch up from disk while others tail, server in a 2 GiB memory group
  g  fan out to 8 and 16 consumers
  h  (a) to (c) with what is acknowledged synced
  i  end-to-end latency at 10, 50 and 80 % of the weakest contestant's highest rate
  j  1 to 10,000 partitions: create, start, memory, CPU
  k  1 to 5,000 connections, idle and active
  l  recovery after kill -9

A run that was interrupted goes on behind its last whole turn when it is started
again with the same flags at the same commit, and a full one goes on where a default
one has ended. The exit code is 0 when all was
measured, 1 when a contestant failed, lost or changed a record, 130 or 143 after a
signal.

Usage: LAB=smoke|quick|default|full make lab LABFLAGS='flags'

`

// parseOptions reads the flags; help goes to out. names are those of contestants.
func parseOptions(args, names []string, out io.Writer) (options, error) {
	o := options{flags: args}
	var only, contestants, with string
	f := flag.NewFlagSet("lab", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&o.profile, "profile", "default", "how much is measured: smoke, quick, default or full")
	f.StringVar(&o.results, "results", "perf/results", "`directory` of the files with results")
	f.StringVar(&o.dir, "dir", "", "`directory` on the disk to be measured, for a temporary one in it (default $TMPDIR or /tmp, but /var/tmp if that is in memory)")
	f.BoolVar(&o.fresh, "fresh", false, "begin a new run even if one could be gone on with")
	f.BoolVar(&o.shareCores, "share-cores", false, "let clients and servers use all cores, instead of one half each")
	f.StringVar(&only, "only", "", "comma-separated `workloads`, names or letters, instead of the profile's")
	f.StringVar(&contestants, "contestants", "", "comma-separated `names` that take part, instead of the profile's")
	f.StringVar(&with, "with", "", "comma-separated `names` of contestants that take part beside the others: nats, kfake")
	f.StringVar(&o.heap, "heap", "", "`size` of Kafka's heap (default 1g)")
	f.StringVar(&o.kafkaLib, "kafka-lib", "", "`directory` of Kafka's jars (default where scripts/kafka puts them)")
	f.StringVar(&o.kafkaEndpoint, "kafka-endpoint", "", "`HOST:PORT` of a Kafka that is running, instead of one that the lab starts; then no namespace is made")
	f.IntVar(&o.kafkaPID, "kafka-pid", 0, "its `process`, to measure what it uses")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			fmt.Fprint(out, help)
			f.SetOutput(out)
			f.PrintDefaults()
			return o, flag.ErrHelp
		}
		return o, fmt.Errorf("%w; see -help", err)
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("argument %q, want flags only; see -help", f.Arg(0))
	}
	if o.kafkaPID != 0 && o.kafkaEndpoint == "" {
		return o, errors.New("-kafka-pid without -kafka-endpoint, want both")
	}
	p, err := findProfile(o.profile)
	if err != nil {
		return o, fmt.Errorf("-profile: %w", err)
	}
	o.profile = p.name
	o.only, o.contestants, o.with = list(only), list(contestants), list(with)
	for _, name := range slices.Concat(o.contestants, o.with) {
		if !slices.Contains(names, name) {
			return o, fmt.Errorf("contestant %q, want some of %s", name, strings.Join(names, ", "))
		}
	}
	if o.dir == "" {
		if o.dir, err = defaultDir(); err != nil {
			return o, err
		}
	}
	return o, nil
}

func list(s string) []string {
	if s == "" {
		return nil
	}
	return strings.Split(s, ",")
}

// defaultDir is where temporary files go, unless that is in memory: a sync would
// cost nothing there.
func defaultDir() (string, error) {
	dir := os.TempDir()
	m, err := host.MountOf(dir)
	if err == nil && m.Type == "tmpfs" {
		return "/var/tmp", nil
	}
	return dir, err
}

// chosen is the profile with what the flags say otherwise.
func (o options) chosen() (profile, error) {
	p, err := findProfile(o.profile)
	if err != nil {
		return p, err
	}
	if o.only != nil {
		p.workloads = o.only
	}
	if o.contestants != nil {
		p.contestants = o.contestants
	}
	return p, nil
}

// commandLine is what repeats a run.
func commandLine(o options) string {
	line := "LAB=" + o.profile + " make lab"
	var flags []string
	for i := 0; i < len(o.flags); i++ {
		switch name, _, joined := strings.Cut(strings.TrimLeft(o.flags[i], "-"), "="); {
		case name == "fresh":
		case name == "profile":
			if !joined {
				i++ // its value
			}
		default:
			flags = append(flags, o.flags[i])
		}
	}
	if len(flags) > 0 {
		line += " LABFLAGS='" + strings.Join(flags, " ") + "'"
	}
	return line
}
