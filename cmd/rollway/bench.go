package main

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/rollway/rollway/internal/nearest"
	"github.com/rollway/rollway/perf/generator"
	"github.com/rollway/rollway/wire/client"
)

const benchHelp = `Measure a server: produce messages and consume them again, print rates and
latencies, and check that each message arrived, once, whole and in order.

The server is a rollway server over its own protocol (--addr), or any broker of
Kafka's protocol (--kafka): Apache Kafka, rollway, others.

With --rate messages are sent by a schedule, and latencies count from when a
message was due: a server that stalls is charged for every message that it held
up, also for those that could be sent only later. That is how to compare
latencies. With --rate max, the default, as many messages are on their way as
fill five batches of each partition, and the next is sent when one is acknowledged.
That is how to find the highest rate; its latencies say little.

Publish latency ends when a message is acknowledged as --acks asks, end-to-end
latency when a consumer has it. Both are of the time after the warm-up.

It makes topics of its own, rollway-bench-TIME-..., and deletes them at the end,
also when it is interrupted; --keep leaves them. No other topic is written to, and
no consumer group is made.

--workload FILE is a workload of OpenMessaging Benchmark in YAML, with keys of
ours besides; flags that are given change what it says. --json FILE is written
with its result keys, as JSON. See docs/bench.md.

It exits with 1 when messages were lost, corrupt, in the log twice or out of
order, and says where.`

const benchExamples = `  rollway bench                                        1 KiB messages at full speed, for 10 s
  rollway bench --rate 5000 --duration 60s             latencies at 5,000 messages/s
  rollway bench --partitions 16 --producers 4 --consumers 4 --message-size 100
  rollway bench --kafka 127.0.0.1:9092 --rate 5000     the same of a Kafka broker
  rollway bench --subscriptions 8                      fan-out: all is consumed eight times
  rollway bench --rate 50000 --backlog 2GiB            how a backlog is drained
  rollway bench --workload perf/workloads/tail-1kib.yaml --json result.json`

// benchOptions are the flags of bench.
type benchOptions struct {
	connection
	kafka    string
	workload string
	json     string
	keep     bool
	quiet    bool
	flags    benchFlags
}

// benchFlags are those that change a workload.
type benchFlags struct {
	topics, partitions, producers, subscriptions, consumers int
	messageSize, batchBytes, backlog                        byteSize
	rate, keys, acks, compression                           string
	idempotent                                              bool
	linger, duration, warmup                                time.Duration
	inFlight, replication                                   int
	randomRatio                                             float64
	topicConfigs                                            []string
}

func (p *program) newBench() *cobra.Command {
	var o benchOptions
	cmd := &cobra.Command{
		Use:     "bench",
		Short:   "Measure a server, rollway or any Kafka broker",
		Long:    benchHelp,
		Example: benchExamples,
		Args:    arguments(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return p.bench(cmd, &o) },
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.kafka, "kafka", "", "`HOST:PORT` of a broker of Kafka's protocol, several with commas between; instead of --addr")
	f.StringVar(&o.workload, "workload", "", "`FILE` of a workload in YAML")
	f.StringVar(&o.json, "json", "", "write the result to `FILE` as JSON, - is standard output")
	f.BoolVar(&o.keep, "keep", false, "leave the topics")
	f.BoolVar(&o.quiet, "quiet", false, "show no progress")
	o.flags.add(f)
	cmd.MarkFlagFilename("workload", "yaml", "yml")
	for name, values := range map[string][]string{
		"acks": {"all", "1", "0"}, "compression": {"none", "gzip", "snappy", "lz4", "zstd"},
		"keys": {"none", "round-robin", "random"}, "rate": {"max"},
	} {
		cmd.RegisterFlagCompletionFunc(name, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	return cmd
}

// add defines the flags. Their defaults are those of a run without a workload file.
func (b *benchFlags) add(f *pflag.FlagSet) {
	b.messageSize, b.batchBytes = 1<<10, 64<<10
	f.IntVar(&b.topics, "topics", 1, "`number` of topics")
	f.IntVar(&b.partitions, "partitions", 1, "`number` of partitions of each topic")
	f.IntVar(&b.producers, "producers", 1, "`number` of producers of each topic, each with a connection")
	f.IntVar(&b.subscriptions, "subscriptions", 1, "how many `times` each message is consumed")
	f.IntVar(&b.consumers, "consumers", 1, "`number` of consumers that share a topic's partitions, for each subscription; 0: produce only")
	f.Var(&b.messageSize, "message-size", "length of a message's value")
	f.Float64Var(&b.randomRatio, "random-ratio", 1, "which `part` of a message is random, the rest being zero: how badly it compresses")
	f.StringVar(&b.keys, "keys", "none", "`kind` of keys: none, round-robin or random, of 10,000")
	f.StringVar(&b.rate, "rate", "max", "`messages` a second of all producers together, or max")
	f.DurationVar(&b.duration, "duration", 10*time.Second, "how long to measure")
	f.DurationVar(&b.warmup, "warmup", time.Second, "how long to run before that")
	f.StringVar(&b.acks, "acks", "all", "what to wait for: all, 1 or 0")
	f.BoolVar(&b.idempotent, "idempotent", true, "have what is sent again stored once; with --acks 1 and 0 it is off")
	f.StringVar(&b.compression, "compression", "none", "`codec` of batches: none, gzip, snappy, lz4 or zstd")
	f.Var(&b.batchBytes, "batch-bytes", "size of a full batch before compression")
	f.DurationVar(&b.linger, "linger", 5*time.Millisecond, "how long a message may wait for others to fill its batch")
	f.IntVar(&b.inFlight, "in-flight", 0, "most `messages` of a producer that have no answer; 0: five batches of each partition, with --rate 32 MiB")
	f.Var(&b.backlog, "backlog", "produce so much before it is consumed, then measure how it is drained")
	f.StringArrayVar(&b.topicConfigs, "topic-config", nil, "set a config of the topics, `KEY=VALUE`; may be repeated")
	f.IntVar(&b.replication, "replication-factor", -1, "`number` of replicas, of Kafka; -1: the broker's default")
}

// bench runs a workload.
func (p *program) bench(cmd *cobra.Command, o *benchOptions) error {
	target := generator.Target{Native: o.address(cmd)}
	if o.kafka != "" {
		if cmd.Flags().Changed("addr") {
			return usagef("bench: --kafka and --addr, want one of them")
		}
		target = generator.Target{Kafka: o.kafka}
	}
	w, err := o.load(cmd.Flags())
	if err != nil {
		return err
	}
	display := newBenchDisplay(p.stderr, o.quiet)
	result, err := generator.Run(cmd.Context(), w, target, generator.Options{
		Progress: display.update, ProgressInterval: display.interval(), Timeout: o.timeout, Keep: o.keep,
	})
	display.end()
	if result != nil {
		if e := p.writeBench(result, o); e != nil && err == nil {
			err = e
		}
	}
	return explainBench(err, o)
}

// explainBench says what to do about an error of a run.
func explainBench(err error, o *benchOptions) error {
	var unreachable *generator.UnreachableError
	switch {
	case errors.As(err, &unreachable) && o.kafka != "":
		return fmt.Errorf("%w: %w; name the address of a broker by --kafka HOST:PORT", errUnreachable, err)
	case errors.As(err, &unreachable):
		return fmt.Errorf("%w: %w; start a server with: rollway serve, or name its address by --addr HOST:PORT", errUnreachable, unreachable.Err)
	}
	var broken *client.ConnectionError
	if errors.As(err, &broken) {
		return fmt.Errorf("%w: %w", errUnreachable, err)
	}
	return err
}

// load makes the workload of the file, if there is one, and of the flags.
func (o *benchOptions) load(f *pflag.FlagSet) (generator.Workload, error) {
	w := generator.DefaultWorkload()
	w.Name = "rollway bench"
	changed := func(string) bool { return true }
	if o.workload != "" {
		var err error
		if w, err = generator.LoadWorkload(o.workload); err != nil {
			return w, usagef("bench: %v", err)
		}
		changed = f.Changed
	}
	if err := o.flags.apply(&w, changed); err != nil {
		return w, err
	}
	if err := w.Validate(); err != nil {
		return w, usagef("bench: %v", err)
	}
	return w, nil
}

// apply changes w by the flags that were given.
func (b *benchFlags) apply(w *generator.Workload, changed func(flag string) bool) error {
	set := func(flag string, change func()) {
		if changed(flag) {
			change()
		}
	}
	set("topics", func() { w.Topics = b.topics })
	set("partitions", func() { w.PartitionsPerTopic = b.partitions })
	set("producers", func() { w.ProducersPerTopic = b.producers })
	set("subscriptions", func() { w.SubscriptionsPerTopic = b.subscriptions })
	set("consumers", func() { w.ConsumerPerSubscription = b.consumers })
	set("message-size", func() { w.MessageSize = int(b.messageSize) })
	set("random-ratio", func() { w.UseRandomizedPayloads, w.RandomBytesRatio = true, b.randomRatio })
	set("duration", func() { w.TestDurationMinutes, w.TestDurationSeconds = 0, b.duration.Seconds() })
	set("warmup", func() { w.WarmupDurationMinutes, w.WarmupDurationSeconds = 0, b.warmup.Seconds() })
	set("compression", func() { w.Compression = b.compression })
	set("batch-bytes", func() { w.BatchBytes = int(b.batchBytes) })
	set("linger", func() { w.LingerMs = float64(b.linger) / float64(time.Millisecond) })
	set("in-flight", func() { w.MaxInFlightMessages = b.inFlight })
	set("backlog", func() { w.ConsumerBacklogSizeGB = float64(b.backlog) / (1 << 30) })
	set("replication-factor", func() { w.ReplicationFactor = b.replication })
	set("idempotent", func() { w.Idempotence = b.idempotent })
	set("acks", func() {
		w.Acks = cmp.Or(map[string]string{"-1": "all"}[b.acks], b.acks)
		w.Idempotence = w.Idempotence && w.Acks == "all"
	})
	return b.applyTexts(w, changed)
}

// applyTexts is apply of the flags whose text has to be read.
func (b *benchFlags) applyTexts(w *generator.Workload, changed func(flag string) bool) error {
	if changed("keys") {
		kinds := map[string]string{"none": "NO_KEY", "round-robin": "KEY_ROUND_ROBIN", "random": "RANDOM_NANO"}
		if w.KeyDistributor = kinds[b.keys]; w.KeyDistributor == "" {
			return usagef("bench: --keys %q, want none, round-robin or random", nearest.Shorten(b.keys))
		}
	}
	if changed("rate") {
		w.ProducerRate = 0
		if b.rate != "max" {
			rate, err := strconv.ParseFloat(b.rate, 64)
			if err != nil || !(rate > 0) {
				return usagef("bench: --rate %q, want messages a second, or max", nearest.Shorten(b.rate))
			}
			w.ProducerRate = rate
		}
	}
	for _, text := range b.topicConfigs {
		key, value, ok := strings.Cut(text, "=")
		if !ok {
			return usagef("bench: --topic-config %q, want KEY=VALUE", nearest.Shorten(text))
		}
		if w.TopicConfigs == nil {
			w.TopicConfigs = map[string]string{}
		}
		w.TopicConfigs[key] = value
	}
	return nil
}

// writeBench writes the result: as a file if that is asked for, and for people unless
// the file is standard output.
func (p *program) writeBench(r *generator.Result, o *benchOptions) error {
	switch o.json {
	case "":
	case "-":
		return writeJSON(p.stdout, r)
	default:
		f, err := os.Create(o.json)
		if err != nil {
			return err
		}
		if err := errors.Join(writeJSON(f, r), f.Close()); err != nil {
			return err
		}
	}
	return benchSummary{r, o.keep}.write(p.stdout)
}
