package kafka

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/brokerconfig"
	"github.com/rollway/rollway/internal/node"
)

// Every setting of this broker is described, and of all brokers what was altered
// for them, in every version; other brokers are refused.
func TestDescribeBroker(t *testing.T) {
	f := openFrontend(t, node.Options{Settings: map[string]string{"num.io.threads": "3"}, Engine: engine.Options{NodeID: 4}})
	c := dial(t, f)
	if err := f.node.AlterSettings(false, map[string]string{"log.retention.ms": "5000"}, nil); err != nil {
		t.Fatal(err)
	}
	if err := f.node.AlterSettings(true, map[string]string{"log.retention.ms": "6000"}, nil); err != nil {
		t.Fatal(err)
	}
	all := func(m *kmsg.DescribeConfigsRequest) { m.IncludeSynonyms, m.IncludeDocumentation = true, true }
	for version := int16(1); version <= 4; version++ {
		d := describe(c, version, kmsg.ConfigResourceTypeBroker, "4", all)
		checkOutcome(t, "4", d.ErrorCode, d.ErrorMessage, codeNone, "")
		if len(d.Configs) != len(brokerconfig.Keys()) {
			t.Errorf("version %d: %d settings, want %d", version, len(d.Configs), len(brokerconfig.Keys()))
		}
		for name, want := range map[string]struct {
			value    string
			source   kmsg.ConfigSource
			readOnly bool
			synonyms int
		}{
			"num.io.threads":            {"3", kmsg.ConfigSourceStaticBrokerConfig, false, 2},
			"num.partitions":            {"1", kmsg.ConfigSourceDefaultConfig, true, 1},
			"log.retention.ms":          {"6000", kmsg.ConfigSourceDynamicBrokerConfig, false, 3},
			"auto.create.topics.enable": {"true", kmsg.ConfigSourceDefaultConfig, true, 1},
		} {
			got := configOf(t, d, name)
			if text(got.Value) != want.value || got.Source != want.source || got.ReadOnly != want.readOnly || len(got.ConfigSynonyms) != want.synonyms {
				t.Errorf("version %d: %s is %s, %+v; want %+v", version, name, text(got.Value), got, want)
			}
			if (got.Documentation != nil) != (version >= 3) {
				t.Errorf("version %d: documentation %q", version, text(got.Documentation))
			}
		}
		if rack := configOf(t, d, "broker.rack"); rack.Value != nil {
			t.Errorf("version %d: broker.rack is %q, want null", version, *rack.Value)
		}

		d = describe(c, version, kmsg.ConfigResourceTypeBroker, "", all)
		if len(d.Configs) != 1 || d.ErrorCode != 0 {
			t.Fatalf("version %d: %+v of all brokers, want the one setting that was altered", version, d)
		}
		got := d.Configs[0]
		if got.Name != "log.retention.ms" || text(got.Value) != "5000" || got.Source != kmsg.ConfigSourceDynamicDefaultBrokerConfig || len(got.ConfigSynonyms) != 1 {
			t.Errorf("version %d: %s=%s, %+v", version, got.Name, text(got.Value), got)
		}
		for name, words := range map[string]string{"5": "broker 5, this is 4", "four": "want its number, 4"} {
			d = describe(c, version, kmsg.ConfigResourceTypeBroker, name)
			checkOutcome(t, name, d.ErrorCode, d.ErrorMessage, codeInvalidRequest, words)
		}
	}
}

// settingsText lists settings by name.
func settingsText(settings map[string]string) (text string) {
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		text += name + "=" + settings[name] + " "
	}
	return text
}

// Settings of this broker and of all are altered by both requests, with every
// operation; what cannot be altered is refused and nothing of that request done.
func TestAlterBroker(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 1)
	c := dial(t, f)
	check := func(name, want string) {
		t.Helper()
		altered := f.engine.NodeConfigs().Own
		if name == "" {
			altered = f.engine.NodeConfigs().All
		}
		if got := settingsText(altered); got != want {
			t.Errorf("altered for broker %q: %s, want %s", name, got, want)
		}
	}
	alter := func(name string, want code, words string, edits configEdits) {
		t.Helper()
		for _, validateOnly := range []bool{true, false} {
			before := settingsText(f.engine.NodeConfigs().Own) + settingsText(f.engine.NodeConfigs().All)
			m := kmsg.NewPtrIncrementalAlterConfigsRequest()
			m.ValidateOnly = validateOnly
			r := kmsg.IncrementalAlterConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: name}
			for _, e := range edits {
				r.Configs = append(r.Configs, kmsg.IncrementalAlterConfigsRequestResourceConfig{Name: e.name, Op: e.op, Value: orNull(e.value)})
			}
			m.Resources = append(m.Resources, r)
			a := c.ask(m, 1).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
			checkOutcome(t, name, a.ErrorCode, a.ErrorMessage, want, words)
			after := settingsText(f.engine.NodeConfigs().Own) + settingsText(f.engine.NodeConfigs().All)
			if (validateOnly || want != codeNone) && after != before {
				t.Errorf("broker %q: %s was altered to %s", name, before, after)
			}
		}
	}
	const set, reset, add, remove = kmsg.IncrementalAlterConfigOpSet, kmsg.IncrementalAlterConfigOpDelete, kmsg.IncrementalAlterConfigOpAppend, kmsg.IncrementalAlterConfigOpSubtract
	alter("0", codeNone, "", configEdits{{"log.retention.ms", set, "5000"}, {"num.io.threads", set, "3"}})
	alter("", codeNone, "", configEdits{{"log.retention.ms", set, "6000"}})
	check("0", "log.retention.ms=5000 num.io.threads=3 ")
	check("", "log.retention.ms=6000 ")
	if topic, _ := f.engine.Topic("t"); topic.Config().RetentionMs != 5000 {
		t.Errorf("retention.ms of a topic is %d, want the broker's 5000", topic.Config().RetentionMs)
	}
	alter("0", codeNone, "", configEdits{{"log.retention.ms", reset, "-"}, {"log.cleanup.policy", remove, "delete"}})
	check("0", "log.cleanup.policy= num.io.threads=3 ")
	alter("0", codeNone, "", configEdits{{"log.cleanup.policy", add, "delete"}})
	check("0", "log.cleanup.policy=delete num.io.threads=3 ")

	alter("0", codeInvalidRequest, "cannot be altered", configEdits{{"num.io.threads", set, "4"}, {"log.dirs", set, "/elsewhere"}})
	alter("", codeInvalidRequest, "cannot be altered", configEdits{{"num.partitions", set, "4"}})
	alter("0", codeInvalidRequest, "log.retention.ms", configEdits{{"log.retention.ms", set, "-5"}})
	alter("0", codeInvalidConfig, "no.such", configEdits{{"no.such", set, "1"}})
	alter("0", codeInvalidConfig, "no.such", configEdits{{"no.such", add, "1"}})
	alter("0", codeInvalidRequest, "its type is int", configEdits{{"num.io.threads", add, "1"}})
	alter("1", codeInvalidRequest, "broker 1, this is 0", configEdits{{"num.io.threads", set, "4"}})
	alter("one", codeInvalidRequest, "want its number", configEdits{{"num.io.threads", set, "4"}})

	m := kmsg.NewPtrAlterConfigsRequest()
	value := "7000"
	m.Resources = []kmsg.AlterConfigsRequestResource{{
		ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: "0",
		Configs: []kmsg.AlterConfigsRequestResourceConfig{{Name: "log.retention.ms", Value: &value}},
	}}
	for version := int16(0); version <= 2; version++ {
		a := c.ask(m, version).(*kmsg.AlterConfigsResponse).Resources[0]
		checkOutcome(t, "0", a.ErrorCode, a.ErrorMessage, codeNone, "")
		check("0", "log.retention.ms=7000 ")
		check("", "log.retention.ms=6000 ")
	}
}

// A client alters how many connections there may be: the next that comes is let in
// or refused accordingly, those that are there stay, and it is described where the
// bound comes from.
func TestAlterMaxConnections(t *testing.T) {
	f := openFrontend(t, node.Options{MaxConnections: 1})
	s := serve(t, f)
	c := dialTo(t, s)
	set := func(broker, value string) {
		t.Helper()
		m := kmsg.NewPtrIncrementalAlterConfigsRequest()
		m.Resources = []kmsg.IncrementalAlterConfigsRequestResource{{
			ResourceType: kmsg.ConfigResourceTypeBroker, ResourceName: broker,
			Configs: []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: "max.connections", Value: &value}},
		}}
		a := c.ask(m, 1).(*kmsg.IncrementalAlterConfigsResponse).Resources[0]
		checkOutcome(t, value, a.ErrorCode, a.ErrorMessage, codeNone, "")
	}
	clients := []*client{c}
	want := func(more int) {
		t.Helper()
		for range more {
			clients = append(clients, dialTo(t, s))
		}
		for _, c := range clients {
			c.ask(kmsg.NewPtrApiVersionsRequest(), 0)
		}
		if !dialTo(t, s).closed() {
			t.Errorf("one was let in beside %d", len(clients))
		}
	}
	want(0)
	set("", "3")
	want(2)
	set("0", "1")
	want(0)
	d := describe(c, 4, kmsg.ConfigResourceTypeBroker, "0", func(m *kmsg.DescribeConfigsRequest) { m.IncludeSynonyms = true })
	got := configOf(t, d, "max.connections")
	values := ""
	for _, s := range got.ConfigSynonyms {
		values += fmt.Sprintf("%s from %v, ", text(s.Value), s.Source)
	}
	wantValues := "1 from DYNAMIC_BROKER_CONFIG, 3 from DYNAMIC_DEFAULT_BROKER_CONFIG, 1 from STATIC_BROKER_CONFIG, 10000 from DEFAULT_CONFIG, "
	if text(got.Value) != "1" || got.ReadOnly || got.Source != kmsg.ConfigSourceDynamicBrokerConfig || values != wantValues {
		t.Errorf("max.connections is described as %+v with synonyms %s, want %s", got, values, wantValues)
	}
}

// The switches of a broker rule how topics come and go: whatever number of
// replicas is wanted, the default of it, and whether topics may be deleted.
func TestBrokerSwitches(t *testing.T) {
	create := func(settings map[string]string, factor int16) (created, auto code) {
		t.Helper()
		f := openFrontend(t, node.Options{Settings: settings})
		c := dial(t, f)
		m := kmsg.NewPtrCreateTopicsRequest()
		m.Topics = []kmsg.CreateTopicsRequestTopic{newTopic("t", 1, factor)}
		created = code(c.ask(m, 7).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode)
		name := "auto"
		asked := kmsg.NewPtrMetadataRequest()
		asked.AllowAutoTopicCreation = true
		asked.Topics = []kmsg.MetadataRequestTopic{{Topic: &name}}
		return created, code(c.ask(asked, 12).(*kmsg.MetadataResponse).Topics[0].ErrorCode)
	}
	check := func(settings map[string]string, factor int16, wantCreated, wantAuto code) {
		t.Helper()
		if created, auto := create(settings, factor); created != wantCreated || auto != wantAuto {
			t.Errorf("%v, replication factor %d: error %d and %d, want %d and %d", settings, factor, created, auto, wantCreated, wantAuto)
		}
	}
	check(map[string]string{"default.replication.factor": "3"}, -1, codeInvalidReplicationFactor, codeInvalidReplicationFactor)
	check(map[string]string{"default.replication.factor": "3"}, 1, codeNone, codeInvalidReplicationFactor)
	check(map[string]string{"default.replication.factor": "3", "rollway.accept.any.replication.factor": "true"}, -1, codeNone, codeNone)
	check(map[string]string{"rollway.accept.any.replication.factor": "true"}, 3, codeNone, codeNone)
	check(map[string]string{"rollway.accept.any.replication.factor": "true"}, 0, codeInvalidReplicationFactor, codeNone)
	check(map[string]string{"auto.create.topics.enable": "false"}, 1, codeNone, codeUnknownTopicOrPartition)

	f := openFrontend(t, node.Options{Settings: map[string]string{"delete.topic.enable": "false"}})
	createTopic(t, f, "t", 1)
	c := dial(t, f)
	for version := int16(1); version <= 6; version++ {
		m := kmsg.NewPtrDeleteTopicsRequest()
		name := "t"
		m.TopicNames, m.Topics = []string{name}, []kmsg.DeleteTopicsRequestTopic{{Topic: &name}}
		a := c.ask(m, version).(*kmsg.DeleteTopicsResponse).Topics[0]
		want := codeTopicDeletionDisabled
		if version < 3 {
			want = codeInvalidRequest
		}
		if code(a.ErrorCode) != want || version >= 5 && text(a.ErrorMessage) != "deletion of topics is disabled: delete.topic.enable is false" {
			t.Errorf("version %d: error %d %q, want %d", version, a.ErrorCode, text(a.ErrorMessage), want)
		}
	}
	if _, err := f.engine.Topic("t"); err != nil {
		t.Error(err)
	}
}
