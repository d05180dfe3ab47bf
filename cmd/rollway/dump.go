package main

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/record"
)

const dumpHelp = `Print what a file of a data directory holds, or all files of a directory: batches
of .log, entries of .index and .timeindex, producer snapshots, checkpoints, leader
epochs, the commit journal, quarantines, the metadata log, meta.properties and
partition.metadata. What a file is, its name says.

It only reads, takes no lock and may run beside a live server. A place that is
not what the format says is printed as a problem with its position, and reading
goes on where something whole begins again. The exit code is 1 if there was any.

With --json each item is an object on a line of its own.`

type dumpOptions struct {
	dump.Options
	json     bool
	maxBytes int
}

func (p *program) newDump() *cobra.Command {
	var o dumpOptions
	cmd := &cobra.Command{
		Use:   "dump FILE|DIR",
		Short: "Print what files of a data directory hold",
		Long:  dumpHelp,
		Args:  arguments("FILE|DIR"),
		RunE: func(_ *cobra.Command, args []string) error {
			return p.dump(args[0], o)
		},
	}
	cmd.Flags().BoolVar(&o.Records, "records", false, "also print the records of batches")
	cmd.Flags().IntVar(&o.maxBytes, "max-bytes", 200, "bytes of each key and value that are printed; 0: all")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON, an object a line")
	return cmd
}

func (p *program) dump(path string, o dumpOptions) error {
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	print := func(item dump.Item) error { return printItem(out, item, o.maxBytes) }
	if o.json {
		print = func(item dump.Item) error { return printItemJSON(out, item, o.maxBytes) }
	}
	problems, err := dump.Path(path, o.Options, print)
	if err = errors.Join(err, out.Flush()); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%w; want a file or directory", err)
		}
		return err
	}
	if problems == 1 {
		return errors.New("1 problem was found, see above")
	}
	if problems > 1 {
		return fmt.Errorf("%d problems were found, see above", problems)
	}
	return nil
}

// printItem prints an item as a line of text.
func printItem(w io.Writer, item dump.Item, maxBytes int) (err error) {
	switch i := item.(type) {
	case dump.File:
		_, err = fmt.Fprintf(w, "%s: %s, %d bytes\n", i.Path, i.Kind, i.Size)
	case dump.Batch:
		_, err = fmt.Fprintf(w, "  at %d: batch %d..%d, %d records, %d bytes, %s, epoch %d, %s to %s, crc %08x%s%s\n",
			i.Position, i.BaseOffset(), i.LastOffset(), i.Count(), i.Size(), i.Codec(), i.LeaderEpoch(),
			timestamp(i.BaseTimestamp()), timestamp(i.MaxTimestamp()), i.CRC(), producerText(i.Batch), attributesText(i.Attributes()))
	case dump.Record:
		_, err = fmt.Fprintf(w, "    %d: %s, key %s, value %s%s\n",
			i.Offset, timestamp(i.Timestamp), excerpt(i.Key, maxBytes), excerpt(i.Value, maxBytes), headersText(i.Record, maxBytes))
	case dump.OffsetEntry:
		_, err = fmt.Fprintf(w, "  offset %d: position %d\n", i.Offset, i.Position)
	case dump.TimeEntry:
		_, err = fmt.Fprintf(w, "  %s (%d): offset %d\n", timestamp(i.Timestamp), i.Timestamp, i.Offset)
	case dump.CheckpointEntry:
		_, err = fmt.Fprintf(w, "  %s-%d: offset %d\n", i.Topic, i.Partition, i.Offset)
	case dump.EpochEntry:
		_, err = fmt.Fprintf(w, "  epoch %d: from offset %d\n", i.Epoch, i.Start)
	case dump.Producer:
		err = printProducer(w, i)
	case dump.Property:
		_, err = fmt.Fprintf(w, "  %s=%s\n", i.Key, i.Value)
	case dump.Commit:
		err = printCommit(w, i)
	case dump.JournalRecord:
		err = printJournalRecord(w, i)
	case dump.DamagedRange:
		skipped := ""
		if i.Skipped {
			skipped = ", skipped"
		}
		_, err = fmt.Fprintf(w, "  offsets %d..%d: damaged, bytes %d to %d of segment %d%s\n", i.From, i.To-1, i.Start, i.End, i.Segment, skipped)
	case dump.Problem:
		_, err = fmt.Fprintf(w, "  PROBLEM%s: %s\n", problemPlace(i), i.Text)
	}
	return err
}

func printProducer(w io.Writer, p dump.Producer) error {
	text := fmt.Sprintf("producer %d epoch %d", p.ID, p.Epoch)
	if p.Last.LastOffset < 0 {
		text += ": no batch"
	} else {
		text += ":"
		for _, b := range append(p.Earlier[:len(p.Earlier):len(p.Earlier)], p.Last) {
			text += fmt.Sprintf(" offsets %d..%d sequence %d,", b.LastOffset-record.Offset(b.OffsetDelta), b.LastOffset, (b.LastSequence-b.OffsetDelta)&math.MaxInt32)
		}
		text = strings.TrimSuffix(text, ",")
	}
	if p.CoordinatorEpoch >= 0 {
		text += fmt.Sprintf(", coordinator epoch %d", p.CoordinatorEpoch)
	}
	if p.CurrentTxnFirstOffset >= 0 {
		text += fmt.Sprintf(", transaction since offset %d", p.CurrentTxnFirstOffset)
	}
	_, err := fmt.Fprintf(w, "  %s\n", text)
	return err
}

func printJournalRecord(w io.Writer, r dump.JournalRecord) error {
	if _, err := fmt.Fprintf(w, "  at %d: record %d, %d bytes, needs records from %d on\n", r.Position, r.Sequence, r.Size, r.Tail); err != nil {
		return err
	}
	for _, e := range r.Entries {
		what := fmt.Sprintf("%d bytes for position %d", e.Bytes, e.Position)
		if e.Bytes == 0 {
			what = fmt.Sprintf("durable to position %d", e.Position)
		}
		if _, err := fmt.Fprintf(w, "    topic id %s, partition %d, segment %d: %s, next offset %d\n", e.TopicID, e.Partition, e.Segment, what, e.Next); err != nil {
			return err
		}
	}
	return nil
}

func printCommit(w io.Writer, c dump.Commit) error {
	snapshot := ""
	if c.Snapshot {
		snapshot = ", snapshot"
	}
	if _, err := fmt.Fprintf(w, "  at %d: commit %d%s\n", c.Position, c.Number, snapshot); err != nil {
		return err
	}
	for _, change := range c.Changes {
		text := fmt.Sprintf("%s, id %s", change.Kind, change.TopicID)
		switch change.Kind {
		case dump.ChangeProducerIDs:
			text = fmt.Sprintf("%s, next %d", change.Kind, change.NextProducerID)
		case dump.ChangeSetNodeConfig, dump.ChangeRemoveNodeConfig:
			text = fmt.Sprintf("%s, node %s", change.Kind, change.Node)
		}
		if change.Name != "" {
			text += ", name " + change.Name
		}
		if change.Partitions != 0 {
			text += fmt.Sprintf(", partitions %d", change.Partitions)
		}
		for _, config := range change.Configs {
			text += ", " + config.Key
			if change.Kind != dump.ChangeRemoveConfig && change.Kind != dump.ChangeRemoveNodeConfig {
				text += "=" + config.Value
			}
		}
		if _, err := fmt.Fprintf(w, "    %s\n", text); err != nil {
			return err
		}
	}
	return nil
}

func problemPlace(p dump.Problem) string {
	switch {
	case p.Line > 0:
		return fmt.Sprintf(" in line %d", p.Line)
	case p.Position >= 0:
		return fmt.Sprintf(" at %d", p.Position)
	}
	return ""
}

func producerText(b record.Batch) string {
	if b.ProducerID() < 0 {
		return ""
	}
	return fmt.Sprintf(", producer %d epoch %d sequence %d", b.ProducerID(), b.ProducerEpoch(), b.BaseSequence())
}

// attributeNames returns the attributes that are set.
func attributeNames(a record.Attributes) []string {
	names := []string{}
	for _, attribute := range []struct {
		set  bool
		name string
	}{
		{a.LogAppendTime(), "log-append-time"},
		{a.Transactional(), "transactional"},
		{a.Control(), "control"},
		{a.DeleteHorizon(), "delete-horizon"},
	} {
		if attribute.set {
			names = append(names, attribute.name)
		}
	}
	return names
}

func attributesText(a record.Attributes) string {
	if names := attributeNames(a); len(names) > 0 {
		return ", " + strings.Join(names, ", ")
	}
	return ""
}

func headersText(r *record.Record, maxBytes int) string {
	text := ""
	for it := r.Headers(); it.Next(); {
		h := it.Header()
		text += fmt.Sprintf(", header %s=%s", excerpt(h.Key, maxBytes), excerpt(h.Value, maxBytes))
	}
	return text
}

// batchJSON is a batch in JSON.
type batchJSON struct {
	Position      int64         `json:"position"`
	Size          int64         `json:"size"`
	BaseOffset    record.Offset `json:"base_offset"`
	LastOffset    record.Offset `json:"last_offset"`
	Count         int32         `json:"count"`
	LeaderEpoch   int32         `json:"leader_epoch"`
	Codec         string        `json:"codec"`
	BaseTimestamp int64         `json:"base_timestamp"`
	MaxTimestamp  int64         `json:"max_timestamp"`
	ProducerID    int64         `json:"producer_id"`
	ProducerEpoch int16         `json:"producer_epoch"`
	BaseSequence  int32         `json:"base_sequence"`
	CRC           uint32        `json:"crc"`
	Attributes    []string      `json:"attributes"`
}

// recordJSON is a record in JSON.
type recordJSON struct {
	Offset    record.Offset `json:"offset"`
	Timestamp int64         `json:"timestamp"`
	Key       *bytesJSON    `json:"key"`
	Value     *bytesJSON    `json:"value"`
	Headers   []headerJSON  `json:"headers,omitempty"`
}

type headerJSON struct {
	Key   *bytesJSON `json:"key"`
	Value *bytesJSON `json:"value"`
}

// bytesJSON is a key or value in JSON: as text if it is UTF-8, else in base64.
type bytesJSON struct {
	Text   string `json:"text,omitempty"`
	Base64 string `json:"base64,omitempty"`
	Size   int    `json:"size"` // of the whole; what is shown may be less
}

func newBytesJSON(p []byte, maxBytes int) *bytesJSON {
	if p == nil {
		return nil
	}
	b := &bytesJSON{Size: len(p)}
	if maxBytes > 0 && len(p) > maxBytes {
		p = p[:maxBytes]
	}
	if utf8.Valid(p) {
		b.Text = string(p)
	} else {
		b.Base64 = base64.StdEncoding.EncodeToString(p)
	}
	return b
}

// printItemJSON prints an item as an object on a line, whose "type" says what
// it is.
func printItemJSON(w io.Writer, item dump.Item, maxBytes int) error {
	var kind string
	var value any = item
	switch i := item.(type) {
	case dump.File:
		kind = "file"
	case dump.Batch:
		kind, value = "batch", batchJSON{
			i.Position, i.Size(), i.BaseOffset(), i.LastOffset(), i.Count(), i.LeaderEpoch(), i.Codec().String(),
			i.BaseTimestamp(), i.MaxTimestamp(), i.ProducerID(), i.ProducerEpoch(), i.BaseSequence(), i.CRC(), attributeNames(i.Attributes()),
		}
	case dump.Record:
		r := recordJSON{Offset: i.Offset, Timestamp: i.Timestamp, Key: newBytesJSON(i.Key, maxBytes), Value: newBytesJSON(i.Value, maxBytes)}
		for it := i.Headers(); it.Next(); {
			h := it.Header()
			r.Headers = append(r.Headers, headerJSON{newBytesJSON(h.Key, maxBytes), newBytesJSON(h.Value, maxBytes)})
		}
		kind, value = "record", r
	case dump.OffsetEntry:
		kind = "offset entry"
	case dump.TimeEntry:
		kind = "time entry"
	case dump.CheckpointEntry:
		kind = "checkpoint entry"
	case dump.EpochEntry:
		kind = "epoch entry"
	case dump.Producer:
		kind = "producer"
	case dump.Property:
		kind = "property"
	case dump.Commit:
		kind = "commit"
	case dump.JournalRecord:
		kind = "journal record"
	case dump.DamagedRange:
		kind = "damaged range"
	case dump.Problem:
		kind = "problem"
	}
	object, err := json.Marshal(value)
	if err != nil {
		return err
	}
	// All of them are objects with at least one field.
	_, err = fmt.Fprintf(w, `{"type":%q,%s`+"\n", kind, object[1:])
	return err
}
