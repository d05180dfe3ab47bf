package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

const offsetsHelp = `Print the offsets of a topic, a line for each partition: the earliest record that
there is, and the latest, which is the offset that the next one will have.

With --time also the first record that is not older than a time.`

// offsetsJSON is a partition.
type offsetsJSON struct {
	Partition int32      `json:"partition"`
	Earliest  int64      `json:"earliest"`
	Latest    int64      `json:"latest"`
	Time      *foundJSON `json:"at_time,omitempty"`
}

// foundJSON is the record that was found by time; -1: none.
type foundJSON struct {
	Offset    int64 `json:"offset"`
	Timestamp int64 `json:"timestamp"`
}

func (p *program) newOffsets() *cobra.Command {
	var c connection
	var at string
	var json bool
	cmd := &cobra.Command{
		Use:               "offsets TOPIC",
		Short:             "Print the offsets of a topic",
		Long:              offsetsHelp,
		Example:           "  rollway offsets orders --time @2026-01-31T12:00:00Z",
		Args:              arguments("TOPIC"),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			ms := int64(-1)
			if at != "" {
				var err error
				if ms, err = parseTime(at); err != nil {
					return usagef("--time: %v", err)
				}
			}
			err := c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				rows, err := listOffsets(ctx, cl, args[0], ms)
				if err != nil {
					return err
				}
				return p.printOffsets(rows, ms >= 0, json)
			})
			return unknownTopic(err, args[0])
		},
	}
	c.addFlags(cmd)
	cmd.Flags().StringVar(&at, "time", "", "`@TIME`, RFC 3339 or milliseconds since 1970: also find the first record from then on")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

// listOffsets asks for the offsets of all partitions, by time too unless ms is
// negative. It waits for partitions that are being recovered.
func listOffsets(ctx context.Context, cl *client.Client, topic string, ms int64) ([]offsetsJSON, error) {
	d, err := cl.DescribeTopic(ctx, topic)
	if err != nil {
		return nil, err
	}
	rows := []offsetsJSON{}
	for _, part := range d.Partitions {
		row := offsetsJSON{Partition: part.Index}
		earliest, err := listOffset(ctx, cl, topic, part.Index, wire.QueryEarliest, 0)
		if err != nil {
			return nil, err
		}
		latest, err := listOffset(ctx, cl, topic, part.Index, wire.QueryLatest, 0)
		if err != nil {
			return nil, err
		}
		row.Earliest, row.Latest = earliest.Offset, latest.Offset
		if ms >= 0 {
			found, err := listOffset(ctx, cl, topic, part.Index, wire.QueryTimestamp, ms)
			if err != nil {
				return nil, err
			}
			row.Time = &foundJSON{found.Offset, found.TimestampMs}
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// listOffset asks for one offset until the partition is ready.
func listOffset(ctx context.Context, cl *client.Client, topic string, partition int32, query wire.Query, ms int64) (wire.OffsetFound, error) {
	return retry(ctx, func() (wire.OffsetFound, error) { return cl.ListOffsets(ctx, topic, partition, query, ms) })
}

func (p *program) printOffsets(rows []offsetsJSON, byTime, json bool) error {
	if json {
		return writeJSON(p.stdout, rows)
	}
	headings := []string{">PARTITION", ">EARLIEST", ">LATEST"}
	if byTime {
		headings = append(headings, ">AT TIME", "TIMESTAMP")
	}
	t := newTable(headings...)
	for _, row := range rows {
		cells := []string{number(row.Partition), number(row.Earliest), number(row.Latest)}
		if row.Time != nil {
			cells = append(cells, number(row.Time.Offset), timestamp(row.Time.Timestamp))
		}
		t.add(cells...)
	}
	return t.write(p.stdout)
}
