package kafka

import (
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
)

// configResource is what configs are of.
type configResource struct {
	kind kmsg.ConfigResourceType
	name string
}

// configEdit changes one config.
type configEdit struct {
	name  string
	op    kmsg.IncrementalAlterConfigOp
	value *string // nil for a deletion
}

// configOptions say how configs are changed.
type configOptions struct {
	replace   bool // what is not edited goes back to its default
	checkOnly bool // nothing is changed
}

// configAlteration is what a request wants of one resource.
type configAlteration struct {
	of    configResource
	edits []configEdit
}

// alterAll alters one resource after another, and tells what came of each, once.
// One that is named several times is refused. It blocks for the disk.
func (s *session) alterAll(alterations []configAlteration, o configOptions, told func(of configResource, err error)) {
	resources := occurrencesOf(alterations, func(a *configAlteration) configResource { return a.of })
	for _, a := range alterations {
		switch times := resources.take(a.of); {
		case times == 0:
		case times > 1:
			told(a.of, duplicate("resource", a.of.name, times))
		default:
			told(a.of, s.alter(a.of, a.edits, o))
		}
	}
}

// alter changes the configs of one resource, all or none. It blocks for the
// disk.
func (s *session) alter(of configResource, edits []configEdit, o configOptions) error {
	change, err := configChange(edits, o.replace)
	if err != nil {
		return err
	}
	switch of.kind {
	case kmsg.ConfigResourceTypeTopic:
		return s.alterTopic(of.name, change, o.checkOnly)
	case kmsg.ConfigResourceTypeBroker:
		return s.alterBroker(of.name, change, o.checkOnly)
	}
	return unknownResource(of.kind)
}

// configChange puts edits together. A key stands in it once: what is meant by
// several cannot be guessed.
func configChange(edits []configEdit, replace bool) (engine.TopicChange, error) {
	change := engine.TopicChange{
		Set: map[string]string{}, Append: map[string]string{}, Subtract: map[string]string{}, ResetOthers: replace,
	}
	seen := make(map[string]bool, len(edits))
	for _, e := range edits {
		if seen[e.name] {
			return change, fmt.Errorf("%w: config key %.100q twice, want it once", errInvalidRequest, e.name)
		}
		seen[e.name] = true
		if e.value == nil && e.op != kmsg.IncrementalAlterConfigOpDelete {
			return change, fmt.Errorf("%w: config %.100q: null, want a value", errInvalidRequest, e.name)
		}
		switch e.op {
		case kmsg.IncrementalAlterConfigOpSet:
			change.Set[e.name] = *e.value
		case kmsg.IncrementalAlterConfigOpDelete:
			change.Reset = append(change.Reset, e.name)
		case kmsg.IncrementalAlterConfigOpAppend:
			change.Append[e.name] = *e.value
		case kmsg.IncrementalAlterConfigOpSubtract:
			change.Subtract[e.name] = *e.value
		default:
			return change, fmt.Errorf("%w: config %.100q: operation %d, want 0 to 3", errInvalidRequest, e.name, e.op)
		}
	}
	return change, nil
}

// alterTopic changes the configs of a topic. As with Kafka a wrong key or value
// comes before a topic that is not there.
func (s *session) alterTopic(name string, change engine.TopicChange, checkOnly bool) error {
	if name == "" {
		return fmt.Errorf("%w: a topic without a name; the defaults of topics are settings of brokers", errInvalidRequest)
	}
	for key, value := range change.Set {
		if err := topicconfig.Validate(key, value); err != nil {
			return err
		}
	}
	for _, edits := range []map[string]string{change.Append, change.Subtract} {
		for key := range edits {
			if _, err := topicconfig.EditList(key, "", "", ""); err != nil {
				return err
			}
		}
	}
	for _, key := range change.Reset {
		if _, known := topicconfig.Lookup(key); !known {
			return topicconfig.Validate(key, "")
		}
	}
	if _, err := s.topicWithConfigs(name); err != nil {
		return err
	}
	if checkOnly {
		return s.engine.CheckChange(name, change)
	}
	_, err := s.engine.AlterTopic(name, change)
	return err
}
