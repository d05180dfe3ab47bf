package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/engine/verify"
)

const checkHelp = `Check a whole data directory, file against file: every batch of every log, that
segments, offsets and leader epochs continue, each index entry against the batch
that it names, checkpoints against the logs, directories against the metadata.

It only reads, takes no lock and may run beside a live server; what it reads does
not push the server's pages out of memory. A log that is being appended to, and
after a crash the torn end of one, are no problems; files that are not rollway's
are notes.

Each problem is a line with the file, the position in it, the offset, what was
found and what was wanted. The exit code is 1 if there was any.

With --json each finding is an object on a line of its own, and so is the summary
at the end. See also rollway dump, which prints what the files hold, and rollway
repair, which mends what can be mended.`

type checkOptions struct {
	verify.Options
	json bool
}

func (p *program) newCheck() *cobra.Command {
	var o checkOptions
	cmd := &cobra.Command{
		Use:               "check DIR",
		Short:             "Check that a data directory is whole",
		Long:              checkHelp,
		Args:              arguments("DIR"),
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.check(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().IntVar(&o.Width, "width", 2, "how many partitions are checked at a time")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON, an object a line")
	return cmd
}

// completeDir completes the one argument, a directory.
func completeDir(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func (p *program) check(ctx context.Context, dir string, o checkOptions) error {
	if o.Width < 1 {
		return usagef("check: --width: %d, want at least 1", o.Width)
	}
	shown := newProgress(p.stderr)
	o.Progress = func(done, total int64) {
		shown.updateLine(func(took time.Duration) string { return checkProgress(done, total, took) })
	}
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	start := time.Now()
	summary, err := verify.Dir(ctx, dir, o.Options, func(f verify.Finding) error {
		shown.clear()
		if o.json {
			return printFindingJSON(out, f)
		}
		_, err := fmt.Fprintln(out, findingText(f))
		return errors.Join(err, out.Flush())
	})
	shown.clear()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w; want a data directory", err)
	}
	if err != nil {
		return errors.Join(err, out.Flush())
	}
	if err := errors.Join(printSummary(out, summary, time.Since(start), o.json), out.Flush()); err != nil {
		return err
	}
	return problemsFound(summary.Problems)
}

// problemsFound is the error of a command that has printed so many problems.
func problemsFound(n int64) error {
	switch n {
	case 0:
		return nil
	case 1:
		return errors.New("1 problem was found, see above")
	}
	return fmt.Errorf("%d problems were found, see above", n)
}

func checkProgress(done, total int64, took time.Duration) string {
	seconds := max(took.Seconds(), 1e-3)
	percent := int64(100)
	if total > 0 {
		percent = min(done*100/total, 100)
	}
	return fmt.Sprintf("%3d%% of %s checked, %s/s", percent, humanBytes(total), humanBytes(int64(float64(done)/seconds)))
}

// findingText is a finding as a line of text.
func findingText(f verify.Finding) string {
	if f.Severity == verify.Problem {
		return "PROBLEM " + f.String()
	}
	return string(f.Severity) + " " + f.String()
}

func printFindingJSON(w io.Writer, f verify.Finding) error {
	object, err := json.Marshal(f)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, `{"type":"finding",%s`+"\n", object[1:])
	return err
}

// printSummary prints what was read; took is left out of JSON, which is
// compared.
func printSummary(w io.Writer, s verify.Summary, took time.Duration, asJSON bool) error {
	if asJSON {
		object, err := json.Marshal(s)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, `{"type":"summary",%s`+"\n", object[1:])
		return err
	}
	state := "not stopped cleanly"
	switch {
	case s.Live:
		state = "open in a server"
	case s.Clean:
		state = "stopped cleanly"
	}
	_, err := fmt.Fprintf(w, "%d topics, %d partitions, %d segments, %d batches, %s checked in %v; %s; %s, %s\n",
		s.Topics, s.Partitions, s.Segments, s.Batches, humanBytes(s.Bytes), took.Round(time.Millisecond), state,
		counted(s.Problems, "problem"), counted(s.Notes, "note"))
	return err
}

// counted writes a number and its noun.
func counted(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
