package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rollway/rollway/perf/host"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == serverArgument {
		if err := runServer(os.Args[2]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if err == flag.ErrHelp {
		return
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	// The first signal ends the run in order, a second one at once.
	context.AfterFunc(ctx, stop)
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	rounds     int
	bytes      int64
	time       time.Duration
	only       []string
	congestion string
	dir        string
	markdown   string
	profile    string
}

// suites are what -only chooses from, in the order in which they run.
var suites = []struct {
	name string
	run  func(*bench, context.Context) ([]table, error)
}{
	{"fetch", (*bench).fetch},
	{"produce", (*bench).produce},
	{"durable", (*bench).durable},
	{"commit", (*bench).commit},
	{"kafka", (*bench).kafka},
}

const help = `Measures rollway's server against the least that a Go server can do for the
same bytes, and prints the figures with the conditions that they hold under.

  fetch    cached batches to one reader that discards them, in answers of 1 MiB
           and 64 KiB: rollway's fetch paths, a bare sendfile loop, a bare copy loop
  produce  64 KiB batches into the page cache, 1 and 4 connections: rollway, a
           bare loop of receive, crc32c and pwritev
  durable  1 KiB batches of 1, 8 and 64 producers, synced before each answer:
           rollway, a bare loop with an fdatasync for each batch
  commit   batches of 1, 16 and 64 KiB of 1 and 64 producers to 1, 64 and 1,000
           partitions, the engine alone, without a network, in this process:
           rollway, the same producers with an fdatasync for each batch
  kafka    fetch and produce again, by clients of Kafka's protocol: rollway over
           that and over its own

Contestants are processes of their own on one core, the client is on another.
They take turns in every round, so a busy neighbour hits all of them; compare
figures of one run only, by their ratios, and look at the spread. CPU time is
that of the server process.

What a target of rollway's says of a figure is printed beside it as met or
MISSED. A missed target is no error: the exit code is 0 when all was measured.

Usage: go run ./perf/bench [flags]

`

// parseOptions reads the flags; help and complaints go to out.
func parseOptions(args []string, out io.Writer) (options, error) {
	var o options
	var size, only string
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.IntVar(&o.rounds, "rounds", 5, "`number` of rounds that count; before them is one that does not")
	f.StringVar(&size, "bytes", "1GiB", "what each contestant of fetch, produce and kafka moves in a round, a `size` of 1MiB to 1792MiB")
	f.DurationVar(&o.time, "time", time.Second, "how long each contestant of durable and commit runs in a round")
	f.StringVar(&only, "only", "", "comma-separated `suites` to run: fetch, produce, durable, commit, kafka (default all)")
	f.StringVar(&o.congestion, "congestion", "cubic", "congestion control `algorithm` of both ends")
	f.StringVar(&o.dir, "dir", "", "`directory` on the disk to be measured, for a temporary one in it (default $TMPDIR or /tmp, but /var/tmp if that is in memory)")
	f.StringVar(&o.markdown, "markdown", "", "`file` to write the figures to, such as docs/measurements.md: between its lines\n"+marks.Begin()+" and "+marks.End())
	f.StringVar(&o.profile, "profile", "", "`directory` to write a CPU profile of each server process to, for go tool pprof")
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
	var err error
	if o.bytes, err = parseBytes(size); err != nil {
		return o, fmt.Errorf("-bytes: %w", err)
	}
	if o.only, err = parseSuites(only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	if o.rounds < 1 || o.rounds > 1000 {
		return o, fmt.Errorf("-rounds %d, want 1 to 1000", o.rounds)
	}
	if o.time < 10*time.Millisecond || o.time > turnTime/2 {
		return o, fmt.Errorf("-time %v, want 10ms to %v", o.time, turnTime/2)
	}
	if o.dir == "" {
		o.dir, err = defaultDir()
	}
	return o, err
}

// parseBytes reads a size of whole MiB that fits into a segment.
func parseBytes(s string) (int64, error) {
	digits, mebi := strings.CutSuffix(s, "MiB")
	digits, gibi := strings.CutSuffix(digits, "GiB")
	n, err := strconv.ParseInt(digits, 10, 32)
	if err != nil || mebi == gibi {
		return 0, fmt.Errorf("%q, want a number and a unit, such as 256MiB or 1GiB", s)
	}
	n <<= 20
	if gibi {
		n <<= 10
	}
	if n < 1<<20 || n > maxProduceBytes {
		return 0, fmt.Errorf("%s, want 1 MiB to %s", bytesText(n), bytesText(maxProduceBytes))
	}
	return n, nil
}

// parseSuites reads a list of suites; of none it returns all.
func parseSuites(s string) ([]string, error) {
	var all []string
	for _, suite := range suites {
		all = append(all, suite.name)
	}
	if s == "" {
		return all, nil
	}
	chosen := strings.Split(s, ",")
	for _, name := range chosen {
		if !slices.Contains(all, name) {
			return nil, fmt.Errorf("%q, want some of %s", name, strings.Join(all, ", "))
		}
	}
	return chosen, nil
}

// defaultDir is where temporary files go, unless that is in memory: a sync
// would cost nothing there.
func defaultDir() (string, error) {
	dir := os.TempDir()
	m, err := host.MountOf(dir)
	if err == nil && m.Type == "tmpfs" {
		return "/var/tmp", nil
	}
	return dir, err
}

// run runs the suites and prints to out what they have found.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	page := ""
	if o.markdown != "" {
		// Before anything is measured: a page that cannot take it is found now.
		if page, err = readPage(o.markdown); err != nil {
			return err
		}
	}
	begin := time.Now()
	before, err := host.UsageNow()
	if err != nil {
		return err
	}
	p := newProgress(os.Stderr)
	b, err := newBench(o, p)
	if err != nil {
		return err
	}
	defer func() {
		p.done()
		err = errors.Join(err, b.close())
	}()
	var r results
	for _, suite := range suites {
		if !slices.Contains(o.only, suite.name) {
			continue
		}
		tables, err := suite.run(b, ctx)
		if ctx.Err() != nil {
			return errors.New("interrupted; servers are stopped and temporary files removed")
		}
		if err != nil {
			return err
		}
		r.tables = append(r.tables, tables...)
	}
	p.done()
	if r.conditions, err = b.conditions(begin, before); err != nil {
		return err
	}
	if _, err := fmt.Fprint(out, r); err != nil {
		return err
	}
	if o.markdown == "" {
		return nil
	}
	if page, err = marks.Insert(page, r.markdown()); err != nil {
		return fmt.Errorf("%s: %w", o.markdown, err)
	}
	return os.WriteFile(o.markdown, []byte(page), 0o644)
}

// readPage returns the page that is to take the figures; empty if there is none.
func readPage(file string) (string, error) {
	page, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	if _, err := marks.Insert(string(page), ""); err != nil {
		return "", fmt.Errorf("%s: %w", file, err)
	}
	return string(page), nil
}

// wrap says whose turn it was.
func wrap(what, name string, err error) error {
	return fmt.Errorf("%s: %s: %w", what, name, err)
}
