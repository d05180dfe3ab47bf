package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rollway/rollway/perf/contestant"
)

// iperfName is who is held against bare-sendfile.
const iperfName = "iperf3 -Z"

// connectPause is between two tries to reach a server that is starting.
const connectPause = 20 * time.Millisecond

// sendFileWorkload is what both do.
var sendFileWorkload = workload{name: "sendfile", title: "sendfile in pieces of 1 MiB to one reader", rate: "consume_mib_s"}

// sendFile has iperf3 and the bare sendfile server send, in turns.
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
	s := &subject{name: contestant.BareSendFile, server: server}
	topic, err := s.newTopic(ctx, 1)
	if err != nil {
		return err
	}
	if s.log, err = server.Fill(ctx, topic, contestant.Filling{Batch: c.batch, Bytes: c.bytes}); err != nil {
		return err
	}
	consume := tool{labTool, c.consumeByLab}
	for round := range c.options.rounds + 1 {
		bare, err := c.turn(ctx, sendFileWorkload, consume, s)
		if err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		iperf, err := c.sendByIPerf(ctx, s.log.Bytes)
		if err != nil {
			return fmt.Errorf("%s: %w", iperfName, err)
		}
		if round == 0 {
			continue // the page cache and both programs are warm now
		}
		if err := errors.Join(c.note(sendFileWorkload, labTool, s.name, round, bare), c.note(sendFileWorkload, labTool, iperfName, round, iperf)); err != nil {
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
	bare, iperf := c.of(sendFileWorkload, labTool, contestant.BareSendFile), c.of(sendFileWorkload, labTool, iperfName)
	return fmt.Sprintf("\n%s\n  %s %.0f MiB/s, %.3f CPU s/GiB; %s, whose reader copies, %.0f MiB/s, %.3f CPU s/GiB; throughput ratio %.2f\n",
		sendFileWorkload.title, contestant.BareSendFile, bare.rate.Median(), bare.cpu.Median(), iperfName, iperf.rate.Median(), iperf.cpu.Median(),
		bare.rate.Over(iperf.rate).Median())
}
