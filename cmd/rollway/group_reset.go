package main

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/internal/nearest"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

const groupResetHelp = `Set where a group goes on in the partitions of a topic, or in one of them. It is
durable when the command ends. A group that is not there is made.

Give one of: --to-earliest, the first record that there is; --to-latest, what is
produced from now on; --to-offset; --to-datetime, the first record that is not older,
or the end if all are; --shift-by, so many records further, or back if it is
negative, from where the group is. Where that is before the first record or behind
the end, it is there instead.

The old and the new offset of each partition are printed. With --dry-run that is
all. While the group has members it is refused: they would go on where they are.`

const groupResetExamples = `  rollway group reset billing orders --to-datetime 2026-01-31T12:00:00Z --dry-run
  rollway group reset billing orders:3 --shift-by -100`

// resetOptions are the flags of group reset.
type resetOptions struct {
	connection
	earliest, latest, dryRun bool
	offset, shift            int64
	datetime                 string
	json                     bool
}

// resetJSON is a partition whose offset was reset; Old is -1 where nothing was
// committed.
type resetJSON struct {
	Partition int32 `json:"partition"`
	Old       int64 `json:"old"`
	New       int64 `json:"new"`
}

// resetTarget is where a partition is to be read from.
type resetTarget struct {
	flag string
	n    int64 // of --to-offset and --shift-by; ms of --to-datetime
}

func (p *program) newGroupReset() *cobra.Command {
	var o resetOptions
	cmd := &cobra.Command{
		Use:     "reset GROUP TOPIC[:PARTITION]",
		Short:   "Set where a group goes on in a topic",
		Long:    groupResetHelp,
		Example: groupResetExamples,
		Args:    arguments("GROUP", "TOPIC"),
		ValidArgsFunction: func(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
			if len(args) == 1 {
				return o.completeTopics(cmd, nil, text)
			}
			return o.completeGroup(cmd, args, text)
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			topic, partition, err := parseTopicPartition(args[1])
			if err != nil {
				return err
			}
			target, err := o.target(cmd)
			if err != nil {
				return err
			}
			err = o.with(cmd, func(ctx context.Context, cl *client.Client) error {
				rows, err := resetRows(ctx, cl, args[0], topic, partition, target)
				if err != nil {
					return err
				}
				if err := reset(ctx, cl, args[0], topic, rows, o.dryRun); err != nil {
					return err
				}
				return p.printReset(rows, o.json)
			})
			return unknownTopic(err, topic)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.earliest, "to-earliest", false, "to the first record that there is")
	cmd.Flags().BoolVar(&o.latest, "to-latest", false, "to the end")
	cmd.Flags().Int64Var(&o.offset, "to-offset", 0, "to the `OFFSET`")
	cmd.Flags().StringVar(&o.datetime, "to-datetime", "", "to the first record from `TIME` on, RFC 3339 or milliseconds since 1970")
	cmd.Flags().Int64Var(&o.shift, "shift-by", 0, "`N` records further; negative: back")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only print what would be set")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON")
	return cmd
}

// parseTopicPartition reads TOPIC or TOPIC:PARTITION; the partition is -1 in the
// first. No topic has a colon in its name.
func parseTopicPartition(text string) (topic string, partition int32, err error) {
	topic, number, one := strings.Cut(text, ":")
	if !one {
		return topic, -1, nil
	}
	n, err := strconv.ParseInt(number, 10, 32)
	if err != nil || n < 0 {
		return "", 0, usagef("%q, want TOPIC or TOPIC:PARTITION, with a number from 0", nearest.Shorten(text))
	}
	return topic, int32(n), nil
}

// target is what the flags ask for.
func (o *resetOptions) target(cmd *cobra.Command) (resetTarget, error) {
	var given []string
	for _, flag := range []string{"to-earliest", "to-latest", "to-offset", "to-datetime", "shift-by"} {
		if cmd.Flags().Changed(flag) {
			given = append(given, "--"+flag)
		}
	}
	if len(given) != 1 {
		return resetTarget{}, usagef("want one of --to-earliest, --to-latest, --to-offset, --to-datetime and --shift-by, got %d", len(given))
	}
	t := resetTarget{flag: given[0]}
	switch t.flag {
	case "--to-earliest", "--to-latest":
		if !o.earliest && !o.latest {
			return t, usagef("%s=false is none of them", t.flag)
		}
	case "--to-offset":
		if o.offset < 0 {
			return t, usagef("--to-offset %d, want an offset from 0", o.offset)
		}
		t.n = o.offset
	case "--to-datetime":
		ms, err := parseTime(o.datetime)
		if err != nil {
			return t, usagef("--to-datetime: %v", err)
		}
		t.n = ms
	case "--shift-by":
		t.n = o.shift
	}
	return t, nil
}

// resetRows looks up where the group is and where it is to be, in all partitions of
// the topic or, unless it is -1, in one.
func resetRows(ctx context.Context, cl *client.Client, group, topic string, partition int32, target resetTarget) ([]resetJSON, error) {
	ms := int64(-1)
	if target.flag == "--to-datetime" {
		ms = target.n
	}
	offsets, err := listOffsets(ctx, cl, topic, ms)
	if err != nil {
		return nil, err
	}
	fetched, err := retry(ctx, func() ([]wire.TopicOffsets, error) { return cl.FetchOffset(ctx, group, topic) })
	if err != nil {
		return nil, err
	}
	old := map[int32]int64{}
	for _, t := range fetched {
		for _, p := range t.Partitions {
			old[p.Partition] = p.Offset
		}
	}
	if partition >= 0 {
		if int(partition) >= len(offsets) {
			return nil, fmt.Errorf("%s has no partition %d, want 0 to %d", topic, partition, len(offsets)-1)
		}
		offsets = offsets[partition : partition+1]
	}
	rows := []resetJSON{}
	for _, row := range offsets {
		at, there := old[row.Partition]
		if !there {
			at = -1
		}
		to, err := target.of(row, at)
		if err != nil {
			return nil, fmt.Errorf("group %s in %s-%d: %w", group, topic, row.Partition, err)
		}
		rows = append(rows, resetJSON{row.Partition, at, to})
	}
	return rows, nil
}

// of returns the offset that is meant in a partition, where the group is at an
// offset, -1 if at none.
func (t resetTarget) of(row offsetsJSON, at int64) (int64, error) {
	to := row.Earliest
	switch t.flag {
	case "--to-latest":
		to = row.Latest
	case "--to-offset":
		to = t.n
	case "--to-datetime":
		if to = row.Time.Offset; to < 0 { // all records are older
			to = row.Latest
		}
	case "--shift-by":
		if at < 0 {
			return 0, fmt.Errorf("nothing is committed, so there is nothing to shift; use another of the flags")
		}
		to = at + t.n
		if t.n > 0 && at > math.MaxInt64-t.n {
			to = row.Latest
		}
	}
	return min(max(to, row.Earliest), row.Latest), nil
}

// reset commits the new offsets, or only tells whether that would be refused.
func reset(ctx context.Context, cl *client.Client, group, topic string, rows []resetJSON, dryRun bool) error {
	if dryRun {
		return refuseMembers(ctx, cl, group)
	}
	m := wire.CommitOffset{Group: group, Topic: topic}
	for _, row := range rows {
		m.Partitions = append(m.Partitions, wire.PartitionOffset{Partition: row.Partition, Offset: row.New, LeaderEpoch: -1})
	}
	return commitOffset(ctx, cl, m)
}

func (p *program) printReset(rows []resetJSON, json bool) error {
	if json {
		return writeJSON(p.stdout, rows)
	}
	t := newTable(">PARTITION", ">OLD", ">NEW")
	for _, row := range rows {
		t.add(number(row.Partition), number(row.Old), number(row.New))
	}
	return t.write(p.stdout)
}
