package main

import "testing"

// idMask stands for topic ids in golden files, with their width.
const idMask = "TOPIC-ID-IN-BASE64-URL"

// A life of a topic, as text and as JSON.
func TestTopic(t *testing.T) {
	s := startServer(t, t.TempDir(), "--topic-default", "segment.bytes=2097152")
	tr := &transcript{t: t, addr: s.addr}
	tr.mask(`\b[A-Za-z0-9_][A-Za-z0-9_-]{21}(\s|"|$)`, idMask+"$1")

	tr.run("", "topic", "list")
	tr.run("", "topic", "list", "--json")
	tr.run("", "topic", "create", "orders", "--partitions", "2", "--config", "flush.messages=100", "--config", "retention.ms=-1")
	tr.run("", "topic", "create", "a.rather.long.name")
	tr.run("", "topic", "list")
	tr.run("", "topic", "list", "--json")
	tr.run("one\ntwo\n", "produce", "orders", "--partition", "1")
	tr.run("", "topic", "describe", "orders")
	tr.run("", "topic", "describe", "orders", "--json")
	tr.run("", "topic", "delete-records", "orders", "--partition", "1", "--before", "1")
	tr.run("", "topic", "delete-records", "orders", "--partition", "1", "--before", "1", "--json")
	tr.run("", "consume", "orders", "--partition", "1", "--from", "earliest")
	tr.run("", "topic", "delete-records", "orders", "--partition", "1", "--before", "3")
	tr.run("", "topic", "delete-records", "orders", "--partition", "7", "--all")
	tr.run("", "topic", "delete-records", "orders", "--all")
	tr.run("", "topic", "delete-records", "nowhere", "--all")
	tr.run("", "offsets", "orders")
	tr.run("", "topic", "alter", "orders", "--config", "flush.messages=1", "--reset", "retention.ms", "--partitions", "3")
	tr.run("", "topic", "describe", "orders")
	tr.run("", "topic", "delete", "orders")
	tr.run("", "topic", "describe", "orders")
	tr.run("", "topic", "list")
	tr.check("topic")

	all := &transcript{t: t, addr: s.addr}
	all.masks = tr.masks
	all.run("", "topic", "describe", "a.rather.long.name", "--all")
	all.run("", "topic", "describe", "a.rather.long.name", "--all", "--json")
	all.check("topic_all")
}
