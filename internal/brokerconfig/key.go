package brokerconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/nearest"
)

// ErrUnknownKey is wrapped by the errors for a setting that is not in the table.
var ErrUnknownKey = errors.New("unknown broker setting")

// ErrInvalidValue is wrapped by the errors for a value that a setting does not
// take.
var ErrInvalidValue = topicconfig.ErrInvalidSetting

// ErrReadOnly is wrapped by the errors for a setting that cannot be altered
// while the node runs.
var ErrReadOnly = errors.New("broker setting is read-only")

// Update tells how a setting may be altered. Kafka has a third way, for one
// broker only, which listeners and keys of TLS have; here listeners are read-only.
type Update uint8

const (
	ReadOnly    Update = iota // by another start
	ClusterWide               // while the node runs, for all nodes or for one
)

// String returns Kafka's word for u.
func (u Update) String() string {
	return [...]string{"read-only", "cluster-wide"}[u]
}

// Key describes one broker setting. The keys that this package hands out share
// their slices: treat them as read only.
type Key struct {
	Name         string
	Type         topicconfig.Type
	KafkaDefault string // Kafka's; "" also if it has none
	Default      string // ours
	// NoDefault tells that nothing holds while nothing is set, which is not the
	// same as an empty value: Kafka's null.
	NoDefault  bool
	Valid      string // the valid values in words; "" if all of the type are
	Importance string // Kafka's: "high", "medium" or "low"
	Update     Update
	// Sensitive tells that the value is a secret, which is shown to nobody. No
	// setting is while there is no authentication.
	Sensitive bool
	// Documentation says what the setting does, in a few sentences of plain
	// text; for one that is not in force the last one says so.
	Documentation string
	// Topic is the topic config that the setting gives the default of, "" if it
	// gives none.
	Topic string
	// Synonyms are all settings that say the same, such as log.retention.ms and
	// log.retention.hours, this one included: the first one that is set counts.
	Synonyms []string
	// InForce tells whether the node acts on the setting. Every setting is
	// validated, kept and shown.
	InForce bool

	accepts func(value string) bool
}

// Keys returns all settings, sorted by name.
func Keys() []Key { return slices.Clone(keys) }

// Lookup returns the setting of that name.
func Lookup(name string) (Key, bool) {
	i, ok := slices.BinarySearchFunc(keys, name, func(k Key, name string) int { return strings.Compare(k.Name, name) })
	if !ok {
		return Key{}, false
	}
	return keys[i], true
}

// Validate checks that name is a setting and that it takes value. White space
// around value is ignored, as Kafka ignores it.
//
// Errors: ErrUnknownKey, naming the nearest known setting; ErrInvalidValue,
// naming what was found and what is wanted.
func Validate(name, value string) error {
	k, ok := Lookup(name)
	if !ok {
		return unknown(name)
	}
	if k.Topic != "" {
		return topicconfig.ValidateSetting(name, value)
	}
	if k.accepts(strings.TrimSpace(value)) {
		return nil
	}
	return fmt.Errorf("%w %s: found %q, want %s", ErrInvalidValue, name, nearest.Shorten(value), k.wants())
}

// ValidateUpdate is Validate for a setting that is to be altered while the node
// runs. Errors: also ErrReadOnly.
func ValidateUpdate(name, value string) error {
	if err := Validate(name, value); err != nil {
		return err
	}
	return CheckUpdate(name)
}

// CheckUpdate finds out whether the setting may be altered while the node runs.
// Errors: ErrUnknownKey, ErrReadOnly.
func CheckUpdate(name string) error {
	k, ok := Lookup(name)
	if !ok {
		return unknown(name)
	}
	if k.Update == ReadOnly {
		return fmt.Errorf("%w: %s cannot be altered while the node runs; set it where the node is started, and start it again", ErrReadOnly, name)
	}
	return nil
}

// EditList returns value, that of a setting which is a list, with the elements
// of add behind it that it has not yet, and without those of remove. Commas stand
// between elements. What comes of it is not validated.
//
// Errors: ErrUnknownKey; ErrInvalidValue for a setting that is no list.
func EditList(name, value, add, remove string) (string, error) {
	k, ok := Lookup(name)
	switch {
	case !ok:
		return "", unknown(name)
	case k.Type != topicconfig.List:
		return "", fmt.Errorf("%w %s: its type is %s, and only elements of a list can be added or taken out", ErrInvalidValue, name, k.Type)
	}
	return topicconfig.EditItems(value, add, remove), nil
}

// unknown returns the error for a name that is no setting.
func unknown(name string) error {
	return fmt.Errorf("%w %q; did you mean %q?", ErrUnknownKey, nearest.Shorten(name), meant(name))
}

// wants says what values the key takes.
func (k Key) wants() string {
	kind := map[topicconfig.Type]string{
		topicconfig.Boolean: "true or false", topicconfig.Short: "a 16-bit integer", topicconfig.Int: "a 32-bit integer",
		topicconfig.Long: "a 64-bit integer", topicconfig.Double: "a number", topicconfig.List: "a list", topicconfig.String: "a text",
	}[k.Type]
	switch {
	case k.Valid == "":
		return kind
	case k.Type == topicconfig.String:
		return k.Valid
	default:
		return kind + ", " + k.Valid
	}
}

// meant returns the setting that was probably meant: for the name of a topic
// config the one that gives its default, else the nearest.
func meant(name string) string {
	if k, ok := topicconfig.Lookup(name); ok && len(k.Synonyms) > 0 {
		return k.Synonyms[0].Name
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.Name
	}
	return nearest.Of(name, names)
}
