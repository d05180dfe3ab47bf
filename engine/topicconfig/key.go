package topicconfig

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/rollway/rollway/internal/nearest"
)

// ErrUnknownKey is wrapped by the errors for a key that Kafka 4.3 does not know.
var ErrUnknownKey = errors.New("unknown topic config")

// ErrInvalidValue is wrapped by the errors for a value that a key does not
// take, alone or beside the value of another key.
var ErrInvalidValue = errors.New("invalid topic config")

// Type is the type of a key's values.
type Type uint8

// The types that topic configs use, and Short, which some broker settings have.
// Their text forms are what Kafka's ConfigDef parses.
const (
	Boolean Type = iota // true or false, in any case
	Int                 // decimal, 32 bits
	Long                // decimal, 64 bits
	Double              // decimal, may have a fraction
	String              // one of a few words
	List                // words with commas between them, may be empty
	Short               // decimal, 16 bits
)

// String returns the name that Kafka gives the type.
func (t Type) String() string {
	return [...]string{"boolean", "int", "long", "double", "string", "list", "short"}[t]
}

// Key describes one topic config. The keys that this package hands out share
// their slices: treat them as read only.
type Key struct {
	Name         string
	Type         Type
	KafkaDefault string
	Default      string // ours; differs from KafkaDefault for flush.messages only
	Valid        string // the valid values in words, such as "at least 1"; "" if all of the type are
	Importance   string // Kafka's: "high", "medium" or "low"
	// Documentation says what the key does, in a few sentences of plain text;
	// for a key that is not in force the last one says so.
	Documentation string
	// Synonyms are the broker settings behind the key, the first one that is
	// set counts; nil if it has none.
	Synonyms []Synonym
	// InForce tells whether the engine acts on the key. Every key is validated
	// and stored.
	InForce bool

	accepts func(value string) bool
	// stored, if not nil, is accepts for a topic that is there already.
	stored func(value string) bool
}

// Keys returns all keys, sorted by name.
func Keys() []Key {
	return slices.Clone(keys)
}

// Lookup returns the key of that name.
func Lookup(name string) (Key, bool) {
	i, ok := slices.BinarySearchFunc(keys, name, func(k Key, name string) int { return strings.Compare(k.Name, name) })
	if !ok {
		return Key{}, false
	}
	return keys[i], true
}

// Validate checks that name is a key and that it takes value. White space
// around value is ignored, as Kafka ignores it.
//
// Errors: ErrUnknownKey, naming the nearest known key; ErrInvalidValue, naming
// what was found and what is wanted.
func Validate(name, value string) error {
	k, ok := Lookup(name)
	if !ok {
		return unknown(name)
	}
	if k.accepts(strings.TrimSpace(value)) {
		return nil
	}
	return fmt.Errorf("%w %s: found %q, want %s", ErrInvalidValue, name, nearest.Shorten(value), k.wants())
}

// EditList returns value, that of a key which is a list, with the elements of
// add behind it that it has not yet, and without those of remove. Commas stand
// between elements. What comes of it is not validated.
//
// Errors: ErrUnknownKey; ErrInvalidValue for a key that is no list.
func EditList(name, value, add, remove string) (string, error) {
	k, ok := Lookup(name)
	switch {
	case !ok:
		return "", unknown(name)
	case k.Type != List:
		return "", fmt.Errorf("%w %s: its type is %s, and only elements of a list can be added or taken out", ErrInvalidValue, name, k.Type)
	}
	return EditItems(value, add, remove), nil
}

// EditItems is EditList for any value that is a list.
func EditItems(value, add, remove string) string {
	list := items(value)
	for _, item := range items(add) {
		if !slices.Contains(list, item) {
			list = append(list, item)
		}
	}
	gone := items(remove)
	list = slices.DeleteFunc(list, func(item string) bool { return slices.Contains(gone, item) })
	return strings.Join(list, ",")
}

// validateStored is Validate for a value that a topic has already.
func validateStored(name, value string) error {
	if k, ok := Lookup(name); ok && k.stored != nil && k.stored(strings.TrimSpace(value)) {
		return nil
	}
	return Validate(name, value)
}

// Unbuilt says what the overrides of a topic ask for that an earlier version
// took and that nothing here does, in words for an operator; "" if that is
// nothing.
func Unbuilt(overrides map[string]string) string {
	if slices.Contains(items(overrides["cleanup.policy"]), "compact") {
		return "cleanup.policy=" + overrides["cleanup.policy"] + ": compaction is not built yet, nothing of the topic is compacted"
	}
	return ""
}

// wants says what values the key takes.
func (k Key) wants() string {
	kind := map[Type]string{
		Boolean: "true or false", Int: "a 32-bit integer", Long: "a 64-bit integer", Double: "a number", List: "a list",
	}[k.Type]
	switch {
	case k.Valid == "":
		return kind
	case kind == "":
		return k.Valid
	default:
		return kind + ", " + k.Valid
	}
}

// unknown returns the error for a name that is no key.
func unknown(name string) error {
	return fmt.Errorf("%w %q; did you mean %q?", ErrUnknownKey, nearest.Shorten(name), meant(name))
}

// meant returns the name of the key that was probably meant: the one that a
// broker setting of that name is for, else the nearest.
func meant(name string) string {
	names := make([]string, len(keys))
	for i, k := range keys {
		if slices.ContainsFunc(k.Synonyms, func(s Synonym) bool { return s.Name == name }) {
			return k.Name
		}
		names[i] = k.Name
	}
	return nearest.Of(name, names)
}
