package topicconfig

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
		fmt.Fprintf(&b, "%s\n  type %s, importance %s, in force %v\n", k.Name, k.Type, k.Importance, k.InForce)
		fmt.Fprintf(&b, "  default %q, kafka's %q\n  valid %s\n", k.Default, k.KafkaDefault, k.wants())
		fmt.Fprintf(&b, "  broker %s\n  %s\n", synonyms(k), k.Documentation)
	}
	golden.Check(t, "keys", []byte(b.String()))
}

// The page of the documentation says what the table says.
func TestPage(t *testing.T) {
	var b strings.Builder
	b.WriteString("# Topic configs\n\n" +
		"<!-- written by `make golden` from engine/topicconfig; do not edit -->\n\n" +
		"Every topic config of Apache Kafka 4.3 is known, validated, stored and described. Those that have no effect\n" +
		"yet say so. A key that is not listed here is refused. `segment.ms` and all other times are milliseconds;\n" +
		"9223372036854775807 means never.\n\n" +
		"A value set on a topic wins over the broker setting, which wins over the default.\n\n")
	b.WriteString("| key | type | default | valid values | in force |\n|---|---|---|---|---|\n")
	for _, k := range Keys() {
		inForce := "no"
		if k.InForce {
			inForce = "yes"
		}
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s | %s | %s | %s |\n", k.Name, strings.ReplaceAll(k.Name, ".", ""), k.Type, defaults(k), k.wants(), inForce)
	}
	for _, k := range Keys() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n\n", k.Name, k.Documentation)
		fmt.Fprintf(&b, "Type %s (%s), default %s, importance %s, broker setting %s.\n", k.Type, k.wants(), defaults(k), k.Importance, synonyms(k))
	}
	golden.CheckFile(t, "../../docs/topic-configs.md", []byte(b.String()))
}

// defaults renders the default of a key, and Kafka's where it differs.
func defaults(k Key) string {
	text := "`" + k.Default + "`"
	if k.Default == "" {
		text = "empty"
	}
	if k.Default != k.KafkaDefault {
		text += " (Kafka: `" + k.KafkaDefault + "`)"
	}
	return text
}

// synonyms renders the broker settings of a key.
func synonyms(k Key) string {
	if len(k.Synonyms) == 0 {
		return "none"
	}
	var names []string
	for _, s := range k.Synonyms {
		name := "`" + s.Name + "`"
		if s.Unit != 1 {
			name += fmt.Sprintf(" (times %d)", s.Unit)
		}
		names = append(names, name)
	}
	return strings.Join(names, ", else ")
}
