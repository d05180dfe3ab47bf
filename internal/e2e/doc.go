// Package e2e tests the program that users get: it builds rollway once, starts
// it as a process of its own, and talks to it through its command line and the
// native client. It looks at the process from outside, too: by strace, and by
// killing it.
package e2e
