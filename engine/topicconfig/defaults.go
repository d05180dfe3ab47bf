package topicconfig

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/rollway/rollway/internal/nearest"
)

// ErrInvalidSetting is wrapped by the errors for a value that a broker setting
// does not take.
var ErrInvalidSetting = errors.New("invalid broker setting")

// Synonym is a broker setting that gives the default of a topic config.
type Synonym struct {
	Name string
	// Unit is how many units of the topic config one unit of the broker
	// setting is: 3,600,000 where hours stand for milliseconds, mostly 1.
	Unit int64
}

// Defaults are what a node says of the topic configs that a topic does not set.
// What stands further up wins, as in Kafka; each field may be nil. They are not
// changed after they were handed over.
type Defaults struct {
	// Node and AllNodes are the broker settings that were altered while the
	// node ran: its own, and those of all nodes. Names that are no Synonym are
	// ignored.
	Node, AllNodes map[string]string
	// Static is what the node was started with, by the names of topic configs
	// or of the broker settings behind them; a topic config's own name wins.
	Static map[string]string
}

// LookupSetting returns the topic config that the broker setting of that name
// gives the default of, and how.
func LookupSetting(name string) (Key, Synonym, bool) {
	at, ok := settings[name]
	if !ok {
		return Key{}, Synonym{}, false
	}
	return keys[at.key], keys[at.key].Synonyms[at.synonym], true
}

// ValidateSetting checks that the broker setting of that name takes value, by
// what the topic config behind it takes. Errors: ErrUnknownKey if it is behind
// none; ErrInvalidSetting.
func ValidateSetting(name, value string) error {
	k, s, ok := LookupSetting(name)
	if !ok {
		return fmt.Errorf("%w behind broker setting %q", ErrUnknownKey, nearest.Shorten(name))
	}
	if converted, err := s.Convert(strings.TrimSpace(value)); err == nil && k.accepts(converted) {
		return nil
	}
	wants := k.wants()
	if s.Unit != 1 {
		wants = fmt.Sprintf("an integer of at most %d, %s", math.MaxInt64/s.Unit, k.Valid)
	}
	return fmt.Errorf("%w %s: found %q, want %s", ErrInvalidSetting, name, nearest.Shorten(value), wants)
}

// settings finds a broker setting in keys.
var settings = func() map[string]settingAt {
	index := map[string]settingAt{}
	for i, k := range keys {
		for j, s := range k.Synonyms {
			index[s.Name] = settingAt{i, j}
		}
	}
	return index
}()

type settingAt struct{ key, synonym int }

// Convert makes a value of the topic config of one of the broker setting. -1
// stays, it means no limit in any unit.
func (s Synonym) Convert(value string) (string, error) {
	if s.Unit == 1 || value == "-1" {
		return value, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil || n > math.MaxInt64/s.Unit || n < math.MinInt64/s.Unit {
		return "", fmt.Errorf("%q, want an integer of at most %d", nearest.Shorten(value), math.MaxInt64/s.Unit)
	}
	return strconv.FormatInt(n*s.Unit, 10), nil
}

// validate checks what is in d.
func (d Defaults) validate() error {
	for _, name := range slices.Sorted(maps.Keys(d.Static)) {
		if err := validateStatic(name, d.Static[name]); err != nil {
			return err
		}
	}
	for _, layer := range []map[string]string{d.Node, d.AllNodes} {
		for _, name := range slices.Sorted(maps.Keys(layer)) {
			if _, known := settings[name]; !known {
				continue
			}
			if err := ValidateSetting(name, layer[name]); err != nil {
				return err
			}
		}
	}
	return nil
}

// validateStatic is Validate for the name of a topic config or a broker setting.
func validateStatic(name, value string) error {
	if _, isKey := Lookup(name); isKey {
		return Validate(name, value)
	}
	if _, known := settings[name]; known {
		return ValidateSetting(name, value)
	}
	return unknown(name)
}

// layer is the broker settings of one source.
type layer struct {
	settings map[string]string
	source   Source
}

// layers returns what d consists of, the first wins.
func (d Defaults) layers() [3]layer {
	return [...]layer{{d.Node, FromNode}, {d.AllNodes, FromAllNodes}, {d.Static, FromStatic}}
}

// find returns what the layer has for k: the value as given and the setting
// that gives it. The values are valid.
func (l layer) find(k Key) (value string, by Synonym, ok bool) {
	if l.source == FromStatic {
		if value, ok = l.settings[k.Name]; ok {
			return strings.TrimSpace(value), k.ownSetting(), true
		}
	}
	for _, s := range k.Synonyms {
		if value, ok = l.settings[s.Name]; ok {
			return strings.TrimSpace(value), s, true
		}
	}
	return "", Synonym{}, false
}

// ownSetting is the broker setting that counts in the units of k, or k itself
// if no broker setting is behind it.
func (k Key) ownSetting() Synonym {
	if len(k.Synonyms) > 0 {
		return k.Synonyms[0]
	}
	return Synonym{k.Name, 1}
}
