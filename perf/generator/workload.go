package generator

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/nearest"
)

// Workload says what is produced and consumed, and how fast. The keys of the first
// half are those of OpenMessaging Benchmark's io.openmessaging.benchmark.Workload,
// with their meaning where nothing else is said; those of the second half are ours.
// Begin with DefaultWorkload: the zero value is not valid.
type Workload struct {
	Name string `json:"name"`

	Topics             int `json:"topics"`
	PartitionsPerTopic int `json:"partitionsPerTopic"`

	// KeyDistributor is NO_KEY, KEY_ROUND_ROBIN or RANDOM_NANO: what keys messages
	// have, which decides about their partitions.
	KeyDistributor string `json:"keyDistributor"`

	// MessageSize is the length of a value in bytes, at least MinMessageSize.
	MessageSize int `json:"messageSize"`

	// UseRandomizedPayloads makes RandomizedPayloadPoolSize values of which
	// RandomBytesRatio is random and the rest zero, so that it says how well they
	// compress. Without it the value is PayloadFile, of MessageSize bytes, or random
	// if that is "". The first MinMessageSize bytes are always the generator's own.
	UseRandomizedPayloads     bool    `json:"useRandomizedPayloads"`
	RandomBytesRatio          float64 `json:"randomBytesRatio"`
	RandomizedPayloadPoolSize int     `json:"randomizedPayloadPoolSize"`
	PayloadFile               string  `json:"payloadFile,omitempty"`

	// SubscriptionsPerTopic is how often each message is consumed, and
	// ConsumerPerSubscription how many share the partitions of a topic for it. With 0
	// of either nothing is consumed, and nothing verified.
	SubscriptionsPerTopic   int `json:"subscriptionsPerTopic"`
	ProducersPerTopic       int `json:"producersPerTopic"`
	ConsumerPerSubscription int `json:"consumerPerSubscription"`

	// ProducerRate is how many messages all producers together send in a second, by a
	// schedule that waits for nobody (an open loop). 0: as fast as they are
	// acknowledged, with MaxInFlightMessages on their way (a closed loop);
	// OpenMessaging Benchmark looks for the highest rate that consumers keep up with
	// instead.
	ProducerRate float64 `json:"producerRate"`

	// ConsumerBacklogSizeGB is how many GiB are produced, counted once for each
	// subscription, before consumers go on to drain them; 0: consumers tail. The
	// backlog counts as drained when 1-BacklogDrainRatio of it is left.
	// TestDurationMinutes begins then.
	ConsumerBacklogSizeGB float64 `json:"consumerBacklogSizeGB"`
	BacklogDrainRatio     float64 `json:"backlogDrainRatio"`

	// Durations; those in seconds are added.
	TestDurationMinutes   float64 `json:"testDurationMinutes"`
	WarmupDurationMinutes float64 `json:"warmupDurationMinutes"`
	TestDurationSeconds   float64 `json:"testDurationSeconds"`
	WarmupDurationSeconds float64 `json:"warmupDurationSeconds"`

	// Acks is all, 1 or 0. Idempotence has what is sent again stored once; it needs
	// acks all. Compression is none, gzip, snappy, lz4 or zstd.
	Acks        string `json:"acks"`
	Idempotence bool   `json:"idempotence"`
	Compression string `json:"compression"`

	// BatchBytes is the length of a full batch before compression, LingerMs how long
	// a message may wait for others to fill one.
	BatchBytes int     `json:"batchBytes"`
	LingerMs   float64 `json:"lingerMs"`

	// MaxInFlightMessages bounds, for each producer, the messages that have no answer
	// yet: more are not sent. 0: in a closed loop as many as fill five batches of each
	// partition, in an open one 32 MiB.
	MaxInFlightMessages int `json:"maxInFlightMessages"`

	// FetchMaxBytes is the most that one answer brings to a consumer, for all of its
	// partitions together; of the native protocol, one piece of a subscription.
	FetchMaxBytes int `json:"fetchMaxBytes"`

	// TopicConfigs are set at the topics that are made. ReplicationFactor is that of
	// Kafka's; -1: the broker's default.
	TopicConfigs      map[string]string `json:"topicConfigs,omitempty"`
	ReplicationFactor int               `json:"replicationFactor"`
}

// MinMessageSize is the shortest message: what a message says of itself
// (message.go).
const MinMessageSize = messageHeaderBytes

// openLoopBytes bounds what an open loop has in flight, by default: the
// buffer.memory of Kafka's producers.
const openLoopBytes = 32 << 20

// DefaultWorkload returns a workload of one topic with one partition, one producer
// and one consumer, at full speed for a minute, of 1 KiB messages in batches of
// 64 KiB, acknowledged by all.
func DefaultWorkload() Workload {
	return Workload{
		Name: "default", Topics: 1, PartitionsPerTopic: 1, KeyDistributor: noKey, MessageSize: 1024,
		RandomBytesRatio: 1, RandomizedPayloadPoolSize: 100,
		SubscriptionsPerTopic: 1, ProducersPerTopic: 1, ConsumerPerSubscription: 1,
		BacklogDrainRatio: 1, TestDurationMinutes: 1,
		Acks: "all", Idempotence: true, Compression: "none", BatchBytes: 64 << 10, LingerMs: 5,
		FetchMaxBytes: 8 << 20, ReplicationFactor: -1,
	}
}

// LoadWorkload reads a workload in YAML. A payloadFile that is not there is looked
// for beside it.
//
// Errors name the file, the line and the key; an unknown key also the known one that
// is nearest.
func LoadWorkload(path string) (Workload, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return Workload{}, err
	}
	w, err := ParseWorkload(text)
	if err != nil {
		return Workload{}, fmt.Errorf("%s: %w", path, err)
	}
	if w.Name == "" {
		w.Name = strings.TrimSuffix(filepath.Base(path), filepath.Ext(path))
	}
	if _, err := os.Stat(w.PayloadFile); w.PayloadFile != "" && errors.Is(err, os.ErrNotExist) {
		w.PayloadFile = filepath.Join(filepath.Dir(path), w.PayloadFile)
	}
	return w, nil
}

// ParseWorkload is LoadWorkload of a text. Keys that it does not have are those of
// DefaultWorkload, but for the name, which is "" then, and for a warm-up, which is a
// minute as in OpenMessaging Benchmark.
func ParseWorkload(text []byte) (Workload, error) {
	w := DefaultWorkload()
	w.Name = ""
	keys, err := mapping(text)
	if err != nil {
		return Workload{}, err
	}
	fields := workloadFields(&w)
	warmup := false
	for i := 0; i+1 < len(keys); i += 2 {
		key, value := keys[i], keys[i+1]
		field, known := fields[key.Value]
		if !known {
			return Workload{}, fmt.Errorf("line %d: unknown key %s, did you mean %s?", key.Line, nearest.Shorten(key.Value), nearest.Of(key.Value, workloadKeys()))
		}
		if !decode(value, field) {
			return Workload{}, fmt.Errorf("line %d: %s: %q, want %s", key.Line, key.Value, nearest.Shorten(value.Value), wanted(field.Kind()))
		}
		warmup = warmup || strings.HasPrefix(key.Value, "warmup")
	}
	if !warmup {
		w.WarmupDurationMinutes = 1
	}
	return w, w.Validate()
}

// mapping returns the keys and values, in turn, of the one mapping that text is.
func mapping(text []byte) ([]*yaml.Node, error) {
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	var document yaml.Node
	if err := decoder.Decode(&document); err == io.EOF {
		return nil, errors.New("no keys, want a workload")
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(new(yaml.Node)); err != io.EOF {
		return nil, errors.New("more than one document, want one workload")
	}
	top := document.Content[0]
	if top.Kind != yaml.MappingNode {
		return nil, fmt.Errorf("line %d: no keys, want a workload", top.Line)
	}
	seen := map[string]bool{}
	for i := 0; i < len(top.Content); i += 2 {
		key := top.Content[i]
		if seen[key.Value] {
			return nil, fmt.Errorf("line %d: %s again, want each key once", key.Line, nearest.Shorten(key.Value))
		}
		seen[key.Value] = true
	}
	return top.Content, nil
}

// decode sets a field, and reports whether the value is one for it. A number with a
// fraction is none for a whole one: the library would cut it off.
func decode(value *yaml.Node, field reflect.Value) bool {
	if field.Kind() == reflect.Int {
		var number float64
		if value.Decode(&number) != nil || number != math.Trunc(number) {
			return false
		}
	}
	return value.Decode(field.Addr().Interface()) == nil
}

// workloadFields returns the fields of w by their keys.
func workloadFields(w *Workload) map[string]reflect.Value {
	fields := map[string]reflect.Value{}
	v := reflect.ValueOf(w).Elem()
	for i, key := range workloadKeys() {
		fields[key] = v.Field(i)
	}
	return fields
}

// workloadKeys returns the keys, in the order of the fields.
func workloadKeys() []string {
	var keys []string
	for _, f := range reflect.VisibleFields(reflect.TypeFor[Workload]()) {
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		keys = append(keys, key)
	}
	return keys
}

// wanted names what a field takes.
func wanted(kind reflect.Kind) string {
	switch kind {
	case reflect.Int:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Map:
		return "names with values"
	}
	return "a text"
}

// Validate names the first key that is out of range, and the range.
func (w Workload) Validate() error {
	atLeast := func(key string, value, least float64) error {
		// NaN is less than nothing, so ask what is wanted.
		if value >= least && !math.IsInf(value, 0) {
			return nil
		}
		return fmt.Errorf("%s: %v, want at least %v", key, value, least)
	}
	for _, n := range []struct {
		key          string
		value, least float64
	}{
		{"topics", float64(w.Topics), 1},
		{"partitionsPerTopic", float64(w.PartitionsPerTopic), 1},
		{"messageSize", float64(w.MessageSize), MinMessageSize},
		{"subscriptionsPerTopic", float64(w.SubscriptionsPerTopic), 0},
		{"producersPerTopic", float64(w.ProducersPerTopic), 1},
		{"consumerPerSubscription", float64(w.ConsumerPerSubscription), 0},
		{"producerRate", w.ProducerRate, 0},
		{"consumerBacklogSizeGB", w.ConsumerBacklogSizeGB, 0},
		{"testDurationMinutes", w.TestDurationMinutes, 0},
		{"warmupDurationMinutes", w.WarmupDurationMinutes, 0},
		{"testDurationSeconds", w.TestDurationSeconds, 0},
		{"warmupDurationSeconds", w.WarmupDurationSeconds, 0},
		{"batchBytes", float64(w.BatchBytes), minBatchBytes},
		{"lingerMs", w.LingerMs, 0},
		{"maxInFlightMessages", float64(w.MaxInFlightMessages), 0},
		{"fetchMaxBytes", float64(w.FetchMaxBytes), minBatchBytes},
		{"replicationFactor", float64(w.ReplicationFactor), -1},
	} {
		if err := atLeast(n.key, n.value, n.least); err != nil {
			return err
		}
	}
	return w.validateRest()
}

// minBatchBytes is the least that batches and answers are bounded by: what both
// clients take.
const minBatchBytes = 1 << 10

// validateRest is what Validate says of all but lower bounds.
func (w Workload) validateRest() error {
	_, codecErr := record.ParseCodec(w.Compression)
	switch {
	case w.KeyDistributor != noKey && w.KeyDistributor != keyRoundRobin && w.KeyDistributor != randomNano:
		return fmt.Errorf("keyDistributor: %q, want %s, %s or %s", nearest.Shorten(w.KeyDistributor), noKey, keyRoundRobin, randomNano)
	case w.MessageSize > record.MaxSize/2:
		return fmt.Errorf("messageSize: %d, want at most %d", w.MessageSize, record.MaxSize/2)
	case w.BatchBytes > record.MaxSize || w.FetchMaxBytes > math.MaxInt32:
		return fmt.Errorf("batchBytes, fetchMaxBytes: %d, %d, want at most %d and %d", w.BatchBytes, w.FetchMaxBytes, record.MaxSize, math.MaxInt32)
	case w.RandomBytesRatio < 0 || w.RandomBytesRatio > 1 || math.IsNaN(w.RandomBytesRatio):
		return fmt.Errorf("randomBytesRatio: %v, want 0 to 1", w.RandomBytesRatio)
	case w.UseRandomizedPayloads && (w.RandomizedPayloadPoolSize < 1 || w.RandomizedPayloadPoolSize > maxPoolSize):
		return fmt.Errorf("randomizedPayloadPoolSize: %d, want 1 to %d", w.RandomizedPayloadPoolSize, maxPoolSize)
	case w.BacklogDrainRatio <= 0 || w.BacklogDrainRatio > 1 || math.IsNaN(w.BacklogDrainRatio):
		return fmt.Errorf("backlogDrainRatio: %v, want more than 0, up to 1", w.BacklogDrainRatio)
	case w.TestDuration() == 0:
		return errors.New("testDurationMinutes, testDurationSeconds: 0 in all, want more")
	case w.Acks != "all" && w.Acks != "1" && w.Acks != "0":
		return fmt.Errorf("acks: %q, want all, 1 or 0", nearest.Shorten(w.Acks))
	case w.Idempotence && w.Acks != "all":
		return fmt.Errorf("idempotence: true with acks: %s, want idempotence: false or acks: all", w.Acks)
	case codecErr != nil:
		return fmt.Errorf("compression: %w", codecErr)
	case w.backlogBytes() > 0 && !w.consumes():
		return errors.New("consumerBacklogSizeGB: set without consumers, want a subscription and a consumer at least")
	}
	return nil
}

// maxPoolSize bounds the memory of random payloads.
const maxPoolSize = 100_000

// TestDuration is how long is measured.
func (w Workload) TestDuration() time.Duration {
	return seconds(60*w.TestDurationMinutes + w.TestDurationSeconds)
}

// WarmupDuration is how long is produced and consumed before anything is measured.
func (w Workload) WarmupDuration() time.Duration {
	return seconds(60*w.WarmupDurationMinutes + w.WarmupDurationSeconds)
}

// linger is how long a message may wait for others.
func (w Workload) linger() time.Duration { return seconds(w.LingerMs / 1000) }

func seconds(s float64) time.Duration {
	return time.Duration(min(s*float64(time.Second), math.MaxInt64/2))
}

// consumes tells whether there are consumers.
func (w Workload) consumes() bool { return w.subscriptions() > 0 }

// subscriptions is how often each message is consumed.
func (w Workload) subscriptions() int {
	if w.ConsumerPerSubscription == 0 {
		return 0
	}
	return w.SubscriptionsPerTopic
}

// backlogBytes is how much is produced before consumers begin.
func (w Workload) backlogBytes() int64 { return int64(w.ConsumerBacklogSizeGB * (1 << 30)) }

// inFlight is how many messages of one producer may be without an answer.
func (w Workload) inFlight() int {
	switch {
	case w.MaxInFlightMessages > 0:
		return w.MaxInFlightMessages
	case w.ProducerRate > 0:
		return max(5, openLoopBytes/w.MessageSize)
	}
	// Five requests: as many as a broker takes of an idempotent producer, for a
	// partition. What fills batches of one partition after the other must not be
	// held up by a batch that lingers.
	return 5 * w.perBatch() * w.PartitionsPerTopic
}

// perBatch is how many messages without a key fill a batch: rather one less than one
// that opens the next batch, where it would wait alone.
func (w Workload) perBatch() int {
	// Attributes, time and offset (up to 8,191), no key, headers; and both lengths.
	const fixed = 1 + 2 + 2 + 1 + 1
	body := fixed + varintBytes(w.MessageSize) + w.MessageSize
	return max(1, (w.BatchBytes-record.HeaderSize)/(varintBytes(body)+body))
}

// varintBytes is how long a length is in a record.
func varintBytes(n int) int { return len(binary.AppendVarint(nil, int64(n))) }
