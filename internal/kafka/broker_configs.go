package kafka

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/brokerconfig"
)

// isThisBroker tells whether a resource is this broker, not all of them, which
// are meant by "".
func (f *frontend) isThisBroker(name string) (bool, error) {
	if name == "" {
		return false, nil
	}
	switch id, err := strconv.ParseInt(name, 10, 32); {
	case err != nil:
		return false, fmt.Errorf("%w: broker %.100q, want its number, %d, or nothing for the settings of all", errInvalidRequest, name, f.engine.NodeID())
	case int32(id) != f.engine.NodeID():
		return false, fmt.Errorf("%w: broker %d, this is %d", errInvalidRequest, id, f.engine.NodeID())
	}
	return true, nil
}

// brokerConfigs describes this broker, or what was altered for all of them.
func (f *frontend) brokerConfigs(name string) ([]configEntry, error) {
	own, err := f.isThisBroker(name)
	if err != nil {
		return nil, err
	}
	settings := f.node.DescribeSettings()
	entries := make([]configEntry, 0, len(settings))
	for i := range settings {
		c := &settings[i]
		e := configEntry{
			name: c.Name, value: c.Value, unset: c.Unset, source: c.Source, origins: c.Origins,
			kind: c.Type, documentation: c.Documentation, readOnly: c.Update == brokerconfig.ReadOnly, sensitive: c.Sensitive,
		}
		if own || ofAllBrokers(&e) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// ofAllBrokers cuts an entry down to what was altered for all brokers, and
// tells whether that is anything.
func ofAllBrokers(e *configEntry) bool {
	for _, o := range e.origins {
		if o.Source == topicconfig.FromAllNodes && o.Name == e.name {
			e.value, e.unset, e.source, e.origins = o.Value, false, o.Source, []topicconfig.Origin{o}
			return true
		}
	}
	return false
}

// alterBroker alters settings of this broker or of all of them, all or none. It
// blocks for the disk.
func (f *frontend) alterBroker(name string, change engine.TopicChange, checkOnly bool) error {
	own, err := f.isThisBroker(name)
	if err != nil {
		return err
	}
	altered := f.engine.NodeConfigs().All
	if own {
		altered = f.engine.NodeConfigs().Own
	}
	set := maps.Clone(change.Set)
	for _, edits := range []map[string]string{change.Append, change.Subtract} {
		for key := range edits {
			value, ok := altered[key]
			if !ok {
				value = f.settingValue(key)
			}
			if set[key], err = brokerconfig.EditList(key, value, change.Append[key], change.Subtract[key]); err != nil {
				return err
			}
		}
	}
	reset := slices.Clone(change.Reset)
	if change.ResetOthers {
		for _, key := range slices.Sorted(maps.Keys(altered)) {
			if _, ok := set[key]; !ok {
				reset = append(reset, key)
			}
		}
	}
	if checkOnly {
		return f.node.ValidateSettings(own, set, reset)
	}
	return f.node.AlterSettings(own, set, reset)
}

// settingValue returns what holds for a setting, "" if there is no such setting.
func (f *frontend) settingValue(name string) string {
	for _, e := range f.node.DescribeSettings() {
		if e.Name == name {
			return e.Value
		}
	}
	return ""
}
