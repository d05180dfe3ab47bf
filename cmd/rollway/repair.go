package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/verify"
	"github.com/rollway/rollway/engine/vfs"
)

const repairHelp = `Mend a data directory that check has found problems in. No server may have it open.

It deletes no data. What can be derived is made anew: indexes, leader epochs,
producer snapshots, checkpoints, and partition.metadata from the metadata log; a
damaged file of these is first set aside under the name with .damaged behind it.
Damaged ranges of logs stay where they are, in quarantine: the rest of the log is
served, readers get an error for the records that are lost, and rollway partition
skip lets them past. What nothing can be derived from, the metadata log and
meta.properties, it leaves alone and says so: then put the file back from a backup.

Each line is one action, before it is done; --dry-run prints them and changes
nothing. To do its work it opens the directory as a server would, checks every
batch of every log, and stops cleanly. Then it checks the directory once more and
prints what is left, such as the damage in quarantine.

The exit code is 0 if nothing is left, else 1. With --dry-run it is 1 if there is
anything to do.`

type repairOptions struct {
	dryRun, json bool
}

func (p *program) newRepair() *cobra.Command {
	var o repairOptions
	cmd := &cobra.Command{
		Use:               "repair DIR",
		Short:             "Mend a data directory without deleting data",
		Long:              repairHelp,
		Args:              arguments("DIR"),
		ValidArgsFunction: completeDir,
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.repair(cmd.Context(), args[0], o)
		},
	}
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "print what would be done, and change nothing")
	cmd.Flags().BoolVar(&o.json, "json", false, "print JSON, an object a line")
	return cmd
}

func (p *program) repair(ctx context.Context, dir string, o repairOptions) error {
	out := bufio.NewWriterSize(p.stdout, 64<<10)
	actions := int64(0)
	options := verify.RepairOptions{DryRun: o.dryRun, Engine: engine.Options{Log: slog.New(slog.NewTextHandler(p.stderr, &slog.HandlerOptions{Level: slog.LevelError + 1}))}}
	err := verify.Repair(ctx, dir, options, func(a verify.Action) error {
		actions++
		if o.json {
			return printAction(out, a, o.dryRun)
		}
		would := ""
		if o.dryRun {
			would = "would "
		}
		_, err := fmt.Fprintln(out, would+a.String())
		return errors.Join(err, out.Flush())
	})
	switch {
	case errors.Is(err, fs.ErrNotExist):
		err = fmt.Errorf("%w; want a data directory", err)
	case errors.Is(err, vfs.ErrLocked):
		err = fmt.Errorf("%w: a server has the directory open; stop it first", err)
	}
	if err = errors.Join(err, out.Flush()); err != nil {
		return err
	}
	if o.dryRun && actions > 0 {
		return fmt.Errorf("%s to do; nothing was changed", counted(actions, "thing"))
	}
	return p.check(ctx, dir, checkOptions{Options: verify.Options{Width: 2}, json: o.json})
}

func printAction(w *bufio.Writer, a verify.Action, dryRun bool) error {
	object, err := json.Marshal(a)
	if err != nil {
		return err
	}
	kind := "action"
	if dryRun {
		kind = "plan"
	}
	_, err = fmt.Fprintf(w, `{"type":%q,%s`+"\n", kind, object[1:])
	return err
}
