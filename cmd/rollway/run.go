package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rollway/rollway/internal/nearest"
)

// program is what all commands share.
type program struct {
	stdin  io.Reader
	stdout io.Writer // its errors are outputErrors
	stderr io.Writer
}

// run is the program: it executes the command that args name and returns the
// exit code. A signal ends ctx, with a signalError as its cause. What goes
// wrong is one line on stderr; a signal alone, which whoever sent it knows of,
// is none.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	p := &program{stdin: stdin, stdout: output{stdout}, stderr: stderr}
	root := p.newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	code := exitCodeOf(ctx, err)
	if _, stopped := err.(signalError); code != exitOK && !stopped {
		fmt.Fprintf(stderr, "rollway: %v\n", err)
	}
	return code
}

// output marks what goes wrong with standard output.
type output struct{ w io.Writer }

func (o output) Write(p []byte) (int, error) {
	n, err := o.w.Write(p)
	if err != nil {
		err = outputError{fmt.Errorf("standard output: %w", err)}
	}
	return n, err
}

const rootHelp = `rollway is a log storage engine: it appends batches of records to the
partitions of topics, in Kafka's own file formats, and gives them back straight
from the page cache.

Start a server, then make a topic and put a file through it:

  rollway serve
  rollway topic create lines
  rollway produce lines access.log
  rollway consume lines`

// newRoot returns the command that has all the others.
func (p *program) newRoot() *cobra.Command {
	root := p.newGroup("rollway", "Log storage engine", rootHelp)
	root.SilenceErrors = true
	root.SilenceUsage = true
	root.SetFlagErrorFunc(flagError)
	root.SetIn(p.stdin)
	root.SetOut(p.stdout) // before the completion command, which keeps it
	root.SetErr(p.stderr)
	root.AddCommand(
		p.newServe(),
		p.newTopic(),
		p.newPartition(),
		p.newProduce(),
		p.newConsume(),
		p.newOffsets(),
		p.newConsumerGroup(),
		p.newBench(),
		p.newDump(),
		p.newCheck(),
		p.newRepair(),
		p.newDoctor(),
		p.newVersion(),
		newExitCodesTopic(),
	)
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	return root
}

// newGroup returns a command that only has others: alone it shows its help.
func (p *program) newGroup(use, short, long string) *cobra.Command {
	return &cobra.Command{
		Use:                   use,
		Short:                 short,
		Long:                  long,
		DisableFlagsInUseLine: true,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			var names []string
			for _, c := range cmd.Commands() {
				if c.IsAvailableCommand() {
					names = append(names, c.Name())
				}
			}
			return usagef("unknown command %q; did you mean %q? See %s --help", nearest.Shorten(args[0]), nearest.Of(args[0], names), cmd.CommandPath())
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
}

// flagError makes one line of what pflag says, and names the flag that was
// probably meant.
func flagError(cmd *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var invalid *pflag.InvalidValueError
	if errors.As(err, &invalid) {
		return usagef("%s: --%s: %v", name(cmd), invalid.GetFlag().Name, valueError(invalid.GetFlag(), invalid.GetValue(), invalid.Unwrap()))
	}
	if !errors.As(err, &unknown) {
		return usagef("%s: %v", name(cmd), err)
	}
	flag := unknown.GetSpecifiedName()
	if len(flag) == 1 {
		return usagef("%s: unknown flag -%s; see %s --help", name(cmd), flag, cmd.CommandPath())
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	return usagef("%s: unknown flag --%s; did you mean --%s? See %s --help", name(cmd), nearest.Shorten(flag), nearest.Of(flag, names), cmd.CommandPath())
}

// valueError says what was found and wanted where a value of a flag could not
// be read; err is what its Set returned. The types of this program say it
// themselves.
func valueError(f *pflag.Flag, value string, err error) error {
	want := map[string]string{
		"int": "a whole number", "int32": "a whole number of 32 bits", "int64": "a whole number",
		"bool": "true or false", "duration": "a duration, such as 500ms, 10s or 1h",
		"level": "debug, info, warn or error",
	}[f.Value.Type()]
	if want == "" {
		return err
	}
	return fmt.Errorf("%q, want %s", nearest.Shorten(value), want)
}

// name is how messages name a command: its path below the program.
func name(cmd *cobra.Command) string {
	path, below := strings.CutPrefix(cmd.CommandPath(), cmd.Root().Name()+" ")
	if !below {
		return "command line"
	}
	return path
}

// arguments accepts exactly the named arguments; a last name that ends in
// "..." stands for any number.
func arguments(names ...string) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		least, most := len(names), len(names)
		if most > 0 && strings.HasSuffix(names[most-1], "...") {
			least, most = least-1, -1
		}
		switch {
		case len(args) < least:
			return usagef("%s: %s is missing; see %s --help", name(cmd), names[len(args)], cmd.CommandPath())
		case most >= 0 && len(args) > most:
			return usagef("%s: unexpected argument %q; see %s --help", name(cmd), nearest.Shorten(args[most]), cmd.CommandPath())
		}
		return nil
	}
}
