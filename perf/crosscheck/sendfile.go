package main

import (
	"context"
	"fmt"
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

// sendFileWorkload is what all of them do.
var sendFileWorkload = workload{name: "sendfile", title: "sendfile in pieces of 1 MiB to one reader", rate: "consume_mib_s"}

// aheadBytes is how much the lab's clients beside iperf3 have asked for that has not
// come: that one waits for nobody either.
const aheadBytes = 8 * answerBytes

// readers are the lab's clients beside iperf3: as the lab has them, who discard a log,
// and like iperf3's server, which is sent one MiB over and over and copies it.
func (c *crosscheck) readers() []tool {
	reader := func(name string, bytes int64, copied int) tool {
		what := load.FetchRun{Bytes: c.bytes, MaxBytes: answerBytes, Depth: aheadBytes / answerBytes, Copy: copied}
		return tool{name: name, bytes: c.bytes, do: func(ctx context.Context, s *subject, log load.Log) (run, error) {
			log.Bytes = bytes
			return consume(ctx, s, log, what)
		}}
	}
	return []tool{reader(labTool, c.bytes, 0), reader(asTool(iperfName, 1), answerBytes, answerBytes)}
}

// sendFile has iperf3, the bare sendfile server and rollway send, in turns, as fast as
// they can.
func (c *crosscheck) sendFile(ctx context.Context) (err error) {
	subjects := []*subject{c.subjects[0]}
	for _, name := range []string{contestant.RollwayNative, contestant.BareSendFile} {
		s, err := c.startOne(ctx, name, c.options.contestants)
		if err != nil {
			return err
		}
		subjects = append(subjects, s)
	}
	for round := range c.options.rounds + 1 { // the first warms up the page cache and all programs
		if err := c.sendFileRound(ctx, subjects, round); err != nil {
			return err
		}
	}
	return nil
}

func (c *crosscheck) sendFileRound(ctx context.Context, subjects []*subject, round int) error {
	w := sendFileWorkload
	note := func(tool, subject string, seen sight) error {
		if round == 0 {
			return nil
		}
		return c.note(w, tool, subject, round, seen)
	}
	c.say("%s, round %d of %d", w.name, round, c.options.rounds)
	for _, t := range c.readers() {
		for _, s := range subjects {
			seen, err := c.tell(ctx, w, t, s)
			if err == nil {
				err = note(t.name, s.name, seen)
			}
			if err != nil {
				return err
			}
		}
	}
	iperf, err := c.sendByIPerf(ctx, c.bytes)
	if err != nil {
		return fmt.Errorf("%s: %w", iperfName, err)
	}
	return note(labTool, iperfName, iperf)
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
	fmt.Fprintf(&b, "  %s: %.0f MiB/s, %.3f CPU s/GiB\n", iperfName, iperf.rate.Median(), iperf.cpu.Median())
	for _, t := range c.readers() {
		for _, name := range []string{contestant.BareSendFile, contestant.RollwayNative, contestant.RollwayKafka} {
			s := c.of(sendFileWorkload, t.name, name)
			fmt.Fprintf(&b, "  %s to %s: %.0f MiB/s, %.3f CPU s/GiB; throughput %.2fx that of %s\n",
				name, t.name, s.rate.Median(), s.cpu.Median(), s.rate.Over(iperf.rate).Median(), iperfName)
		}
	}
	return b.String()
}
