package engine

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/rollway/rollway/engine/vfs"
)

// Checkpoint, Kafka's format: text, each line ends in "\n".
//
//	line  content
//	   1  0                        version
//	   2  number of entries
//	   3  one entry a line         recovery point, log start: topic partition offset
//	                               leader epochs: epoch startOffset, both rising
//
// There is no checksum. A file of 0 bytes is a checkpoint without entries:
// Kafka creates its files so.
const (
	// recoveryPointFile, in the data directory: below these offsets everything
	// is synced and checked, and recovery need not look.
	recoveryPointFile = "recovery-point-offset-checkpoint"
	// logStartOffsetFile, in the data directory: the first offset of a
	// partition where it is not the first of its first segment.
	logStartOffsetFile = "log-start-offset-checkpoint"
	// leaderEpochFile, in each partition's directory.
	leaderEpochFile = "leader-epoch-checkpoint"

	// checkpointVersion is the only one that Kafka ever had.
	checkpointVersion = "0"
	// maxCheckpointBytes bounds what is read: 200,000 partitions whose lines
	// have the greatest length, 281 bytes.
	maxCheckpointBytes = 64 << 20
)

// partitionKey names a partition of this node.
type partitionKey struct {
	topic string
	index int32
}

// offsetCheckpoint holds an offset for each partition that has one.
type offsetCheckpoint map[partitionKey]Offset

// readOffsetCheckpoint reads one of the two files of the data directory. A
// missing file is a checkpoint without entries.
//
// Errors: ErrBadCheckpoint, also with ErrUnknownVersion.
func readOffsetCheckpoint(fs vfs.FS, name string) (offsetCheckpoint, error) {
	content, err := readCheckpointFile(fs, name, maxCheckpointBytes)
	if errors.Is(err, os.ErrNotExist) {
		return offsetCheckpoint{}, nil
	}
	if err != nil {
		return nil, err
	}
	return parseOffsetCheckpoint(filepath.Join(fs.Path(), name), content)
}

// readCheckpointFile is readFileBounded that takes a file which is too large for
// one that is damaged.
func readCheckpointFile(fs vfs.FS, name string, limit int64) ([]byte, error) {
	content, err := readFileBounded(fs, name, limit)
	if errors.Is(err, errOversized) {
		err = fmt.Errorf("%w: %w", ErrBadCheckpoint, err)
	}
	return content, err
}

// write replaces the file atomically and durably. Errors as writeFileAtomic.
func (c offsetCheckpoint) write(fs vfs.FS, name string) error {
	return writeFileAtomic(fs, ".", name, c.encode())
}

// encode returns the file, its entries sorted by topic and partition.
func (c offsetCheckpoint) encode() []byte {
	keys := slices.SortedFunc(maps.Keys(c), func(a, b partitionKey) int {
		return cmp.Or(cmp.Compare(a.topic, b.topic), cmp.Compare(a.index, b.index))
	})
	p := appendCheckpointHead(nil, len(keys))
	for _, key := range keys {
		p = fmt.Appendf(p, "%s %d %d\n", key.topic, key.index, c[key])
	}
	return p
}

// parseOffsetCheckpoint accepts the entries in any order, as Kafka writes them.
// file is for messages.
func parseOffsetCheckpoint(file string, content []byte) (offsetCheckpoint, error) {
	lines, err := checkpointEntries(file, content)
	if err != nil {
		return nil, err
	}
	c := make(offsetCheckpoint, len(lines))
	for i, line := range lines {
		topic, rest, _ := strings.Cut(line, " ")
		indexText, offsetText, _ := strings.Cut(rest, " ")
		index, ok1 := parseIndex(indexText)
		offset, ok2 := parseDecimal(offsetText, math.MaxInt64)
		if !ok1 || !ok2 || validateTopicName(topic, int(index)) != nil {
			return nil, badCheckpointLine(file, i+3, line, "topic, partition and offset with single spaces")
		}
		key := partitionKey{topic, index}
		if _, twice := c[key]; twice {
			return nil, badCheckpointLine(file, i+3, line, "each partition once")
		}
		c[key] = Offset(offset)
	}
	return c, nil
}

// readLeaderEpochs reads the leader epochs of the partition in dir.
//
// Errors: ErrBadCheckpoint, also with ErrUnknownVersion; fs.ErrNotExist. All
// mean that the epochs are to be found in the batches.
func readLeaderEpochs(fs vfs.FS, dir string) (leaderEpochs, error) {
	name := path.Join(dir, leaderEpochFile)
	content, err := readCheckpointFile(fs, name, maxCheckpointBytes)
	if err != nil {
		return leaderEpochs{}, err
	}
	return parseLeaderEpochs(filepath.Join(fs.Path(), name), content)
}

// write replaces the file of the partition in dir, atomically and durably.
// Errors as writeFileAtomic.
func (l *leaderEpochs) write(fs vfs.FS, dir string) error {
	return writeFileAtomic(fs, dir, leaderEpochFile, l.encode())
}

func (l *leaderEpochs) encode() []byte {
	p := appendCheckpointHead(nil, len(l.entries))
	for _, e := range l.entries {
		p = fmt.Appendf(p, "%d %d\n", e.epoch, e.start)
	}
	return p
}

// parseLeaderEpochs checks that epochs and offsets rise from line to line. file
// is for messages.
func parseLeaderEpochs(file string, content []byte) (leaderEpochs, error) {
	lines, err := checkpointEntries(file, content)
	if err != nil {
		return leaderEpochs{}, err
	}
	l := leaderEpochs{entries: make([]epochEntry, 0, len(lines))}
	for i, line := range lines {
		epochText, startText, _ := strings.Cut(line, " ")
		epoch, ok1 := parseDecimal(epochText, math.MaxInt32)
		start, ok2 := parseDecimal(startText, math.MaxInt64)
		if !ok1 || !ok2 {
			return leaderEpochs{}, badCheckpointLine(file, i+3, line, "epoch and start offset with a single space")
		}
		e := epochEntry{int32(epoch), Offset(start)}
		if i > 0 {
			if last := l.entries[i-1]; e.epoch <= last.epoch || e.start <= last.start {
				return leaderEpochs{}, badCheckpointLine(file, i+3, line, fmt.Sprintf("an epoch above %d and a start offset above %d", last.epoch, last.start))
			}
		}
		l.entries = append(l.entries, e)
	}
	return l, nil
}

func appendCheckpointHead(p []byte, entries int) []byte {
	return fmt.Appendf(p, "%s\n%d\n", checkpointVersion, entries)
}

// checkpointEntries checks the first two lines and the number of entries and
// returns the entries, without their line ends. The first is line 3 of file.
func checkpointEntries(file string, content []byte) ([]string, error) {
	if len(content) == 0 {
		return nil, nil
	}
	body, ended := bytes.CutSuffix(content, []byte("\n"))
	lines := strings.Split(string(body), "\n")
	if lines[0] != checkpointVersion {
		err := badCheckpointLine(file, 1, lines[0], "version "+checkpointVersion)
		if _, isVersion := parseDecimal(lines[0], math.MaxInt32); isVersion {
			err = fmt.Errorf("%w: %w", err, ErrUnknownVersion)
		}
		return nil, err
	}
	if !ended {
		return nil, badCheckpointLine(file, len(lines), lines[len(lines)-1], "an end of line")
	}
	if len(lines) == 1 {
		return nil, badCheckpointLine(file, 2, "", "the number of entries")
	}
	if entries := len(lines) - 2; lines[1] != strconv.Itoa(entries) {
		return nil, badCheckpointLine(file, 2, lines[1], fmt.Sprintf("%d, the number of lines that follow", entries))
	}
	return lines[2:], nil
}

func badCheckpointLine(file string, line int, found, want string) error {
	return fmt.Errorf("%w: %s: line %d: %s, want %s", ErrBadCheckpoint, file, line, quoted(found), want)
}
