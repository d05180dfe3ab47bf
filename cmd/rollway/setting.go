package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/nearest"
)

// Where the value of a setting comes from.
const (
	fromDefault = "default"
	fromFlag    = "flag"
)

// environmentPrefix begins the names of environment variables.
const environmentPrefix = "ROLLWAY_"

// addrVariable is the one that client commands read.
const addrVariable = environmentPrefix + "ADDR"

// variable is the environment variable of a flag.
func variable(flag string) string {
	return environmentPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// settings are the flags of serve with what the environment and a file said.
type settings struct {
	flags *pflag.FlagSet
	// source says where the value of a flag comes from, by its name; what is
	// not in it has its default.
	source map[string]string
	// topics are the topic defaults, by their names, and topicSource where
	// each comes from.
	topics, topicSource map[string]string
	// topicSettings are the broker settings of the file behind topic defaults,
	// as they stand there.
	topicSettings map[string]string
	// broker are the broker settings of the file that no flag stands for, and
	// brokerSource where each comes from.
	broker, brokerSource map[string]string
	// notes are what the operator should know: a text with names behind it.
	notes []settingNote
}

// settingNote says something about settings by their names.
type settingNote struct {
	text  string
	names []string
}

// resolve puts the environment and the properties file below the flags that
// were given: what a flag says wins over its variable, and that over the file.
// topicFlags is the value of --topic-default.
func resolve(flags *pflag.FlagSet, topicFlags []string) (*settings, error) {
	s := &settings{
		flags: flags, source: map[string]string{},
		topics: map[string]string{}, topicSource: map[string]string{}, topicSettings: map[string]string{},
		broker: map[string]string{}, brokerSource: map[string]string{},
	}
	flags.Visit(func(f *pflag.Flag) { s.source[f.Name] = fromFlag })
	topicVariable, err := s.applyEnvironment(os.Environ())
	if err != nil {
		return nil, err
	}
	if file := flags.Lookup("config").Value.String(); file != "" {
		if err := s.applyFile(file); err != nil {
			return nil, err
		}
	}
	if err := s.applyTopicDefaults(strings.Fields(topicVariable), variable(topicDefaultFlag)); err != nil {
		return nil, err
	}
	return s, s.applyTopicDefaults(topicFlags, fromFlag)
}

// applyEnvironment sets the flags that have a variable and were not given, and
// returns the variable of the topic defaults.
func (s *settings) applyEnvironment(environ []string) (topicDefaults string, err error) {
	byVariable := map[string]*pflag.Flag{}
	s.flags.VisitAll(func(f *pflag.Flag) { byVariable[variable(f.Name)] = f })
	var ignored []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		f := byVariable[name]
		switch {
		case !strings.HasPrefix(name, environmentPrefix) || name == addrVariable:
		case f == nil || f.Name == "help":
			// No error: an orchestrator may set ROLLWAY_SERVICE_HOST and more.
			ignored = append(ignored, name)
		case f.Name == topicDefaultFlag:
			topicDefaults = value
		case s.source[f.Name] != fromFlag:
			if err := f.Value.Set(value); err != nil {
				return "", usagef("%s: %v", name, valueError(f, value, err))
			}
			s.source[f.Name] = name
		}
	}
	if len(ignored) > 0 {
		slices.Sort(ignored)
		s.notes = append(s.notes, settingNote{"environment variables that are no settings are ignored", ignored})
	}
	return topicDefaults, nil
}

// set gives a flag a value from the file, unless a flag or a variable did.
func (s *settings) set(flag, value, where string) error {
	if source := s.source[flag]; source == fromFlag || strings.HasPrefix(source, environmentPrefix) {
		return nil
	}
	f := s.flags.Lookup(flag)
	if err := f.Value.Set(value); err != nil {
		return usagef("%s: %v", where, valueError(f, value, err))
	}
	s.source[flag] = where
	return nil
}

// applyTopicDefaults reads key=value texts.
func (s *settings) applyTopicDefaults(texts []string, source string) error {
	configs, err := parseConfigs(texts)
	if err != nil {
		where := source
		if source == fromFlag {
			where = "--" + topicDefaultFlag
		}
		return usagef("%s: %v", where, err)
	}
	for key, value := range configs {
		s.topics[key] = value
		s.topicSource[key] = source
		if k, known := topicconfig.Lookup(key); known {
			for _, synonym := range k.Synonyms {
				delete(s.topicSettings, synonym.Name)
			}
		}
	}
	return nil
}

// settingFlags are the flags that only set a broker setting.
var settingFlags = map[string]string{
	"auto-create-topics":            "auto.create.topics.enable",
	"default-replication-factor":    "default.replication.factor",
	"accept-any-replication-factor": "rollway.accept.any.replication.factor",
}

// brokerSettings returns the settings by Kafka's names that were given, and the
// topic defaults that none of them gives.
func (s *settings) brokerSettings() (broker, topicDefaults map[string]string) {
	broker, topicDefaults = maps.Clone(s.broker), map[string]string{}
	for flag, name := range settingFlags {
		if _, given := s.source[flag]; given {
			broker[name] = s.flags.Lookup(flag).Value.String()
		}
	}
	maps.Copy(broker, s.topicSettings)
	for key, value := range s.topics {
		k, _ := topicconfig.Lookup(key)
		if !slices.ContainsFunc(k.Synonyms, func(synonym topicconfig.Synonym) bool { _, ok := s.topicSettings[synonym.Name]; return ok }) {
			topicDefaults[key] = value
		}
	}
	return broker, topicDefaults
}

// rows returns all settings in force, by name: name, value, where from.
func (s *settings) rows() [][3]string {
	var rows [][3]string
	s.flags.VisitAll(func(f *pflag.Flag) {
		if f.Name == "help" || f.Name == topicDefaultFlag || f.Name == printConfigFlag {
			return
		}
		source := s.source[f.Name]
		if source == "" {
			source = fromDefault
		}
		rows = append(rows, [3]string{f.Name, f.Value.String(), source})
	})
	for key, value := range s.topics {
		rows = append(rows, [3]string{"topic " + key, value, s.topicSource[key]})
	}
	for name, value := range s.broker {
		rows = append(rows, [3]string{"broker " + name, value, s.brokerSource[name]})
	}
	slices.SortFunc(rows, func(a, b [3]string) int { return strings.Compare(a[0], b[0]) })
	return rows
}

// parseConfigs reads texts of the form key=value; a key may come once.
func parseConfigs(texts []string) (map[string]string, error) {
	configs := map[string]string{}
	for _, text := range texts {
		key, value, found := strings.Cut(text, "=")
		key = strings.TrimSpace(key)
		if !found || key == "" {
			return nil, fmt.Errorf("%q, want KEY=VALUE", nearest.Shorten(text))
		}
		if _, twice := configs[key]; twice {
			return nil, fmt.Errorf("%q comes twice, want it once", key)
		}
		configs[key] = value
	}
	return configs, nil
}
