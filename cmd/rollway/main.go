// Command rollway is the server and its tools: see rollway help.
//
// It turns flags, environment and a properties file into the options of
// packages broker, wire/client, engine/dump, engine/verify and internal/doctor,
// and their answers into text. A file is a command or what several of them
// share; run is the whole program as a function, which is what the tests call.
package main

import (
	"os"
	"os/signal"
	"syscall"
)

func main() {
	// A reader of stdout that has gone is an error of a write, EPIPE, which
	// each command handles; without this line it would end a server whose
	// standard error goes to a pipe that somebody closed.
	signal.Ignore(syscall.SIGPIPE)
	ctx, stop := withSignals(os.Exit)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}
