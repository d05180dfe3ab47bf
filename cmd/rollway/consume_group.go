package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// commitInterval is how often consume commits what it has printed: what a crash
// has it print again.
const commitInterval = time.Second

// groupReader reads a topic on behalf of a group: it knows where the group is, and
// commits where it has come to. Its methods are called by one goroutine at a time.
type groupReader struct {
	client       *client.Client
	group, topic string
	stderr       io.Writer
	committed    map[int32]int64 // by partition, as far as anything is
}

// consumeInGroup is consume for a group.
func (p *program) consumeInGroup(ctx context.Context, c *consumer, o *consumeOptions) error {
	r := &groupReader{client: c.client, group: o.group, topic: c.topic, stderr: p.stderr, committed: map[int32]int64{}}
	c.reader = r
	if err := r.open(ctx, o.timeout); err != nil {
		return err
	}
	err := r.committing(ctx, c.printer, o.timeout, func(ctx context.Context) error { return c.run(ctx, o) })

	flushErr := c.printer.flush()
	commitErr := r.commit(context.WithoutCancel(ctx), c.printer.offsets(), o.timeout)
	var stopped signalError
	switch {
	case flushErr != nil && !isClosedOutput(flushErr):
		return flushErr
	case err != nil && !errors.Is(err, errEnough) && !errors.As(err, &stopped) && !isClosedOutput(err):
		return err
	case commitErr != nil:
		return commitErr
	case flushErr != nil:
		return flushErr
	case errors.Is(err, errEnough):
		return nil
	}
	return err
}

// open looks up what the group has committed. A group with members is refused:
// they alone may commit, so this reader would print the same again and again.
func (r *groupReader) open(ctx context.Context, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	if err := refuseMembers(ctx, r.client, r.group); err != nil {
		return err
	}
	topics, err := retry(ctx, func() ([]wire.TopicOffsets, error) { return r.client.FetchOffset(ctx, r.group, r.topic) })
	if err != nil {
		return err
	}
	for _, t := range topics {
		for _, p := range t.Partitions {
			r.committed[p.Partition] = p.Offset
		}
	}
	return nil
}

// refuseMembers returns an error if the group has members, the one with which the
// server would refuse to commit. A group that is not there has none.
func refuseMembers(ctx context.Context, cl *client.Client, group string) error {
	d, err := retry(ctx, func() (wire.GroupDescription, error) { return cl.DescribeGroup(ctx, group) })
	switch {
	case wire.CodeOf(err) == wire.CodeUnknownGroup:
		return nil
	case err != nil:
		return err
	case len(d.Members) > 0:
		return wire.Errorf(wire.CodeGroupNotEmpty, "%q has %d members, who alone may commit its offsets; stop them first", group, len(d.Members))
	}
	return nil
}

// begin returns where the group is in a partition; there is false if it has
// committed nothing.
func (r *groupReader) begin(row offsetsJSON) (offset int64, there bool, err error) {
	offset, there = r.committed[row.Partition]
	switch {
	case !there:
		return 0, false, nil
	case offset > row.Latest:
		return 0, true, fmt.Errorf("group %s is at offset %d of %s-%d, which ends at %d: the topic was made anew, or has lost records; say where to go on with: rollway group reset",
			r.group, offset, r.topic, row.Partition, row.Latest)
	case offset < row.Earliest:
		fmt.Fprintf(r.stderr, "rollway: group %s is at offset %d of %s-%d, whose records below %d are deleted; it goes on there\n",
			r.group, offset, r.topic, row.Partition, row.Earliest)
		return row.Earliest, true, nil
	}
	return offset, true, nil
}

// committing runs read, and commits what was shown meanwhile. It returns why read
// has ended, or why nothing could be committed.
func (r *groupReader) committing(ctx context.Context, printer *recordPrinter, timeout time.Duration, read func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	var failed error
	var committing sync.WaitGroup
	committing.Go(func() {
		tick := time.NewTicker(commitInterval)
		defer tick.Stop()
		for {
			select {
			case <-ended:
				return
			case <-tick.C:
			}
			err := printer.flush()
			if err == nil {
				err = r.commit(ctx, printer.offsets(), timeout)
			}
			if err != nil && ctx.Err() == nil {
				failed = err
				cancel(err)
				return
			}
		}
	})
	err := read(ctx)
	close(ended)
	committing.Wait()
	if failed != nil {
		return failed
	}
	return err
}

// commit commits those of the offsets that are not committed yet.
func (r *groupReader) commit(ctx context.Context, offsets map[int32]int64, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m := wire.CommitOffset{Group: r.group, Topic: r.topic}
	for _, partition := range slices.Sorted(maps.Keys(offsets)) {
		if at, there := r.committed[partition]; !there || at != offsets[partition] {
			m.Partitions = append(m.Partitions, wire.PartitionOffset{Partition: partition, Offset: offsets[partition], LeaderEpoch: -1})
		}
	}
	if len(m.Partitions) == 0 {
		return nil
	}
	if err := commitOffset(ctx, r.client, m); err != nil {
		return err
	}
	maps.Copy(r.committed, offsets)
	return nil
}

// commitOffset commits until it succeeds, fails for good, or ctx ends.
func commitOffset(ctx context.Context, cl *client.Client, m wire.CommitOffset) error {
	_, err := retry(ctx, func() (struct{}, error) { return struct{}{}, cl.CommitOffset(ctx, m) })
	return err
}
