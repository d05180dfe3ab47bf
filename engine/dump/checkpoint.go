package dump

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/record"
)

// offsetCheckpoint emits the entries of a file with an offset for each
// partition: topic, partition, offset.
func (d *dumper) offsetCheckpoint(content []byte) error {
	return d.checkpoint(content, func(line int, text string) error {
		fields := strings.Split(text, " ")
		if len(fields) == 3 {
			partition, ok1 := parseDecimal(fields[1], math.MaxInt32)
			offset, ok2 := parseDecimal(fields[2], math.MaxInt64)
			if ok1 && ok2 && fields[0] != "" {
				return d.emit(CheckpointEntry{Topic: fields[0], Partition: int32(partition), Offset: record.Offset(offset)})
			}
		}
		return d.lineProblem(line, "%s, want topic, partition and offset with single spaces", quoted(text))
	})
}

// leaderEpochs emits the entries of a leader-epoch-checkpoint: epoch and start
// offset, both rising.
func (d *dumper) leaderEpochs(content []byte) error {
	last := EpochEntry{Epoch: -1, Start: -1}
	return d.checkpoint(content, func(line int, text string) error {
		epochText, startText, _ := strings.Cut(text, " ")
		epoch, ok1 := parseDecimal(epochText, math.MaxInt32)
		start, ok2 := parseDecimal(startText, math.MaxInt64)
		if !ok1 || !ok2 {
			return d.lineProblem(line, "%s, want epoch and start offset with a single space", quoted(text))
		}
		e := EpochEntry{Epoch: int32(epoch), Start: record.Offset(start)}
		if err := d.emit(e); err != nil {
			return err
		}
		previous := last
		last = e
		if e.Epoch <= previous.Epoch || e.Start <= previous.Start {
			return d.lineProblem(line, "%s, want an epoch above %d and a start offset above %d", quoted(text), previous.Epoch, previous.Start)
		}
		return nil
	})
}

// checkpoint reads what both have in common: version 0, the number of entries,
// an entry a line, each line ended. A file of 0 bytes has no entries.
func (d *dumper) checkpoint(content []byte, entry func(line int, text string) error) error {
	if len(content) == 0 {
		return nil
	}
	body, ended := bytes.CutSuffix(content, []byte("\n"))
	lines := strings.Split(string(body), "\n")
	if lines[0] != "0" {
		if err := d.lineProblem(1, "%s, want version 0", quoted(lines[0])); err != nil {
			return err
		}
	}
	if len(lines) == 1 {
		return d.lineProblem(2, "no number of entries")
	}
	if entries := len(lines) - 2; lines[1] != strconv.Itoa(entries) {
		if err := d.lineProblem(2, "%s, want %d, the number of lines that follow", quoted(lines[1]), entries); err != nil {
			return err
		}
	}
	for i, text := range lines[2:] {
		if err := entry(i+3, text); err != nil {
			return err
		}
	}
	if !ended {
		return d.lineProblem(len(lines), "%s, want an end of line", quoted(lines[len(lines)-1]))
	}
	return nil
}

// parseDecimal reads a number of 0 to limit without sign and leading zeros.
func parseDecimal(s string, limit int64) (int64, bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil && n >= 0 && n <= limit && strconv.FormatInt(n, 10) == s
}

// quoted is text of a file as it goes into a message, cut where it would fill
// the screen.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
