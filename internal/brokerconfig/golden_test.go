package brokerconfig

import (
	"fmt"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// The whole table, as text: the diff of the golden file is the review of a change to it.
func TestTableGolden(t *testing.T) {
	var b strings.Builder
	for _, k := range Keys() {
		fmt.Fprintf(&b, "%s\n  type %s, importance %s, %s, in force %v, sensitive %v\n", k.Name, k.Type, k.Importance, k.Update, k.InForce, k.Sensitive)
		fmt.Fprintf(&b, "  default %s, kafka's %q\n  valid %s\n", defaultText(k), k.KafkaDefault, k.wants())
		fmt.Fprintf(&b, "  topic config %s, synonyms %v\n  %s\n", k.Topic, k.Synonyms, k.Documentation)
	}
	golden.Check(t, "keys", []byte(b.String()))
}

// The page of the documentation says what the table says.
func TestPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Broker settings\n\n" +
		"<!-- written by `make golden` from internal/brokerconfig; do not edit -->\n\n" +
		"These settings of Apache Kafka 4.3 mean something here, or may once; names that begin with `rollway.` are ours.\n" +
		"`rollway serve --config FILE` reads them from a properties file. Kafka clients see them by DescribeConfigs of a\n" +
		"broker, and alter those that are cluster-wide while the server runs, for all nodes or for one; what they alter is\n" +
		"durable, in force at once unless the setting says otherwise and again after a start, and wins over the file. Other\n" +
		"settings of Kafka may stand in a file and have no effect; a name that is none of Kafka's is refused.\n\n" +
		"Settings behind a topic config are the default for topics that do not set it: [topic-configs.md](topic-configs.md).\n\n")
	b.WriteString("| setting | type | default | valid values | altered | topic config | in force |\n|---|---|---|---|---|---|---|\n")
	for _, k := range Keys() {
		inForce, topic := "no", ""
		if k.InForce {
			inForce = "yes"
		}
		if k.Topic != "" {
			topic = fmt.Sprintf("[`%s`](topic-configs.md#%s)", k.Topic, strings.ReplaceAll(k.Topic, ".", ""))
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s | %s | %s |\n",
			k.Name, strings.ReplaceAll(k.Name, ".", ""), k.Type, defaults(k), k.wants(), k.Update, topic, inForce)
	}
	for _, k := range Keys() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", k.Name, k.Documentation)
	}
	golden.CheckFile(t, "../../docs/broker-settings.md", []byte(b.String()))
}

// defaultText is the default of a key, quoted.
func defaultText(k Key) string {
	if k.NoDefault {
		return "none"
	}
	return fmt.Sprintf("%q", k.Default)
}

// defaults renders the default of a key, and Kafka's where it differs.
func defaults(k Key) string {
	text := "`" + k.Default + "`"
	switch {
	case k.NoDefault:
		text = "none"
	case k.Default == "":
		text = "empty"
	}
	if k.Default != k.KafkaDefault && k.KafkaDefault != "" {
		text += " (Kafka: `" + k.KafkaDefault + "`)"
	}
	return text
}
