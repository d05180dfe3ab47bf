package server

import (
	"slices"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
)

// Topics are created, described, listed, altered and deleted, and what a
// request changed is there for the next one of the same pipeline.
func TestTopics(t *testing.T) {
	f := openFrontend(t, Options{})
	m := greeted(t, f)
	var p []byte
	p = (&wire.CreateTopic{Topic: "b", Partitions: 2, Configs: []wire.Config{{Key: "segment.bytes", Value: "1048576"}}}).AppendTo(p, 1)
	p = produceTo("b", 1, wire.AcksAll, batchOf(t, "x")).AppendTo(p, 2)
	p = (&wire.CreateTopic{Topic: "a", Partitions: wire.ServerDefault}).AppendTo(p, 3)
	p = (&wire.ListTopics{}).AppendTo(p, 4)
	p = (&wire.AlterTopic{Topic: "b", Set: []wire.Config{{Key: "segment.ms", Value: "60000"}}, Reset: []string{"segment.bytes"}, Partitions: 3}).AppendTo(p, 5)
	p = (&wire.DescribeTopic{Topic: "b"}).AppendTo(p, 6)
	p = (&wire.DeleteTopic{Topic: "b"}).AppendTo(p, 7)
	p = (&wire.DescribeTopic{Topic: "b"}).AppendTo(p, 8)
	p = (&wire.ListTopics{}).AppendTo(p, 9)
	m.Receive(p)
	m.done(1)
	m.produced(2, 0, 1)
	m.done(3)
	list := must(wire.ParseTopicList(m.answer(4, wire.KindTopicList)))(t)
	if len(list.Topics) != 2 || list.Topics[0].Topic != "a" || list.Topics[0].Partitions != 1 || list.Topics[1].Topic != "b" || list.Topics[1].Partitions != 2 {
		t.Errorf("topics %+v", list.Topics)
	}
	m.done(5)
	d := must(wire.ParseTopicDescription(m.answer(6, wire.KindTopicDescription)))(t)
	if d.Topic != "b" || d.TopicID != list.Topics[1].TopicID || len(d.Partitions) != 3 {
		t.Errorf("topic %s, id %x, %d partitions", d.Topic, d.TopicID, len(d.Partitions))
	}
	want := wire.Partition{Index: 1, State: wire.StateReady, HighWatermark: 1, LogEnd: 1}
	if d.Partitions[1] != want {
		t.Errorf("partition %+v, want %+v", d.Partitions[1], want)
	}
	config := func(key string) wire.ConfigDescription {
		i := slices.IndexFunc(d.Configs, func(c wire.ConfigDescription) bool { return c.Key == key })
		if i < 0 {
			t.Fatalf("no config %s", key)
		}
		return d.Configs[i]
	}
	if c := config("segment.ms"); c.Value != "60000" || c.Source != wire.SourceTopic || !c.InForce || c.Documentation == "" {
		t.Errorf("%+v", c)
	}
	if c := config("segment.bytes"); c.Source != wire.SourceDefault {
		t.Errorf("%+v", c)
	}
	m.done(7)
	m.refused(8, wire.CodeUnknownTopic)
	list = must(wire.ParseTopicList(m.answer(9, wire.KindTopicList)))(t)
	if len(list.Topics) != 1 {
		t.Errorf("topics %+v", list.Topics)
	}
	m.quiet()
}

// What cannot be done to a topic is refused with a reason, and nothing changes.
func TestTopicsRefused(t *testing.T) {
	f := openFrontend(t, Options{}, func(o *node.Options) {
		o.MaxFrameBytes = 64 << 10
		o.Engine.TopicDefaults = map[string]string{"segment.ms": "70000"}
	})
	createTopic(t, f, "a.b", nil)
	m := greeted(t, f)
	id := uint32(0)
	check := func(request message, code wire.Code, text string) {
		t.Helper()
		id++
		m.ask(id, request)
		if got := m.refused(id, code); !strings.Contains(got, text) {
			t.Errorf("%T: text %q, want %q in it", request, got, text)
		}
	}
	configs := func(pairs ...string) (c []wire.Config) {
		for i := 0; i < len(pairs); i += 2 {
			c = append(c, wire.Config{Key: pairs[i], Value: pairs[i+1]})
		}
		return c
	}
	check(&wire.CreateTopic{Topic: "a.b", Partitions: 1}, wire.CodeTopicExists, "a.b")
	check(&wire.CreateTopic{Topic: "a_b", Partitions: 1}, wire.CodeTopicExists, "differ only in '.' and '_'")
	check(&wire.CreateTopic{Topic: "a/b", Partitions: 1}, wire.CodeInvalidTopicName, "a/b")
	check(&wire.CreateTopic{Topic: "c", Partitions: 1_000_000}, wire.CodeInvalidRequest, "at most 20000")
	check(&wire.CreateTopic{Topic: "c", Partitions: 1, Configs: configs("segment.byte", "1")}, wire.CodeInvalidConfig, `did you mean "segment.bytes"`)
	check(&wire.CreateTopic{Topic: "c", Partitions: 1, Configs: configs("segment.bytes", "many")}, wire.CodeInvalidConfig, "many")
	check(&wire.CreateTopic{Topic: "c", Partitions: 1, Configs: configs("segment.ms", "1", "segment.ms", "2")}, wire.CodeInvalidRequest, `"segment.ms" twice`)
	check(&wire.AlterTopic{Topic: "c"}, wire.CodeUnknownTopic, `"c"`)
	check(&wire.AlterTopic{Topic: "a.b", Partitions: 1}, wire.CodeInvalidRequest, "")
	check(&wire.AlterTopic{Topic: "a.b", Reset: []string{"nothing"}}, wire.CodeInvalidConfig, "nothing")
	check(&wire.AlterTopic{Topic: "a.b", Set: configs("segment.ms", "1"), Reset: []string{"segment.ms"}}, wire.CodeInvalidRequest, "set and reset")
	check(&wire.DeleteTopic{Topic: "c"}, wire.CodeUnknownTopic, `"c"`)
	check(&wire.DescribeTopic{Topic: "c"}, wire.CodeUnknownTopic, `"c"`)
	// An answer that has outgrown the frame.
	if _, err := f.engine.CreateTopic(specOf("wide", 2500)); err != nil {
		t.Fatal(err)
	}
	check(&wire.DescribeTopic{Topic: "wide"}, wire.CodeMessageTooLarge, "a frame at most 65536")

	m.ask(99, &wire.DescribeTopic{Topic: "a.b"})
	d := must(wire.ParseTopicDescription(m.answer(99, wire.KindTopicDescription)))(t)
	for _, c := range d.Configs {
		if want := wire.SourceServer; c.Key == "segment.ms" && (c.Source != want || c.Value != "70000") {
			t.Errorf("%+v, want source %v", c, want)
		}
	}
	if topics := f.engine.Topics(); len(topics) != 2 || len(topics["a.b"].Partitions()) != 2 {
		t.Errorf("%d topics", len(topics))
	}
}
