package main

import (
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/brokerconfig"
	"github.com/rollway/rollway/internal/nearest"
	"github.com/rollway/rollway/internal/properties"
)

// maxPropertiesBytes bounds a properties file; Kafka's own has 5 KiB.
const maxPropertiesBytes = 1 << 20

// kafkaSettings are Kafka's names of settings that exist here under another
// one. convert, if not nil, makes our value of Kafka's.
var kafkaSettings = map[string]struct {
	flag    string
	convert func(value string) (string, error)
}{
	"log.dirs":                                {flag: "data", convert: oneDirectory},
	"log.dir":                                 {flag: "data", convert: oneDirectory},
	"node.id":                                 {flag: "node-id"},
	"broker.id":                               {flag: "node-id"},
	"num.partitions":                          {flag: "partitions"},
	"listeners":                               {flag: "kafka"},
	"advertised.listeners":                    {flag: "kafka-advertised"},
	"rollway.journal.bytes":                   {flag: "journal-bytes"},
	"max.connections":                         {flag: "max-connections", convert: noLimit},
	"max.connections.per.ip":                  {flag: "max-connections-per-ip", convert: noLimit},
	"socket.request.max.bytes":                {flag: "max-frame"},
	"socket.send.buffer.bytes":                {flag: "send-buffer", convert: systemDefault},
	"connections.max.idle.ms":                 {flag: "idle-timeout", convert: milliseconds},
	"num.recovery.threads.per.data.dir":       {flag: "recovery-parallelism"},
	"producer.id.expiration.ms":               {flag: "producer-id-expiration", convert: milliseconds},
	"log.flush.offset.checkpoint.interval.ms": {flag: "checkpoint-interval", convert: milliseconds},
	"log.retention.check.interval.ms":         {flag: "retention-interval", convert: milliseconds},
	"auto.create.topics.enable":               {flag: "auto-create-topics", convert: boolean},
	"default.replication.factor":              {flag: "default-replication-factor"},
	"rollway.accept.any.replication.factor":   {flag: "accept-any-replication-factor", convert: boolean},
}

// oneDirectory takes log.dirs, a list, if it names one.
func oneDirectory(value string) (string, error) {
	if strings.Contains(value, ",") {
		return "", fmt.Errorf("%q, want one directory; run a server for each", nearest.Shorten(value))
	}
	return strings.TrimSpace(value), nil
}

// noLimit makes Kafka's default, the greatest int32, ours, which is the most.
func noLimit(value string) (string, error) {
	if strings.TrimSpace(value) == strconv.Itoa(math.MaxInt32) {
		return strconv.Itoa(1 << 20), nil
	}
	return value, nil
}

// systemDefault makes Kafka's -1 ours, which is 0.
func systemDefault(value string) (string, error) {
	if strings.TrimSpace(value) == "-1" {
		return "0", nil
	}
	return value, nil
}

// milliseconds makes a duration of a number; a negative one means never.
func milliseconds(value string) (string, error) {
	n, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	switch {
	case err != nil:
		return "", fmt.Errorf("%q, want a number of milliseconds", nearest.Shorten(value))
	case n < 0:
		return "-1ms", nil
	}
	return strconv.FormatInt(min(n, math.MaxInt64/1_000_000), 10) + "ms", nil
}

// boolean takes what Kafka takes: true and false, in any case.
func boolean(value string) (string, error) {
	lower := strings.ToLower(strings.TrimSpace(value))
	if lower != "true" && lower != "false" {
		return "", fmt.Errorf("%q, want true or false", nearest.Shorten(value))
	}
	return lower, nil
}

// withoutEffect are Kafka's settings that a pasted file may hold, that mean
// nothing here and that brokerconfig does not know: with a "*" at the end all
// that begin so. Where a whole family means nothing, a misspelt member of it
// does no harm either.
// Source: the broker configs of Apache Kafka 4.3, and of 3.x what 4 dropped.
var withoutEffect = []string{
	"alter.config.policy.class.name", "alter.log.dirs.*", "authorizer.*", "auto.include.jmx.reporter", "auto.leader.rebalance.enable",
	"broker.heartbeat.interval.ms", "broker.id.generation.enable", "broker.session.timeout.ms", "client.quota.callback.class",
	"config.providers*", "connection.failed.authentication.delay.ms", "connections.max.reauth.ms", "control.plane.listener.name",
	"controlled.shutdown.*", "controller.*", "create.topic.policy.class.name", "delegation.token.*", "delete.records.*",
	"early.start.listeners", "eligible.leader.replicas.*", "fetch.purgatory.*", "group.consumer.*", "group.coordinator.*", "group.protocol", "group.share.*", "group.streams.*", "initial.broker.registration.timeout.ms",
	"inter.broker.*", "kafka.metrics.*", "leader.imbalance.*", "listener.name.*", "log.cleaner.backoff.ms",
	"log.cleaner.dedupe.buffer.size", "log.cleaner.io.*", "log.dir.failure.timeout.ms", "log.initial.task.delay.ms",
	"log.message.downconversion.enable", "log.message.format.version", "log.message.timestamp.difference.max.ms",
	"max.request.partition.size.limit", "metadata.*", "metric.*", "metrics.*", "num.replica.*", "offsets.commit.*", "offsets.load.*", "offsets.topic.compression.codec", "password.encoder.*",
	"principal.builder.class", "process.roles", "producer.id.expiration.check.interval.ms", "producer.purgatory.*", "queued.max.*",
	"quota.*", "remote.*", "replica.*",
	"replication.quota.*", "request.timeout.ms", "reserved.broker.max.id", "sasl.*", "security.*", "server.max.startup.time.ms",
	"share.*", "socket.connection.*", "ssl.*", "super.users", "telemetry.*", "transaction.*", "unclean.leader.election.interval.ms",
	"unstable.*", "zookeeper.*",
}

// hasNoEffect tells whether Kafka knows the key and it means nothing here.
func hasNoEffect(key string) bool {
	return slices.ContainsFunc(withoutEffect, func(pattern string) bool {
		family, isFamily := strings.CutSuffix(pattern, "*")
		return key == pattern || isFamily && strings.HasPrefix(key, family)
	})
}

// applyFile reads a properties file. Its keys are Kafka's, or the names of
// flags.
func (s *settings) applyFile(file string) error {
	content, err := readFile(file)
	if err != nil {
		return usagef("--config: %v", err)
	}
	list, err := properties.Parse(string(content))
	if err != nil {
		return usagef("%s: %v", file, err)
	}
	list, controllers, err := brokerListeners(list)
	if err != nil {
		return usagef("%s %v", file, err)
	}
	if len(controllers) > 0 {
		s.notes = append(s.notes, settingNote{"listeners of " + file + " that are a controller's are left out: there is none here", controllers})
	}
	given := map[string]properties.Property{} // settings of Kafka behind topic configs
	var ignored []string
	for _, p := range list {
		where := fmt.Sprintf("%s line %d: %s", file, p.Line, p.Key)
		kafka, isKafka := kafkaSettings[p.Key]
		known, isBrokerSetting := brokerconfig.Lookup(p.Key)
		switch {
		case isKafka:
			value := p.Value
			if kafka.convert != nil {
				if value, err = kafka.convert(value); err != nil {
					return usagef("%s: %v", where, err)
				}
			}
			err = s.set(kafka.flag, strings.TrimSpace(value), where)
		case isTopicSetting(p.Key):
			given[p.Key] = p
		case s.isFileKey(p.Key):
			err = s.set(p.Key, strings.TrimSpace(p.Value), where)
		case isBrokerSetting:
			if err := brokerconfig.Validate(p.Key, p.Value); err != nil {
				return usagef("%s: %v", where, err)
			}
			s.broker[p.Key], s.brokerSource[p.Key] = strings.TrimSpace(p.Value), where
			if !known.InForce {
				ignored = append(ignored, p.Key)
			}
		case hasNoEffect(p.Key):
			ignored = append(ignored, p.Key)
		default:
			return usagef("%s: unknown setting; did you mean %s?", where, s.nearestSetting(p.Key))
		}
		if err != nil {
			return err
		}
	}
	if len(ignored) > 0 {
		slices.Sort(ignored)
		s.notes = append(s.notes, settingNote{"settings of " + file + " that Kafka knows have no effect here", slices.Compact(ignored)})
	}
	return s.applyTopicSettings(file, given)
}

// readFile returns the content of a file of at most maxPropertiesBytes.
func readFile(name string) ([]byte, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxPropertiesBytes {
		return nil, fmt.Errorf("%s: %d bytes, want at most %d", name, info.Size(), maxPropertiesBytes)
	}
	return os.ReadFile(name)
}

// isFileKey tells whether key is a flag that a file may set.
func (s *settings) isFileKey(key string) bool {
	f := s.flags.Lookup(key)
	return f != nil && !slices.Contains([]string{"help", "config", topicDefaultFlag, printConfigFlag}, key)
}

// isTopicSetting tells whether key is a setting of Kafka's brokers that gives
// the default of a topic config.
func isTopicSetting(key string) bool {
	_, _, ok := topicconfig.LookupSetting(key)
	return ok
}

// applyTopicSettings makes topic defaults of Kafka's broker settings. Of
// several for one topic config, such as log.retention.ms and .hours, the first
// in Kafka's order counts.
func (s *settings) applyTopicSettings(file string, given map[string]properties.Property) error {
	for _, key := range topicconfig.Keys() {
		for _, synonym := range key.Synonyms {
			p, ok := given[synonym.Name]
			if !ok {
				continue
			}
			where := fmt.Sprintf("%s line %d: %s", file, p.Line, p.Key)
			if err := topicconfig.ValidateSetting(p.Key, p.Value); err != nil {
				return usagef("%s: %v", where, err)
			}
			s.topicSettings[p.Key] = strings.TrimSpace(p.Value)
			if _, set := s.topics[key.Name]; set {
				continue
			}
			value, err := synonym.Convert(strings.TrimSpace(p.Value))
			if err != nil {
				return usagef("%s: %v", where, err)
			}
			s.topics[key.Name], s.topicSource[key.Name] = value, where
		}
	}
	return nil
}

// nearestSetting names the setting that was probably meant: for the name of a
// topic config the broker's, else the one with the fewest edits.
func (s *settings) nearestSetting(name string) string {
	if key, ok := topicconfig.Lookup(name); ok && len(key.Synonyms) > 0 {
		return key.Synonyms[0].Name
	}
	candidates := slices.Collect(maps.Keys(kafkaSettings))
	for _, key := range brokerconfig.Keys() {
		candidates = append(candidates, key.Name)
	}
	for _, row := range s.rows() {
		candidates = append(candidates, row[0])
	}
	for _, pattern := range withoutEffect {
		if !strings.HasSuffix(pattern, "*") {
			candidates = append(candidates, pattern)
		}
	}
	slices.Sort(candidates)
	return nearest.Of(name, candidates)
}
