package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

const topicDeleteRecordsHelp = `Delete the first records of a topic's partitions: those below an offset, or all
that there are. It is durable when the command ends, and nothing brings them back.
The topic stays, and what is produced then gets the next offsets.

The disk space of whole segments is free after file.delete.delay.ms; records at
the beginning of a segment that holds others are out of reach at once and keep
their space until those go. Retention does the same by age and size: see
retention.ms and retention.bytes in "rollway topic describe NAME --all".

"rollway offsets NAME" shows what offsets there are, and with --time which
one to delete before.`

const topicDeleteRecordsExamples = `  rollway topic delete-records orders --partition 3 --before 1200
  rollway topic delete-records orders --all`

// deletedRecordsJSON is a partition whose first records were deleted.
type deletedRecordsJSON struct {
	Partition int32 `json:"partition"`
	LogStart  int64 `json:"log_start"`
}

func (p *program) newTopicDeleteRecords() *cobra.Command {
	var c connection
	var partition int32
	var before int64
	var all, json bool
	cmd := &cobra.Command{
		Use:               "delete-records NAME",
		Short:             "Delete the first records of a topic",
		Long:              topicDeleteRecordsHelp,
		Example:           topicDeleteRecordsExamples,
		Args:              arguments("NAME"),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			one := cmd.Flags().Changed("partition")
			switch given := cmd.Flags().Changed("before"); {
			case given == all:
				return usagef("give --before OFFSET or --all, one of them")
			case given && before < 0:
				return usagef("--before %d, want at least 0", before)
			case given && !one:
				return usagef("--before needs --partition: an offset means another record in each partition")
			case one && partition < 0:
				return usagef("--partition %d, want at least 0", partition)
			case all:
				before = wire.ToHighWatermark
			}
			err := c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				partitions := []int32{partition}
				if !one {
					var err error
					if partitions, err = partitionsOf(ctx, cl, args[0]); err != nil {
						return err
					}
				}
				return p.deleteRecords(ctx, cl, args[0], partitions, before, json)
			})
			return explainTopic(err, args[0], c.timeout)
		},
	}
	c.addFlags(cmd)
	cmd.Flags().Int32Var(&partition, "partition", 0, "`number` of the partition; with --all all partitions if it is not given")
	cmd.Flags().Int64Var(&before, "before", 0, "`OFFSET`: the first record that stays")
	cmd.Flags().BoolVar(&all, "all", false, "delete all records that there are")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

// partitionsOf lists the partitions of a topic.
func partitionsOf(ctx context.Context, cl *client.Client, topic string) ([]int32, error) {
	d, err := cl.DescribeTopic(ctx, topic)
	if err != nil {
		return nil, err
	}
	var partitions []int32
	for _, part := range d.Partitions {
		partitions = append(partitions, part.Index)
	}
	return partitions, nil
}

// deleteRecords deletes and prints where the partitions begin then, also if not
// all could be dealt with.
func (p *program) deleteRecords(ctx context.Context, cl *client.Client, topic string, partitions []int32, before int64, json bool) error {
	rows := []deletedRecordsJSON{}
	var failed error
	for _, partition := range partitions {
		start, err := retry(ctx, func() (int64, error) { return cl.DeleteRecords(ctx, topic, partition, before) })
		if err != nil {
			failed = err
			break
		}
		rows = append(rows, deletedRecordsJSON{partition, start})
	}
	if len(rows) == 0 && failed != nil {
		return failed
	}
	if err := p.printDeletedRecords(rows, json); err != nil {
		return err
	}
	return failed
}

func (p *program) printDeletedRecords(rows []deletedRecordsJSON, json bool) error {
	if json {
		return writeJSON(p.stdout, rows)
	}
	t := newTable(">PARTITION", ">LOG START")
	for _, row := range rows {
		t.add(number(row.Partition), number(row.LogStart))
	}
	return t.write(p.stdout)
}
