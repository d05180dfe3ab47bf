package kafka

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/node"
)

// describe asks for the configs of one resource.
func describe(c *client, version int16, kind kmsg.ConfigResourceType, name string, change ...func(*kmsg.DescribeConfigsRequest)) kmsg.DescribeConfigsResponseResource {
	c.t.Helper()
	m := kmsg.NewPtrDescribeConfigsRequest()
	m.Resources = []kmsg.DescribeConfigsRequestResource{{ResourceType: kind, ResourceName: name}}
	for _, f := range change {
		f(m)
	}
	answer := c.ask(m, version).(*kmsg.DescribeConfigsResponse)
	if len(answer.Resources) != 1 || answer.Resources[0].ResourceType != kind || answer.Resources[0].ResourceName != name {
		c.t.Fatalf("version %d: %+v", version, answer)
	}
	return answer.Resources[0]
}

// configOf returns one config of an answer.
func configOf(t testing.TB, d kmsg.DescribeConfigsResponseResource, name string) kmsg.DescribeConfigsResponseResourceConfig {
	t.Helper()
	for _, c := range d.Configs {
		if c.Name == name {
			return c
		}
	}
	t.Fatalf("no %s among %d configs of %s", name, len(d.Configs), d.ResourceName)
	panic("not reached")
}

// Every config of a topic is described in every version: what it is, where that
// comes from, and what else has one, with documentation where that is asked for.
func TestDescribeTopicConfigs(t *testing.T) {
	f := openFrontend(t, node.Options{Engine: engine.Options{TopicDefaults: map[string]string{"retention.ms": "5000"}}})
	if _, err := f.engine.CreateTopic(engine.TopicSpec{Name: "t", Configs: map[string]string{"segment.bytes": "2097152"}}); err != nil {
		t.Fatal(err)
	}
	c := dial(t, f)
	for version := int16(1); version <= 4; version++ {
		d := describe(c, version, kmsg.ConfigResourceTypeTopic, "t")
		checkOutcome(t, "t", d.ErrorCode, d.ErrorMessage, codeNone, "")
		if len(d.Configs) != len(topicconfig.Keys()) {
			t.Errorf("version %d: %d configs, want %d", version, len(d.Configs), len(topicconfig.Keys()))
		}
		for name, want := range map[string]struct {
			value  string
			source kmsg.ConfigSource
			kind   kmsg.ConfigType
		}{
			"segment.bytes":             {"2097152", kmsg.ConfigSourceDynamicTopicConfig, kmsg.ConfigTypeInt},
			"retention.ms":              {"5000", kmsg.ConfigSourceStaticBrokerConfig, kmsg.ConfigTypeLong},
			"cleanup.policy":            {"delete", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeList},
			"preallocate":               {"false", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeBoolean},
			"compression.type":          {"producer", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeString},
			"flush.messages":            {"1", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeLong},
			"max.message.bytes":         {"1048588", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeInt},
			"min.cleanable.dirty.ratio": {"0.5", kmsg.ConfigSourceDefaultConfig, kmsg.ConfigTypeDouble},
		} {
			got := configOf(t, d, name)
			if text(got.Value) != want.value || got.Source != want.source || got.ReadOnly || got.IsSensitive || len(got.ConfigSynonyms) != 0 || got.Documentation != nil {
				t.Errorf("version %d: %s is %s, %+v; want %+v", version, name, text(got.Value), got, want)
			}
			if version >= 3 && got.ConfigType != want.kind {
				t.Errorf("version %d: %s has type %v, want %v", version, name, got.ConfigType, want.kind)
			}
		}

		d = describe(c, version, kmsg.ConfigResourceTypeTopic, "t", func(m *kmsg.DescribeConfigsRequest) {
			m.IncludeSynonyms, m.IncludeDocumentation = true, true
			m.Resources[0].ConfigNames = []string{"segment.bytes", "no.such", "retention.ms", "segment.bytes"}
		})
		if len(d.Configs) != 2 {
			t.Fatalf("version %d: %d configs of the 2 that were asked for", version, len(d.Configs))
		}
		var origins []string
		for _, o := range configOf(t, d, "segment.bytes").ConfigSynonyms {
			origins = append(origins, fmt.Sprintf("%s=%s %d", o.Name, text(o.Value), o.Source))
		}
		if got, want := strings.Join(origins, ", "), "segment.bytes=2097152 1, log.segment.bytes=1073741824 5"; got != want {
			t.Errorf("version %d: synonyms %s, want %s", version, got, want)
		}
		if got := configOf(t, d, "retention.ms").Documentation; (got != nil && strings.Contains(*got, "segment")) != (version >= 3) {
			t.Errorf("version %d: documentation %q", version, text(got))
		}
		if d = describe(c, version, kmsg.ConfigResourceTypeTopic, "t", func(m *kmsg.DescribeConfigsRequest) { m.Resources[0].ConfigNames = []string{} }); len(d.Configs) != len(topicconfig.Keys()) {
			t.Errorf("version %d: %d configs for an empty list of keys", version, len(d.Configs))
		}
	}
}

// What cannot be described is refused, resource by resource, with its code and
// a text.
func TestDescribeConfigsRefusals(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 1)
	c := dial(t, f)
	check := func(kind kmsg.ConfigResourceType, name string, want code, words string) {
		t.Helper()
		d := describe(c, 4, kind, name)
		checkOutcome(t, name, d.ErrorCode, d.ErrorMessage, want, words)
		if len(d.Configs) != 0 {
			t.Errorf("%s: refused with %d configs", name, len(d.Configs))
		}
	}
	check(kmsg.ConfigResourceTypeTopic, "u", codeUnknownTopicOrPartition, "u")
	check(kmsg.ConfigResourceTypeTopic, "", codeInvalidTopic, "")
	check(kmsg.ConfigResourceTypeTopic, "no/name", codeInvalidTopic, "no/name")
	check(kmsg.ConfigResourceTypeBrokerLogger, "0", codeInvalidRequest, "type 8")
	check(77, "t", codeInvalidRequest, "type 77")

	m := kmsg.NewPtrDescribeConfigsRequest()
	for _, name := range []string{"t", "u", "t", "t"} {
		m.Resources = append(m.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: name})
	}
	for i, d := range c.ask(m, 3).(*kmsg.DescribeConfigsResponse).Resources {
		if (d.ErrorCode == 0) != (i != 1) || (len(d.Configs) > 30) != (i != 1) || d.ResourceName != m.Resources[i].ResourceName {
			t.Errorf("resource %d: %s, error %d, %d configs", i, d.ResourceName, d.ErrorCode, len(d.Configs))
		}
	}
}

// An answer that would be too large comes without documentation, and one that
// is too large then refuses its last resources.
func TestDescribeConfigsTooMany(t *testing.T) {
	f := openFrontend(t, node.Options{})
	createTopic(t, f, "t", 1)
	c := dial(t, f)
	c.ask(kmsg.NewPtrApiVersionsRequest(), 0) // frames may be larger from here on
	ask := func(n int) []kmsg.DescribeConfigsResponseResource {
		m := kmsg.NewPtrDescribeConfigsRequest()
		m.IncludeDocumentation = true
		for range n {
			m.Resources = append(m.Resources, kmsg.DescribeConfigsRequestResource{ResourceType: kmsg.ConfigResourceTypeTopic, ResourceName: "t"})
		}
		answer := c.ask(m, 4).(*kmsg.DescribeConfigsResponse)
		if len(answer.Resources) != n {
			t.Fatalf("%d resources in the answer, want %d", len(answer.Resources), n)
		}
		return answer.Resources
	}
	documented := func(d kmsg.DescribeConfigsResponseResource) bool { return d.Configs[0].Documentation != nil }
	if few := ask(100); !documented(few[0]) || !documented(few[99]) {
		t.Error("no documentation for 100 resources")
	}
	if more := ask(1000); documented(more[0]) || more[999].ErrorCode != 0 || len(more[999].Configs) < 30 {
		t.Errorf("1,000 resources: documentation %v, error %d of the last", documented(more[0]), more[999].ErrorCode)
	}
	many := ask(4000)
	if many[0].ErrorCode != 0 || documented(many[0]) {
		t.Errorf("4,000 resources: error %d of the first", many[0].ErrorCode)
	}
	checkOutcome(t, "the last of 4,000", many[3999].ErrorCode, many[3999].ErrorMessage, codeInvalidRequest, "fewer")
}
