package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"

	"github.com/spf13/cobra"
)

// The exit codes. exitCodesHelp documents them.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitUnreachable = 3
	exitInDoubt     = 4
)

const exitCodesHelp = `Every command says on standard error, in one line, why it did not end with 0.

  0    done. A server: stopped by one SIGTERM or SIGINT, with a clean shutdown.
       A command whose standard output was closed by its reader (| head).
  1    refused or failed; for dump and check: a problem was found; for repair: one
       is left; for doctor: a check failed (a warning is none).
  2    wrong usage: an unknown command, flag, setting or value. Nothing was
       done.
  3    no server answered at the address, or the connection broke. Nothing is
       in doubt.
  4    produce: some records may be in the log or not, since the connection
       broke, or the server's storage failed, before it had answered, and there
       was no answer for --retry-for.
  130  stopped by SIGINT (128 + 2): a client command at the first, a server at
       the second.
  143  the same by SIGTERM (128 + 15).
`

// newExitCodesTopic returns a help topic: a command that does nothing.
func newExitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long:  exitCodesHelp,
	}
}

// usageError is an error that exits with exitUsage.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

func usagef(format string, args ...any) error {
	return usageError{fmt.Sprintf(format, args...)}
}

// errUnreachable marks errors of a connection: there is none, or it broke.
var errUnreachable = errors.New("server not reachable")

// inDoubtError is an error that exits with exitInDoubt.
type inDoubtError struct{ error }

func (e inDoubtError) Unwrap() error { return e.error }

// exitCodeOf returns the exit code of what a command returned. ctx is that of
// the command.
func exitCodeOf(ctx context.Context, err error) int {
	var usage usageError
	var doubt inDoubtError
	var stopped signalError
	switch {
	case err == nil, isClosedOutput(err):
		return exitOK
	case errors.As(err, &usage):
		return exitUsage
	case errors.As(err, &doubt):
		return exitInDoubt
	case errors.As(err, &stopped), errors.As(context.Cause(ctx), &stopped):
		return stopped.exitCode()
	case errors.Is(err, errUnreachable):
		return exitUnreachable
	}
	return exitFailure
}

// An outputError is an error of writing to standard output.
type outputError struct{ error }

func (e outputError) Unwrap() error { return e.error }

// isClosedOutput tells that nobody reads standard output any more.
func isClosedOutput(err error) bool {
	var output outputError
	return errors.As(err, &output) && errors.Is(output, syscall.EPIPE)
}
