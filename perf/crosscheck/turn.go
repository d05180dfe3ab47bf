package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/perf/host"
	"github.com/rollway/rollway/perf/load"
)

const (
	// setUpBytes are what each tool moves in a turn that tells what it takes to begin
	// and to end, which is taken off: to connect, to ask for metadata, to join a group.
	setUpBytes = answerBytes
	// setUpTries is how often: the quickest counts, since it was held up least.
	setUpTries = 3
	// settleTime is how long a server gets to go to sleep before it is looked at, see
	// host.CPUTime.
	settleTime = 5 * time.Millisecond
	// disturbedShare of all cores' time, stolen, has a turn done again, up to
	// disturbedTries times; the least disturbed one counts. Before the last of them there
	// is a pause, as long as patience lasts: who steals does so for minutes.
	disturbedShare = 0.03
	disturbedTries = 4
	disturbedPause = 15 * time.Second
)

// sight is what was seen of a server in a turn.
type sight struct {
	run
	cpu     time.Duration // of the server
	waits   int64         // of the server's threads: voluntary context switches; 0: not looked at
	batches int64         // that the server has got; 0: not looked at
	stolen  float64       // share of all cores' time; of no account when waits were not looked at
}

// less takes off what it takes to begin and to end, which a turn of less has seen. The
// tool's own CPU stays whole: it tells whether that was the limit.
func (s sight) less(setUp sight) sight {
	s.bytes -= setUp.bytes
	s.elapsed -= setUp.elapsed
	s.cpu -= setUp.cpu
	s.waits -= setUp.waits
	s.batches -= setUp.batches
	return s
}

// tell is a turn without what it takes to begin and to end. One that the hypervisor has
// disturbed is done again.
func (c *crosscheck) tell(ctx context.Context, w workload, t tool, s *subject) (best sight, err error) {
	for try := range disturbedTries {
		seen, err := c.turn(ctx, w, t, s, t.bytes)
		if err != nil {
			return sight{}, err
		}
		if try == 0 || seen.stolen < best.stolen {
			best = seen
		}
		if best.stolen <= disturbedShare {
			break
		}
		if try == disturbedTries-2 && c.patience >= disturbedPause {
			c.patience -= disturbedPause
			c.say("%.0f %% were stolen: waits for %v", 100*best.stolen, disturbedPause)
			select {
			case <-ctx.Done():
				return sight{}, context.Cause(ctx)
			case <-time.After(disturbedPause):
			}
		}
	}
	best = best.less(c.setUps[key{w.name, t.name, s.name}])
	if best.elapsed <= 0 || best.cpu <= 0 {
		return sight{}, fmt.Errorf("%s by %s, %s: it took no longer than to begin and to end, want more to do than %d MiB (-mib)", w.name, t.name, s.name, c.options.mib)
	}
	return best, nil
}

// turn has a tool move so many bytes: it produces them to a topic of its own, or
// reads the log that has as many.
func (c *crosscheck) turn(ctx context.Context, w workload, t tool, s *subject, bytes int64) (seen sight, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s by %s, %s: %w", w.name, t.name, s.name, err)
		}
	}()
	if !w.produces {
		log, err := c.logOf(ctx, s, bytes)
		if err != nil {
			return seen, err
		}
		return watch(ctx, t, s, log)
	}
	log := load.Log{Bytes: bytes}
	if log.Topic, err = s.newTopic(ctx, w.partitions, w.configs); err != nil {
		return seen, err
	}
	defer func() { err = errors.Join(err, s.server.DeleteTopic(ctx, log.Topic)) }()
	if err := errors.Join(host.SyncDisk(c.dir), host.FreshMemory(bytes)); err != nil {
		return seen, err
	}
	if seen, err = watch(ctx, t, s, log); err != nil {
		return seen, err
	}
	return seen, seen.readBack(ctx, s, log.Topic, w.partitions)
}

// watch looks at a server while a tool works with it.
func watch(ctx context.Context, t tool, s *subject, log load.Log) (seen sight, err error) {
	all, err := host.UsageNow()
	if err != nil {
		return seen, err
	}
	time.Sleep(settleTime)
	before, err := host.ProcessNow(s.server.PID())
	if err != nil {
		return seen, err
	}
	if seen.run, err = t.do(ctx, s, log); err != nil {
		return seen, err
	}
	time.Sleep(settleTime)
	after, err := host.ProcessNow(s.server.PID())
	if err != nil {
		return seen, err
	}
	use := after.Since(before)
	seen.cpu, seen.waits = use.CPU, use.Voluntary
	now, err := host.UsageNow()
	_, seen.stolen = now.Since(all)
	return seen, err
}

// readBack looks at what has come of a produce: so many records in how many batches
// of how many bytes.
func (s *sight) readBack(ctx context.Context, by *subject, topic string, partitions int) error {
	var records int64
	s.bytes = 0
	for i := range int32(partitions) {
		_, err := load.ReadBack(ctx, by.server.Target(), load.Partition{Topic: topic, Number: i}, func(b record.Batch) error {
			records += int64(b.Count())
			s.bytes += b.Size()
			s.batches++
			return nil
		})
		if err != nil {
			return err
		}
	}
	if records != s.records {
		return fmt.Errorf("%d records in the topic, want %d", records, s.records)
	}
	return nil
}
