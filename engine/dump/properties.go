package dump

import (
	"strings"

	"github.com/rollway/rollway/internal/properties"
)

// metaProperties emits the properties of meta.properties, in their order.
func (d *dumper) metaProperties(content []byte) error {
	list, err := properties.Parse(string(content))
	if err != nil {
		return d.problem(-1, "%v", err)
	}
	for _, p := range list {
		if err := d.emit(Property{p.Key, p.Value}); err != nil {
			return err
		}
	}
	props := properties.Map(list)
	if version := props["version"]; version != "1" {
		if err := d.problem(-1, "version %s, want 1", quoted(version)); err != nil {
			return err
		}
	}
	for _, key := range []string{"cluster.id", "node.id"} {
		if props[key] == "" {
			if err := d.problem(-1, "no %s, want one", key); err != nil {
				return err
			}
		}
	}
	return nil
}

// partitionMetadata emits version and topic_id of partition.metadata.
func (d *dumper) partitionMetadata(content []byte) error {
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	for i, want := range []string{"version", "topic_id"} {
		if i >= len(lines) {
			return d.lineProblem(i+1, "no line, want %s", want)
		}
		key, value, found := strings.Cut(lines[i], ": ")
		if !found || key != want || (i == 0 && value != "0") || value == "" {
			if err := d.lineProblem(i+1, "%s, want %q", quoted(lines[i]), [...]string{"version: 0", "topic_id: <id>"}[i]); err != nil {
				return err
			}
			continue
		}
		if err := d.emit(Property{key, value}); err != nil {
			return err
		}
	}
	if len(lines) > 2 {
		return d.lineProblem(3, "%s, want the end of the file", quoted(lines[2]))
	}
	return nil
}

// boot emits the id of the boot that a directory was last open in.
func (d *dumper) boot(content []byte) error {
	id, ended := strings.CutSuffix(string(content), "\n")
	if !ended || id == "" || strings.ContainsAny(id, "\n\x00") {
		return d.lineProblem(1, "%s, want an id and an end of line", quoted(string(content)))
	}
	return d.emit(Property{"boot", id})
}

// cleanShutdown emits what the marker holds; only its existence counts.
func (d *dumper) cleanShutdown(content []byte) error {
	return d.emit(Property{"content", quoted(string(content))})
}
