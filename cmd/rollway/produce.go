package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/nearest"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

const produceHelp = `Append the lines of files, or of standard input, to a topic. A record is a line
without its "\n"; a "\r" stays. A last line without "\n" counts; an empty line is
an empty record. "-" as a FILE is standard input.

With --key-separator the text before the first separator is the key; a line
without one has no key. Records with the same key go to the same partition, as
Kafka's producers choose it; those without one fill a batch for one partition
after the other.

It ends with 0 only when every record was acknowledged as --acks asks: all and 1
when it is durable, 0 when it was sent. When the connection breaks or the server
is started again, it connects anew and sends again what had no answer, and the
server stores it once and in order (--idempotent). When there is no answer for
--retry-for, records that were sent are in doubt: the last line says how many
there are, and the exit code is 4. Without idempotence nothing that was sent is
sent again, so a broken connection is enough for that.`

// produceOptions are the flags of produce.
type produceOptions struct {
	connection
	keySeparator string
	partition    int32
	acks         string
	compression  string
	linger       time.Duration
	batchBytes   byteSize
	idempotent   bool
	retryFor     time.Duration
}

func (p *program) newProduce() *cobra.Command {
	o := produceOptions{batchBytes: 64 << 10}
	cmd := &cobra.Command{
		Use:     "produce TOPIC [FILE...]",
		Short:   "Append the lines of files to a topic",
		Long:    produceHelp,
		Example: "  rollway produce access --compression lz4 access.log\n  tail -f app.log | rollway produce app",
		Args:    arguments("TOPIC", "FILE..."),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveDefault
			}
			return o.completeTopics(cmd, args, text)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.produce(cmd, args[0], args[1:], &o)
		},
	}
	o.addFlags(cmd)
	f := cmd.Flags()
	f.StringVar(&o.keySeparator, "key-separator", "", "`text` between key and value; no keys if empty")
	f.Int32Var(&o.partition, "partition", -1, "`number` of the partition; -1: by key")
	f.StringVar(&o.acks, "acks", "all", "what to wait for: all, 1 or 0")
	f.StringVar(&o.compression, "compression", "none", "`codec` of batches: none, gzip, snappy, lz4 or zstd")
	f.DurationVar(&o.linger, "linger", 5*time.Millisecond, "how long a record may wait for others to fill its batch")
	f.Var(&o.batchBytes, "batch-bytes", "size of a full batch before compression")
	f.BoolVar(&o.idempotent, "idempotent", true, "have what is sent again stored once; --acks 0 cannot")
	f.DurationVar(&o.retryFor, "retry-for", 30*time.Second, "how long to go on without an answer")
	cmd.RegisterFlagCompletionFunc("acks", cobra.FixedCompletions([]string{"all", "1", "0"}, cobra.ShellCompDirectiveNoFileComp))
	cmd.RegisterFlagCompletionFunc("compression", cobra.FixedCompletions([]string{"none", "gzip", "snappy", "lz4", "zstd"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

// producerOptions checks the flags and makes the producer's options of them.
func (o *produceOptions) producerOptions() (client.ProducerOptions, error) {
	options := client.ProducerOptions{Linger: o.linger, BatchBytes: int(o.batchBytes), DisableIdempotence: !o.idempotent, RetryFor: o.retryFor}
	if o.retryFor <= 0 {
		options.RetryFor = -1 // not at all; 0 is its default
	}
	if o.linger == 0 {
		options.Linger = -1 // at once; 0 is its default
	}
	switch o.acks {
	case "all", "-1":
		options.Acks = client.AcksAll
	case "1":
		options.Acks = client.AcksLeader
	case "0":
		options.Acks = client.AcksNone
	default:
		return options, usagef("--acks %q, want all, 1 or 0", nearest.Shorten(o.acks))
	}
	var err error
	if options.Codec, err = record.ParseCodec(o.compression); err != nil {
		return options, usagef("--compression: %v", err)
	}
	if o.partition < -1 {
		return options, usagef("--partition %d, want a number from 0, or -1 for one by key", o.partition)
	}
	if o.partition >= 0 {
		options.Partitioner = client.ToPartition(o.partition)
	}
	if o.batchBytes <= 0 || options.Validate() != nil {
		return options, usagef("--batch-bytes %v, want at least %d", &o.batchBytes, record.HeaderSize)
	}
	return options, nil
}

func (p *program) produce(cmd *cobra.Command, topic string, files []string, o *produceOptions) error {
	options, err := o.producerOptions()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := checkInput(file); err != nil {
			return err
		}
	}
	cl, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer cl.Close()
	f := &feeder{stdin: p.stdin, files: files, keySeparator: []byte(o.keySeparator), topic: topic, progress: newProgress(p.stderr)}
	if err := f.open(cmd.Context(), cl, o, options); err != nil {
		return explainTopic(err, topic, o.timeout)
	}
	err = f.run(cmd.Context(), o.timeout)
	f.progress.end(f.taken.Load(), f.bytes.Load())
	if err == nil {
		return nil
	}
	return f.outcome(err, o.timeout)
}

// checkInput finds a file that cannot be read before anything is sent.
func checkInput(file string) error {
	if file == "-" {
		return nil
	}
	info, err := os.Stat(file)
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s is a directory, want a file", file)
	}
	return err
}

// feeder reads lines and gives them to a producer.
type feeder struct {
	stdin        io.Reader
	files        []string // empty: stdin
	keySeparator []byte
	topic        string
	progress     *progress

	producer        *client.Producer
	maxMessageBytes int // of the topic, or of the connection if that is less
	limit           int // bytes of a line

	// What became of the records. The counts of batches are written by the
	// producer's callback.
	taken, bytes          atomic.Int64
	acknowledged, inDoubt atomic.Int64

	stopFeeding context.CancelCauseFunc // ends the reading when a batch has failed
}

// open looks at the topic and makes the producer.
func (f *feeder) open(ctx context.Context, cl *client.Client, o *produceOptions, options client.ProducerOptions) error {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	d, err := cl.DescribeTopic(ctx, f.topic)
	if err != nil {
		return err
	}
	if int(o.partition) >= len(d.Partitions) {
		return fmt.Errorf("%s has no partition %d, want 0 to %d", f.topic, o.partition, len(d.Partitions)-1)
	}
	f.maxMessageBytes = int(cl.Welcome().MaxFrame) - wire.FrameOverhead
	for _, c := range d.Configs {
		if n, err := strconv.Atoi(c.Value); c.Key == "max.message.bytes" && err == nil {
			f.maxMessageBytes = min(f.maxMessageBytes, n)
		}
	}
	f.limit = max(f.maxMessageBytes-record.HeaderSize-recordOverhead, 0)
	options.OnBatch = f.settled
	f.producer, err = client.NewProducer(ctx, cl, f.topic, options)
	return err
}

// recordOverhead is the most that a record takes beside its key and value: what
// an empty one takes, and the lengths of both in full.
var recordOverhead = record.RecordSizeMax(nil, nil) + 2*4

// settled takes the fate of a batch.
func (f *feeder) settled(r client.BatchResult) {
	var doubt *client.InDoubtError
	switch {
	case r.Err == nil:
		f.acknowledged.Add(int64(r.Records))
		return
	case errors.As(r.Err, &doubt):
		f.inDoubt.Add(int64(r.Records))
	}
	f.stopFeeding(r.Err)
}

// run reads all input and waits until all of it is acknowledged. A signal ends
// the reading; what was read by then is still sent.
func (f *feeder) run(ctx context.Context, timeout time.Duration) error {
	feeding, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	f.stopFeeding = stop
	fed := make(chan error, 1)
	go func() { fed <- f.feed(feeding) }()
	var err error
	select {
	case err = <-fed:
	case <-feeding.Done():
		// The goroutine may be in a read that nothing ends but the end of the
		// program. Its next Produce fails, the producer being closed.
		err = context.Cause(feeding)
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	if err == nil {
		closing = ctx // for as long as it takes
	}
	if closeErr := f.producer.Close(closing); closeErr != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = closeErr
	}
	return err
}

// feed reads all input.
func (f *feeder) feed(ctx context.Context) error {
	if len(f.files) == 0 {
		return f.feedFrom(ctx, f.stdin, "standard input")
	}
	for _, name := range f.files {
		if err := f.feedFile(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

func (f *feeder) feedFile(ctx context.Context, name string) error {
	if name == "-" {
		return f.feedFrom(ctx, f.stdin, "standard input")
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer file.Close()
	return f.feedFrom(ctx, file, name)
}

// feedFrom reads the lines of one input.
func (f *feeder) feedFrom(ctx context.Context, r io.Reader, name string) error {
	lines := newLineReader(r, f.limit)
	for {
		line, err := lines.next()
		var long longLineError
		switch {
		case err == io.EOF:
			return nil
		case errors.As(err, &long):
			return fmt.Errorf("%s line %d: %d bytes, want at most %d, so that it fits a batch of %d bytes; "+
				"raise that with: rollway topic alter %s --config max.message.bytes=%d",
				name, long.line, long.size, f.limit, f.maxMessageBytes, f.topic, long.size+record.HeaderSize+int64(recordOverhead))
		case err != nil:
			return fmt.Errorf("%s after line %d: %w", name, lines.number, err)
		}
		if err := f.producer.Produce(ctx, f.record(line)); err != nil {
			return err
		}
		taken := f.taken.Add(1)
		sent := f.bytes.Add(int64(len(line)))
		if taken%1024 == 0 {
			f.progress.update(taken, sent)
		}
	}
}

// record makes a record of a line.
func (f *feeder) record(line []byte) client.Record {
	if len(f.keySeparator) > 0 {
		if key, value, found := bytes.Cut(line, f.keySeparator); found {
			return client.Record{Key: key, Value: value}
		}
	}
	return client.Record{Value: line}
}

// outcome says what became of the records when not all were acknowledged.
func (f *feeder) outcome(err error, timeout time.Duration) error {
	taken, acknowledged, inDoubt := f.taken.Load(), f.acknowledged.Load(), f.inDoubt.Load()
	counts := fmt.Sprintf("%d of %d records were acknowledged", acknowledged, taken)
	if inDoubt > 0 {
		counts += fmt.Sprintf(", %d are in doubt: they may be in the log or not", inDoubt)
	}
	err = explainTopic(err, f.topic, timeout)
	text := strings.TrimSuffix(err.Error(), ".")
	wrapped := outcomeError{text + "; " + counts, err}
	if inDoubt > 0 {
		return inDoubtError{wrapped}
	}
	return wrapped
}

// outcomeError is an error with another text.
type outcomeError struct {
	text string
	err  error
}

func (e outcomeError) Error() string { return e.text }
func (e outcomeError) Unwrap() error { return e.err }
