package main

import (
	"context"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

const partitionHelp = `Let readers past damage in partitions. Their state, offsets and damage are printed
by rollway topic describe.`

func (p *program) newPartition() *cobra.Command {
	cmd := p.newGroup("partition", "Let readers past damage in partitions", partitionHelp)
	cmd.AddCommand(p.newPartitionSkip())
	return cmd
}

const partitionSkipHelp = `Let readers past damage in a partition.

Records that were acknowledged, and whose bytes on the disk are now damaged or
gone, are lost. The server serves all that lies before and behind them. A reader
that gets there is stopped by an error that names their offsets, again and again,
until this command gives them up: then readers go on behind them and are told
nothing; rollway topic describe and rollway check still list them. It cannot be
taken back, so look first, with --dry-run.

Nothing is deleted: the damaged bytes stay in the .log file. Look for the records
elsewhere, with their producer or in a backup, before they are given up.

--offset is any of the offsets, such as the one in a reader's error. Where the
server knows of no damage there, it reads the whole segment to find it. --all is
all damage that the server knows of: what it found when it started after a crash,
and what readers have met. Damage that nobody has met yet is found by rollway check
DIR, which reads everything and may run beside the server.

This command is for records that are lost, and for a server that goes on. rollway
repair DIR is for everything else that check finds, with the server stopped: it
makes indexes, checkpoints and other derived files anew, and a partition that is
offline usable again, but gives no record up. Damaged records it only puts into
quarantine, so that this command finds them. So after much damage: stop the
server, repair, start it, then skip what is still lost.`

// skipOptions are the flags of partition skip.
type skipOptions struct {
	connection
	partition int32
	offset    int64
	all       bool
	dryRun    bool
}

func (p *program) newPartitionSkip() *cobra.Command {
	var o skipOptions
	cmd := &cobra.Command{
		Use:   "skip TOPIC --partition N (--offset OFFSET | --all)",
		Short: "Give up damaged records, so that readers go on behind them",
		Long:  partitionSkipHelp,
		Example: `  rollway partition skip orders --partition 3 --offset 4711 --dry-run
  rollway partition skip orders --partition 3 --offset 4711`,
		Args:              arguments("TOPIC"),
		ValidArgsFunction: o.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := o.request(cmd, args[0])
			if err != nil {
				return err
			}
			err = o.with(cmd, func(ctx context.Context, cl *client.Client) error {
				ranges, err := retry(ctx, func() ([]wire.DamagedRange, error) { return cl.SkipDamage(ctx, m) })
				if err != nil {
					return err
				}
				return printSkipped(p.stdout, m, ranges)
			})
			return unknownTopic(err, args[0])
		},
	}
	o.addFlags(cmd)
	cmd.Flags().Int32Var(&o.partition, "partition", 0, "`number` of the partition")
	cmd.Flags().Int64Var(&o.offset, "offset", 0, "an `offset` that is lost: skip the range that holds it")
	cmd.Flags().BoolVar(&o.all, "all", false, "skip all damage that the server knows of")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "only print what would be given up")
	return cmd
}

// request is what the flags ask for.
func (o *skipOptions) request(cmd *cobra.Command, topic string) (wire.SkipDamage, error) {
	m := wire.SkipDamage{Topic: []byte(topic), Partition: o.partition, Offset: o.offset, DryRun: o.dryRun}
	one := cmd.Flags().Changed("offset")
	switch {
	case !cmd.Flags().Changed("partition"):
		return m, usagef("--partition is missing, want the number of a partition; rollway topic describe %s lists them", topic)
	case o.partition < 0:
		return m, usagef("--partition %d, want a number from 0", o.partition)
	case one == o.all:
		return m, usagef("want one of --offset OFFSET and --all")
	case o.offset < 0:
		return m, usagef("--offset %d, want an offset from 0", o.offset)
	}
	if o.all {
		m.Offset = wire.AllDamage
	}
	return m, nil
}

// printSkipped prints a line for each range that was meant.
func printSkipped(w io.Writer, m wire.SkipDamage, ranges []wire.DamagedRange) error {
	if len(ranges) == 0 {
		_, err := fmt.Fprintf(w, "%s-%d: no damage is known\n", m.Topic, m.Partition)
		return err
	}
	for _, r := range ranges {
		lost := fmt.Sprintf("offset %d", r.From)
		if r.To > r.From+1 {
			lost = fmt.Sprintf("offsets %d to %d", r.From, r.To-1)
		}
		fate := "given up; readers go on at"
		switch {
		case r.Skipped:
			fate = "given up before; readers go on at"
		case m.DryRun:
			fate = "would be given up; readers would go on at"
		}
		if _, err := fmt.Fprintf(w, "%s-%d: %s: %s %d\n", m.Topic, m.Partition, lost, fate, r.To); err != nil {
			return err
		}
	}
	return nil
}
