package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rollway/rollway/perf/contestant"
	"github.com/rollway/rollway/perf/load"
)

// iperfName is who is held against bare-sendfile.
const iperfName = "iperf3 -Z"

// connectPause is between two tries to reach a server that is starting.
const connectPause = 20 * time.Millisecond

// sendFileWorkload is what all three do.
var sendFileWorkload = workload{name: "sendfile", title: "sendfile in pieces of 1 MiB to one reader", rate: "consume_mib_s"}

// sendFile has iperf3, the bare sendfile server and rollway send, in turns, as fast as
// they can.
func (c *crosscheck) sendFile(ctx context.Context) (err error) {
	who, err := contestant.New(contestant.BareSendFile, contestant.Options{})
	if err != nil {
		return err
	}
	server, err := who.Start(ctx, contestant.Setup{Dir: filepath.Join(c.dir, contestant.BareSendFile), Cores: c.serverCores})
	if err != nil {
		return err
	}
	defer server.Kill()
	bare := &subject{name: contestant.BareSendFile, server: server, logs: map[int64]load.Log{}}
	topic, err := bare.newTopic(ctx, 1)
	if err != nil {
		return err
	}
	if bare.logs[c.bytes], err = server.Fill(ctx, topic, contestant.Filling{Batch: c.batch, Bytes: c.bytes}); err != nil {
		return err
	}
	// The next answer is asked for ahead: iperf3 waits for nobody either.
	ahead := tool{labTool, func(ctx context.Context, s *subject, log load.Log) (run, error) {
		return consume(ctx, s, log, load.FetchRun{Bytes: c.bytes, MaxBytes: answerBytes, Depth: 2})
	}}
	w := sendFileWorkload
	for round := range c.options.rounds + 1 {
		for _, s := range []*subject{bare, c.subjects[0]} {
			seen, err := c.turn(ctx, w, ahead, s, c.bytes)
			if err == nil && round > 0 {
				err = c.note(w, labTool, s.name, round, seen)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
		}
		iperf, err := c.sendByIPerf(ctx, c.bytes)
		if err != nil {
			return fmt.Errorf("%s: %w", iperfName, err)
		}
		if round == 0 {
			continue // the page cache and both programs are warm now
		}
		if err := c.note(w, labTool, iperfName, round, iperf); err != nil {
			return err
		}
	}
	return nil
}

// sendByIPerf has iperf3's client send so many bytes by sendfile, on the servers'
// cores. Its CPU is all that the process took, from its start on.
func (c *crosscheck) sendByIPerf(ctx context.Context, bytes int64) (seen sight, err error) {
	ports, err := contestant.FreePorts(1)
	if err != nil {
		return seen, err
	}
	host, port := ports[0].Addr().String(), strconv.Itoa(int(ports[0].Port()))
	receiving := make(chan error, 1)
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	go func() {
		_, _, err := outside{program: c.iperf, cores: c.toolCores, args: []string{"-s", "-1", "-B", host, "-p", port}}.do(ctx)
		receiving <- err
	}()
	defer func() {
		cancel() // of one that nobody came to
		<-receiving
	}()
	send := outside{program: c.iperf, cores: c.serverCores, args: []string{
		"-c", host, "-p", port, "-Z", "-l", "1M", "-n", strconv.FormatInt(bytes, 10), "-J",
	}}
	for {
		text, r, err := send.do(ctx)
		if err == nil {
			seen.cpu = r.cpu
			seen.run, err = parseIPerf(text)
		}
		// It does not listen yet; asking whether it does would be its only client.
		if err == nil || !strings.Contains(err.Error(), "unable to connect") || ctx.Err() != nil {
			return seen, err
		}
		time.Sleep(connectPause)
	}
}

// sendFileText is what came of it.
func (c *crosscheck) sendFileText() string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n", sendFileWorkload.title)
	iperf := c.of(sendFileWorkload, labTool, iperfName)
	for _, name := range []string{contestant.BareSendFile, contestant.RollwayKafka, iperfName} {
		s := c.of(sendFileWorkload, labTool, name)
		fmt.Fprintf(&b, "  %s %.0f MiB/s, %.3f CPU s/GiB; throughput %.2fx that of %s, whose reader copies\n",
			name, s.rate.Median(), s.cpu.Median(), s.rate.Over(iperf.rate).Median(), iperfName)
	}
	return b.String()
}
