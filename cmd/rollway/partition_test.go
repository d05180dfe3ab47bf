package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/rollway/rollway/engine/record"
)

// damage changes a bit of a record in each of some batches of a log file whose
// batches are of one length.
func damage(t *testing.T, name string, batches int, bad ...int) {
	t.Helper()
	log, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range bad {
		log[i*len(log)/batches+record.HeaderSize+6] ^= 1
	}
	if err := os.WriteFile(name, log, 0o600); err != nil {
		t.Fatal(err)
	}
}

// Damage in the middle and at the end of a log, from the error of the first
// reader who meets it to readers who pass it, also after a restart.
func TestPartitionSkip(t *testing.T) {
	dir := t.TempDir()
	s := startServer(t, dir)
	mustExecute(t, "", "topic", "create", "orders", "--partitions", "2", "--addr", s.addr)
	for _, line := range []string{"0000", "1111", "2222", "3333", "4444", "5555", "6666"} {
		mustExecute(t, line, "produce", "orders", "--partition", "0", "--addr", s.addr)
	}
	s.stop(t)
	damage(t, filepath.Join(dir, "orders-0", "00000000000000000000.log"), 7, 2, 5, 6)
	s = startServer(t, dir)

	tr := &transcript{t: t, addr: s.addr}
	tr.mask(`\b[A-Za-z0-9_][A-Za-z0-9_-]{21}(\s|"|$)`, idMask+"$1")
	tr.mask(`crc [0-9a-f]{8}, want [0-9a-f]{8}`, "crc CRC, want CRC")
	skip := func(args ...string) {
		t.Helper()
		tr.run("", append([]string{"partition", "skip", "orders"}, args...)...)
	}
	// Nothing has told the server yet, for only a crc shows it.
	skip("--partition", "0", "--all", "--dry-run")
	tr.run("", "consume", "orders")
	tr.run("", "consume", "orders", "--from", "3", "--partition", "0")
	skip("--partition", "0", "--offset", "2", "--dry-run")
	tr.run("", "consume", "orders")
	tr.run("", "consume", "orders", "--from", "2", "--partition", "0")
	tr.run("", "consume", "orders", "--from", "3", "--partition", "0", "--max", "2")
	tr.run("", "topic", "describe", "orders")

	skip("--partition", "0", "--offset", "2")
	skip("--partition", "0", "--offset", "2")
	tr.run("", "topic", "describe", "orders")
	tr.run("", "topic", "describe", "orders", "--json")
	tr.run("", "consume", "orders")
	skip("--partition", "0", "--all", "--dry-run")
	skip("--partition", "0", "--all")
	skip("--partition", "1", "--all")
	tr.run("", "consume", "orders")
	tr.run("", "consume", "orders", "--from", "2", "--partition", "0")
	tr.run("", "consume", "orders", "--from", "5", "--partition", "0")
	tr.run("", "consume", "orders", "--from", "@0", "--format", `%o %v\n`)
	tr.run("", "offsets", "orders")

	// Wrong asked.
	skip("--partition", "0", "--offset", "3")
	skip("--partition", "0", "--offset", "8")
	skip("--partition", "2", "--all")
	tr.run("", "partition", "skip", "nope", "--partition", "0", "--all")
	skip("--all")
	skip("--partition", "-1", "--all")
	skip("--partition", "0")
	skip("--partition", "0", "--all", "--offset", "2")
	skip("--partition", "0", "--offset", "-1")
	skip("--partition", "0", "--offset", "two")
	skip("--partition", "0", "--all", "2")
	tr.run("", "partition", "skip")

	s.stop(t)
	s = startServer(t, dir)
	tr.addr = s.addr
	mustExecute(t, "7777", "produce", "orders", "--partition", "0", "--addr", s.addr)
	tr.run("", "consume", "orders", "--format", `%o %v\n`)
	skip("--partition", "0", "--all")
	tr.check("partition_skip")
}
