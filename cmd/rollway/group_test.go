package main

import (
	"bytes"
	"testing"

	"github.com/rollway/rollway/internal/golden"
	"github.com/rollway/rollway/wire"
)

// A life of a group, as text and as JSON: read, described, reset, deleted.
func TestGroup(t *testing.T) {
	s := startServer(t, t.TempDir())
	tr := &transcript{t: t, addr: s.addr}
	tr.mask(`"lag_ms": [1-9]\d*`, `"lag_ms": 1234`)
	tr.mask(`\b[A-Za-z0-9_][A-Za-z0-9_-]{21}\n`, idMask+"\n")
	mustExecute(t, "", "topic", "create", "orders", "--partitions", "2", "--addr", s.addr)
	mustExecute(t, "one\ntwo\nthree\n", "produce", "orders", "--partition", "0", "--addr", s.addr)
	mustExecute(t, "four\nfive\n", "produce", "orders", "--partition", "1", "--addr", s.addr)

	tr.run("", "group", "list")
	tr.run("", "group", "list", "--json")
	tr.run("", "consume", "orders", "--group", "billing", "--max", "2")
	tr.run("", "group", "list")
	tr.run("", "group", "list", "--json")
	tr.run("", "group", "describe", "billing", "--json")
	tr.run("", "consume", "orders", "--group", "billing", "--format", `%p %o %v\n`)
	tr.run("", "consume", "orders", "--group", "billing")
	tr.run("", "group", "describe", "billing")
	tr.run("", "consume", "orders", "--group", "late", "--from", "latest")
	tr.run("six\n", "produce", "orders", "--partition", "1")
	tr.run("", "consume", "orders", "--group", "late", "--from", "earliest")

	tr.run("", "group", "reset", "billing", "orders", "--to-earliest", "--dry-run")
	tr.run("", "group", "reset", "billing", "orders:1", "--to-offset", "1")
	tr.run("", "consume", "orders", "--group", "billing")
	tr.run("", "group", "reset", "billing", "orders", "--shift-by", "-2")
	tr.run("", "group", "reset", "billing", "orders", "--shift-by", "100", "--json")
	tr.run("", "group", "reset", "billing", "orders", "--to-datetime", "2026-01-01T00:00:00Z", "--dry-run")
	tr.run("", "group", "reset", "billing", "orders", "--to-datetime", "@4102444800000", "--dry-run")
	tr.run("", "group", "reset", "billing", "orders", "--to-offset", "99", "--dry-run")
	tr.run("", "group", "reset", "fresh", "orders", "--to-latest")
	tr.run("", "group", "reset", "none", "orders", "--shift-by", "1")
	tr.run("", "group", "reset", "billing", "nowhere", "--to-latest")
	tr.run("", "group", "reset", "billing", "orders:2", "--to-latest")

	tr.run("", "topic", "delete-records", "orders", "--all")
	tr.run("", "group", "reset", "billing", "orders", "--to-offset", "1", "--dry-run")
	tr.run("", "group", "delete", "billing")
	tr.run("", "group", "delete", "billing")
	tr.run("", "group", "describe", "billing")
	tr.run("", "group", "list")

	tr.run("", "topic", "list")
	tr.run("", "topic", "list", "--internal")
	tr.check("group")

	tr = &transcript{t: t, addr: s.addr}
	tr.run("", "consume", "orders", "--group", "")
	tr.run("", "consume", "orders", "--group", "g", "--partition", "1")
	tr.run("", "consume", "nowhere", "--group", "g")
	tr.run("", "group", "reset", "g", "orders")
	tr.run("", "group", "reset", "g", "orders", "--to-earliest", "--to-latest")
	tr.run("", "group", "reset", "g", "orders", "--to-earliest=false")
	tr.run("", "group", "reset", "g", "orders", "--to-offset", "-1")
	tr.run("", "group", "reset", "g", "orders", "--to-datetime", "yesterday")
	tr.run("", "group", "reset", "g", "orders:x", "--to-latest")
	tr.run("", "group", "reset", "g")
	tr.run("", "group", "describe")
	tr.check("group_bad_input")
}

// A group with members is shown with what they have; partitions of which nothing is known, too.
func TestPrintGroup(t *testing.T) {
	d := wire.GroupDescription{
		Group: "billing", State: wire.GroupStable, ProtocolType: "consumer", Protocol: "range", Generation: 5,
		Members: []wire.GroupMember{
			{Member: "app-1", Instance: "one", ClientID: "app", Host: "/10.0.0.7", Assigned: []wire.TopicPartitions{{Topic: "orders", Partitions: []int32{0, 1}}, {Topic: "gone"}}},
			{Member: "app-2", ClientID: "app", Host: "/10.0.0.8"},
		},
		Offsets: []wire.GroupOffset{
			{Topic: "gone", Partition: 0, Committed: 7, LeaderEpoch: 2, LogStart: -1, HighWatermark: -1, Lag: -1, LagMs: -1},
			{Topic: "orders", Partition: 0, Committed: 42, LeaderEpoch: 3, LogStart: 7, HighWatermark: 50, Lag: 8, LagMs: 1500},
			{Topic: "orders", Partition: 1, Committed: -1, LeaderEpoch: -1, HighWatermark: 100, Lag: -1, LagMs: -1},
			{Topic: "orders", Partition: 2, Committed: 1_000_000, LeaderEpoch: -1, HighWatermark: 1_000_000},
			{Topic: "orders", Partition: 3, Committed: 0, LeaderEpoch: -1, HighWatermark: 1, Lag: 1, LagMs: 3_725_900},
			{Topic: "orders", Partition: 4, Committed: 0, LeaderEpoch: -1, HighWatermark: 1, Lag: 1, LagMs: 30 * 86_400_000},
		},
	}
	var b bytes.Buffer
	p := &program{stdout: &b}
	for _, json := range []bool{false, true} {
		if err := p.printGroup(d, json); err != nil {
			t.Fatal(err)
		}
	}
	golden.Check(t, "group_members", b.Bytes())
}
