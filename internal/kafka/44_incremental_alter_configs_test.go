package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/node"
)

// overridesOf returns what a topic sets itself.
func overridesOf(t testing.TB, f *frontend, name string) map[string]string {
	t.Helper()
	topic, err := f.engine.Topic(name)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for _, e := range topic.Configs() {
		if e.Source == topicconfig.FromTopic {
			set[e.Name] = e.Value
		}
	}
	return set
}

// checkOverrides fails the test unless a topic sets exactly these configs.
func checkOverrides(t testing.TB, f *frontend, name string, want map[string]string) {
	t.Helper()
	got := overridesOf(t, f, name)
	if len(got) != len(want) {
		t.Errorf("topic %s sets %v, want %v", name, got, want)
	}
	for key, value := range want {
		if got[key] != value {
			t.Errorf("topic %s has %s=%s, want %s", name, key, got[key], value)
		}
	}
}

// configEdits are edits as name, operation, value; "-" stands for null.
type configEdits []struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value string
}

// orNull is value, nil for "-".
func orNull(value string) *string {
	if value == "-" {
		return nil
	}
	return &value
}

// Configs of topics are set, reset and edited as lists in both versions, all of
// a topic or none, and not where that is only validated; what Kafka refuses is
// refused.
func TestIncrementalAlterConfigs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	const leader = "leader.replication.throttled.replicas"
	const set, reset, add, remove = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	type m = map[string]string
	for version := int16(0); version <= 1; version++ {
		if _, err := f.engine.CreateTopic(engine.TopicSpec{Name: "t", Configs: m{"segment.bytes": "2097152"}}); err != nil {
			t.Fatal(err)
		}
		ask := func(kind kmsg.ConfigResourceType, name string, validateOnly bool, edits configEdits) kmsg.IncrementalAlterConfigsResponseResource {
			t.Helper()
			m := kmsg.NewPtrIncrementalAlterConfigsRequest()
			m.ValidateOnly = validateOnly
			r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kind, ResourceName: name}
			for _, e := range edits {
				r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: e.name, Op: e.op, Value: orNull(e.value)})
			}
			m.Resources = append(m.Resources, r)
			answer := c.ask(m, version).(*kmsg.IncrementalAlterConfigsResponse)
			if len(answer.Resources) != 1 || answer.Resources[0].ResourceType != kind || answer.Resources[0].ResourceName != name {
				t.Fatalf("version %d: %+v", version, answer)
			}
			return answer.Resources[0]
		}
		alter := func(before, after m, edits configEdits) {
			t.Helper()
			for _, validateOnly := range []bool{true, false} {
				checkOverrides(t, f, "t", before)
				a := ask(kmsg.ConfigResourceTypeTopic, "t", validateOnly, edits)
				checkOutcome(t, "t", a.ErrorCode, a.ErrorMessage, codeNone, "")
			}
			checkOverrides(t, f, "t", after)
		}
		alter(m{"segment.bytes": "2097152"}, m{"retention.ms": "5", leader: "0:0,1:0"},
			configEdits{{"retention.ms", set, "5"}, {"segment.bytes", reset, "-"}, {leader, add, "0:0,1:0"}})
		alter(m{"retention.ms": "5", leader: "0:0,1:0"}, m{"retention.ms": "6", leader: "1:0"},
			configEdits{{"retention.ms", set, "6"}, {"segment.bytes", reset, ""}, {leader, remove, "0:0"}})
		alter(m{"retention.ms": "6", leader: "1:0"}, m{"retention.ms": "6", leader: "1:0"}, nil)

		refuse := func(name string, want code, words string, edits configEdits) {
			t.Helper()
			for _, validateOnly := range []bool{true, false} {
				a := ask(kmsg.ConfigResourceTypeTopic, name, validateOnly, edits)
				checkOutcome(t, name, a.ErrorCode, a.ErrorMessage, want, words)
				checkOverrides(t, f, "t", m{"retention.ms": "6", leader: "1:0"})
			}
		}
		refuse("t", codeInvalidConfig, "retention.ms", configEdits{{"retention.ms", set, "-5"}})
		refuse("t", codeInvalidConfig, "1048576", configEdits{{"retention.ms", set, "7"}, {"segment.bytes", set, "200"}})
		refuse("t", codeInvalidConfig, "type is long", configEdits{{"retention.ms", add, "7"}})
		refuse("t", codeInvalidConfig, "type is long", configEdits{{"retention.ms", remove, "7"}})
		refuse("t", codeInvalidConfig, "no.such", configEdits{{"no.such", set, "7"}})
		refuse("t", codeInvalidConfig, "no.such", configEdits{{"no.such", reset, "-"}})
		refuse("t", codeInvalidConfig, "no.such", configEdits{{"no.such", add, "7"}})
		refuse("t", codeInvalidConfig, "cleanup.policy", configEdits{{"cleanup.policy", add, "shred"}})
		refuse("t", codeInvalidRequest, "null", configEdits{{"retention.ms", set, "-"}})
		refuse("t", codeInvalidRequest, "null", configEdits{{leader, add, "-"}})
		refuse("t", codeInvalidRequest, "twice", configEdits{{"retention.ms", set, "7"}, {"retention.ms", reset, "-"}})
		refuse("t", codeInvalidRequest, "operation 9", configEdits{{"retention.ms", 9, "7"}})
		refuse("u", codeUnknownTopicOrPartition, "u", configEdits{{"retention.ms", set, "7"}})
		refuse("u", codeInvalidConfig, "no.such", configEdits{{"no.such", set, "7"}})
		refuse("no/name", codeInvalidTopic, "no/name", configEdits{{"retention.ms", set, "7"}})
		refuse("", codeInvalidRequest, "without a name", configEdits{{"retention.ms", set, "7"}})
		a := ask(kmsg.ConfigResourceTypeBrokerLogger, "0", false, nil)
		checkOutcome(t, "logger", a.ErrorCode, a.ErrorMessage, codeInvalidRequest, "type 8")
		if err := f.engine.DeleteTopic("t"); err != nil {
			t.Fatal(err)
		}
	}
}

// AlterConfigs sets all configs of a topic in every version: those that it does
// not name go back to their defaults. The same resource twice is refused.
func TestAlterConfigs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	type m = map[string]string
	before := m{"segment.bytes": "2097152", "max.message.bytes": "5000"}
	for version := int16(0); version <= 2; version++ {
		if _, err := f.engine.CreateTopic(engine.TopicSpec{Name: "t", Configs: before}); err != nil {
			t.Fatal(err)
		}
		createTopic(t, f, "u", 1)
		resource := func(name string, pairs ...string) kmsg.AlterConfigsRequestResource {
			r := kmsg.AlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name}
			for i := 0; i < len(pairs); i += 2 {
				r.Configs = append(r.Configs, kmsg.AlterConfigsRequestResourceConfig{Name: pairs[i], Value: orNull(pairs[i+1])})
			}
			return r
		}
		ask := func(validateOnly bool, resources ...kmsg.AlterConfigsRequestResource) []kmsg.AlterConfigsResponseResource {
			m := kmsg.NewPtrAlterConfigsRequest()
			m.Resources, m.ValidateOnly = resources, validateOnly
			return c.ask(m, version).(*kmsg.AlterConfigsResponse).Resources
		}
		for _, validateOnly := range []bool{true, false} {
			for _, a := range []struct {
				resource kmsg.AlterConfigsRequestResource
				want     code
				words    string
			}{
				{resource("t", "retention.ms", "-5"), codeInvalidConfig, "retention.ms"},
				{resource("t", "no.such", "5"), codeInvalidConfig, "no.such"},
				{resource("t", "retention.ms", "-"), codeInvalidRequest, "null"},
				{resource("t", "retention.ms", "5", "retention.ms", "6"), codeInvalidRequest, "twice"},
				{resource("w", "no.such", "5"), codeInvalidConfig, "no.such"}, // the key comes first
				{resource("w", "retention.ms", "5"), codeUnknownTopicOrPartition, "w"},
			} {
				got := ask(validateOnly, a.resource)[0]
				checkOutcome(t, a.resource.ResourceName, got.ErrorCode, got.ErrorMessage, a.want, a.words)
			}
			checkOverrides(t, f, "t", before)
			answers := ask(validateOnly, resource("t", "retention.ms", "5", "max.message.bytes", "6000"), resource("u", "retention.ms", "7"), resource("u"))
			if len(answers) != 2 {
				t.Fatalf("version %d: %d answers, want one for each resource", version, len(answers))
			}
			checkOutcome(t, "t", answers[0].ErrorCode, answers[0].ErrorMessage, codeNone, "")
			checkOutcome(t, "u twice", answers[1].ErrorCode, answers[1].ErrorMessage, codeInvalidRequest, "2 times")
		}
		checkOverrides(t, f, "t", m{"retention.ms": "5", "max.message.bytes": "6000"})
		checkOverrides(t, f, "u", nil)
		ask(false, resource("t"))
		checkOverrides(t, f, "t", nil)
		for _, name := range []string{"t", "u"} {
			if err := f.engine.DeleteTopic(name); err != nil {
				t.Fatal(err)
			}
		}
	}
}
