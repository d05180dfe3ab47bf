package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

const consumeHelp = `Print the records of a topic: each value and a newline, or what --format says.

Without --follow it ends at the end of the log as it was found at the start, and
prints one partition after the other. With --follow it goes on with what is
appended, partitions as they come, until a signal or --max ends it.

--from is earliest, latest, an offset, or @TIME (RFC 3339 or milliseconds since
1970): the first record that is not older.

Records whose bytes are damaged on the server's disk end it with an error that
names them. What lies behind can be read with --from and a later offset, or by
everybody once an operator gives them up: rollway partition skip.

With --group it goes on where the group has committed that it is, in all partitions
of the topic, and begins at --from where nothing is committed. What was written to
standard output is committed every second and at the end, also when a signal or a
reader that has gone ends it. That is at-least-once: after a crash, what was printed
since the last commit is printed again, and nothing is left out. The groups are
those of Kafka's clients; this command does not become a member, so two of them with
one group both print everything, and it is refused while the group has members.
See rollway group.

` + formatHelp

const consumeExamples = `  rollway consume access --from @2026-01-31T12:00:00Z --format '%T %k %v\n'
  rollway consume orders --group billing --follow`

// consumeOptions are the flags of consume.
type consumeOptions struct {
	connection
	from      position
	partition int32
	max       int64
	follow    bool
	format    string
	group     string
}

func (p *program) newConsume() *cobra.Command {
	var o consumeOptions
	cmd := &cobra.Command{
		Use:               "consume TOPIC",
		Short:             "Print the records of a topic",
		Long:              consumeHelp,
		Example:           consumeExamples,
		Args:              arguments("TOPIC"),
		ValidArgsFunction: o.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.consume(cmd, args[0], &o)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().Var(&o.from, "from", "where to begin")
	cmd.Flags().Int32Var(&o.partition, "partition", -1, "`number` of the partition; -1: all")
	cmd.Flags().Int64Var(&o.max, "max", 0, "end after so many records; 0: no limit")
	cmd.Flags().BoolVar(&o.follow, "follow", false, "go on with what is appended")
	cmd.Flags().StringVar(&o.format, "format", `%v\n`, "how a record is printed, see above")
	cmd.Flags().StringVar(&o.group, "group", "", "go on where the group `NAME` is, and commit what was printed")
	cmd.RegisterFlagCompletionFunc("group", o.completeGroups)
	cmd.RegisterFlagCompletionFunc("from", cobra.FixedCompletions([]string{"earliest", "latest", "@"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (p *program) consume(cmd *cobra.Command, topic string, o *consumeOptions) error {
	format, err := parseRecordFormat(o.format)
	switch {
	case err != nil:
		return usagef("--format: %v", err)
	case o.partition < -1:
		return usagef("--partition %d, want a number from 0, or -1 for all", o.partition)
	case o.max < 0:
		return usagef("--max %d, want at least 0", o.max)
	case cmd.Flags().Changed("group") && o.group == "":
		return usagef("--group is empty, want the name of a group")
	case o.group != "" && cmd.Flags().Changed("partition"):
		return usagef("--partition does not go with --group, which reads all partitions of the topic")
	}
	cl, err := o.open(cmd)
	if err != nil {
		return err
	}
	defer cl.Close()
	c := &consumer{client: cl, topic: topic, printer: newRecordPrinter(p.stdout, topic, format, o.max)}
	if o.group != "" {
		return explainTopic(p.consumeInGroup(cmd.Context(), c, o), topic, o.timeout)
	}
	err = c.run(cmd.Context(), o)
	if flushErr := c.printer.flush(); flushErr != nil {
		return flushErr
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return explainTopic(err, topic, o.timeout)
}

// consumer reads one topic.
type consumer struct {
	client  *client.Client
	topic   string
	printer *recordPrinter
	reader  *groupReader // nil unless it reads for a group
}

// span is what is to be read of a partition: from begin to end, exclusive; end
// is -1 without an end.
type span struct {
	partition  int32
	begin, end int64
}

func (c *consumer) run(ctx context.Context, o *consumeOptions) error {
	spans, err := c.spans(ctx, o)
	if err != nil {
		return err
	}
	if o.follow {
		return c.follow(ctx, spans)
	}
	for _, s := range spans {
		if s.begin < s.end {
			if err := c.read(ctx, s); err != nil {
				return err
			}
		}
	}
	return nil
}

// spans looks up where to begin in each partition, and where to end.
func (c *consumer) spans(ctx context.Context, o *consumeOptions) ([]span, error) {
	ctx, cancel := context.WithTimeout(ctx, o.timeout)
	defer cancel()
	ms := int64(-1)
	if o.from.kind == atTime {
		ms = o.from.n
	}
	rows, err := listOffsets(ctx, c.client, c.topic, ms)
	if err != nil {
		return nil, err
	}
	if o.partition >= 0 {
		if int(o.partition) >= len(rows) {
			return nil, fmt.Errorf("%s has no partition %d, want 0 to %d", c.topic, o.partition, len(rows)-1)
		}
		rows = rows[o.partition : o.partition+1]
	}
	var spans []span
	for _, row := range rows {
		s := span{partition: row.Partition, end: row.Latest}
		if s.begin, err = c.beginIn(row, o.from); err != nil {
			return nil, err
		}
		if o.follow {
			s.end = -1
		}
		spans = append(spans, s)
	}
	return spans, nil
}

// beginIn returns where to begin in a partition: where the group is, or what from
// means.
func (c *consumer) beginIn(row offsetsJSON, from position) (int64, error) {
	if c.reader == nil {
		return c.begin(row, from)
	}
	begin, there, err := c.reader.begin(row)
	if err == nil && !there {
		begin, err = c.begin(row, from)
	}
	if err == nil {
		c.printer.startAt(row.Partition, begin)
	}
	return begin, err
}

// begin returns the offset that a position means in a partition.
func (c *consumer) begin(row offsetsJSON, from position) (int64, error) {
	switch from.kind {
	case atLatest:
		return row.Latest, nil
	case atOffset:
		if from.n < row.Earliest || from.n > row.Latest {
			return 0, fmt.Errorf("offset %d is out of range in %s-%d, want %d to %d", from.n, c.topic, row.Partition, row.Earliest, row.Latest)
		}
		return from.n, nil
	case atTime:
		if row.Time.Offset < 0 { // all records are older
			return row.Latest, nil
		}
		return row.Time.Offset, nil
	}
	return row.Earliest, nil
}

// follow prints all partitions at once, each from its own goroutine, until one
// of them ends. It returns why.
func (c *consumer) follow(ctx context.Context, spans []span) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var reading sync.WaitGroup
	for _, s := range spans {
		reading.Go(func() { cancel(c.read(ctx, s)) })
	}
	reading.Wait()
	return context.Cause(ctx)
}

// read prints one partition. A span without an end is read until an error.
func (c *consumer) read(ctx context.Context, s span) error {
	subscription, err := retry(ctx, func() (*client.Subscription, error) {
		return c.client.Subscribe(ctx, c.topic, s.partition, s.begin, client.SubscribeOptions{})
	})
	if err != nil {
		return explainDamage(err, c.topic, s.partition, s.begin)
	}
	defer subscription.Close()
	for at := s.begin; s.end < 0 || at < s.end; {
		batches, err := c.next(ctx, subscription, s, at)
		switch {
		case err == errNothingLeft:
			return nil
		case err != nil:
			return explainDamage(err, c.topic, s.partition, at)
		}
		if err := c.printer.print(&batches, s.partition, s.end); err != nil {
			return err
		}
		at = int64(batches.Next())
	}
	return nil
}

// explainDamage adds to what a reader met at an offset of a partition what can
// be done about it, if that is damage.
func explainDamage(err error, topic string, partition int32, at int64) error {
	var corrupt *client.CorruptError
	if wire.CodeOf(err) != wire.CodeCorruptBatch && !errors.As(err, &corrupt) {
		return err
	}
	return fmt.Errorf("%w; see what is lost with: rollway partition skip %s --partition %d --offset %d --dry-run", err, topic, partition, at)
}

// expired is a context that has ended: Next does not wait with it.
var expired = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// next returns what has arrived, and shows what was printed before it waits. at
// is the next offset of the span.
func (c *consumer) next(ctx context.Context, subscription *client.Subscription, s span, at int64) (client.Batches, error) {
	batches, err := subscription.Next(expired)
	if !errors.Is(err, context.Canceled) {
		return batches, err
	}
	if err := c.printer.flush(); err != nil {
		return batches, err
	}
	if s.end < 0 {
		return subscription.Next(ctx)
	}
	return c.await(ctx, subscription, s, at)
}

// silence is how long nothing comes of a span with an end before await asks
// whether something will: long beside what a server needs to send, short beside
// a person's patience.
const silence = 250 * time.Millisecond

// await waits for batches of a span with an end. It returns
// errNothingLeft when there are none: where damage that readers are let past reaches to
// the end of the log, no batch will ever be sent from there.
func (c *consumer) await(ctx context.Context, subscription *client.Subscription, s span, at int64) (client.Batches, error) {
	for {
		quiet, cancel := context.WithTimeout(ctx, silence)
		batches, err := subscription.Next(quiet)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			return batches, err
		}
		left, err := c.client.Fetch(ctx, client.FetchRequest{Topic: c.topic, Partition: s.partition, Offset: at, MaxBytes: 1})
		if err != nil {
			return batches, err
		}
		none := len(left.Bytes()) == 0 && left.Offsets.HighWatermark >= s.end
		left.Release()
		if none {
			return batches, errNothingLeft
		}
	}
}

// errNothingLeft ends the reading of a span whose last offsets have no records.
var errNothingLeft = errors.New("no records up to the end")

// errEnough ends the reading after --max records.
var errEnough = errors.New("enough records")

// recordPrinter prints records of all partitions of a topic. It may be used
// concurrently.
type recordPrinter struct {
	topic  string
	format recordFormat
	plain  bool // the format is a value and a newline

	mu    sync.Mutex
	out   *bufio.Writer   // +checklocks:mu
	left  int64           // records that may still be printed, -1: no limit. +checklocks:mu
	text  []byte          // +checklocks:mu
	next  map[int32]int64 // by partition, the offset behind what was printed. +checklocks:mu
	shown map[int32]int64 // next, when the output had all of it. +checklocks:mu
}

func newRecordPrinter(out io.Writer, topic string, format recordFormat, max int64) *recordPrinter {
	plain := len(format) == 2 && format[0].verb == 'v' && format[1].literal == "\n"
	if max == 0 {
		max = -1
	}
	return &recordPrinter{
		topic: topic, format: format, plain: plain, out: bufio.NewWriterSize(out, 256<<10), left: max,
		next: map[int32]int64{}, shown: map[int32]int64{},
	}
}

// startAt says where a partition is begun with.
func (p *recordPrinter) startAt(partition int32, offset int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next[partition] = offset
}

// print prints the records below end, all if end is -1. It returns errEnough
// when the limit is reached, or the error of the output.
func (p *recordPrinter) print(batches *client.Batches, partition int32, end int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	next, err := p.printBatches(batches, partition, end)
	if next >= 0 {
		p.next[partition] = next
	}
	return err
}

// printBatches is print. It also returns the offset behind what it printed, -1 if
// that is nothing.
//
// +checklocks:p.mu
func (p *recordPrinter) printBatches(batches *client.Batches, partition int32, end int64) (next int64, err error) {
	next = -1
	for r, err := range batches.Records() {
		if err != nil {
			return next, err
		}
		if end >= 0 && int64(r.Offset) >= end {
			return next, nil
		}
		if p.left == 0 {
			return next, errEnough
		}
		if err := p.printRecord(r, partition); err != nil {
			return next, err
		}
		next = int64(r.Offset) + 1
		if p.left > 0 {
			p.left--
		}
	}
	next = int64(batches.Next())
	if p.left == 0 {
		return next, errEnough
	}
	return next, nil
}

// +checklocks:p.mu
func (p *recordPrinter) printRecord(r *record.Record, partition int32) error {
	if p.plain {
		p.out.Write(r.Value) // WriteByte returns its error too
		return p.out.WriteByte('\n')
	}
	p.text = p.format.append(p.text[:0], p.topic, partition, r)
	_, err := p.out.Write(p.text)
	return err
}

// flush shows what was printed.
func (p *recordPrinter) flush() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.out.Flush(); err != nil {
		return err
	}
	maps.Copy(p.shown, p.next)
	return nil
}

// offsets returns the offset behind what the output has, by partition.
func (p *recordPrinter) offsets() map[int32]int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.shown)
}
