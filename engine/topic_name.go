package engine

import (
	"encoding/hex"
	"fmt"
	"math"
	"strconv"
	"strings"
)

const (
	// maxTopicNameLen is Kafka's bound (Topic.MAX_NAME_LENGTH).
	maxTopicNameLen = 249
	// maxFileNameLen is NAME_MAX of Linux file systems, in bytes.
	maxFileNameLen = 255
	// deletedDirSuffix ends the name of a partition that waits for its removal.
	deletedDirSuffix = "-delete"
)

// validateTopicName checks Kafka's rule for names, and that the directory of
// the last of so many partitions has a name that a file can have.
//
// Errors: ErrInvalidTopicName.
func validateTopicName(name string, partitions int) error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s: %s", ErrInvalidTopicName, quoted(name), fmt.Sprintf(format, args...))
	}
	switch {
	case name == "":
		return refuse("empty, want 1 to %d of a-z A-Z 0-9 . _ -", maxTopicNameLen)
	case name == "." || name == "..":
		return refuse("that is a directory of every file system, want another name")
	case len(name) > maxTopicNameLen:
		return refuse("%d bytes, want at most %d", len(name), maxTopicNameLen)
	}
	for _, c := range name {
		if !isTopicNameChar(c) {
			return refuse("holds %q, want only a-z A-Z 0-9 . _ -", c)
		}
	}
	last := strconv.Itoa(max(partitions-1, 0))
	if n := len(name) + len("-") + len(last); n > maxFileNameLen {
		return refuse("its partition %s would be a directory with a name of %d bytes, want at most %d: take a shorter name or fewer partitions", last, n, maxFileNameLen)
	}
	return nil
}

// IsTopicName tells whether a topic can have this name, as Kafka has it: 1 to
// 249 of a-z A-Z 0-9 . _ -, and not . or .. alone. It allocates nothing.
func IsTopicName(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > maxTopicNameLen {
		return false
	}
	for _, c := range name {
		if !isTopicNameChar(c) {
			return false
		}
	}
	return true
}

func isTopicNameChar(c rune) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-'
}

// topicNamesCollide tells whether two names differ at most in where one has "."
// and the other "_". Kafka refuses a second such topic, because both would have
// the same name in its metrics.
func topicNamesCollide(a, b string) bool {
	return strings.ReplaceAll(a, ".", "_") == strings.ReplaceAll(b, ".", "_")
}

// partitionDirName is the directory of a partition below the data directory.
func partitionDirName(topic string, index int32) string {
	return topic + "-" + strconv.Itoa(int(index))
}

// parsePartitionDirName takes apart what partitionDirName made; ok is false for
// every other name. A topic's name may hold "-", so the last one counts.
func parsePartitionDirName(dir string) (topic string, index int32, ok bool) {
	dash := strings.LastIndexByte(dir, '-')
	if dash < 0 {
		return "", 0, false
	}
	index, ok = parseIndex(dir[dash+1:])
	if !ok || validateTopicName(dir[:dash], int(index)) != nil {
		return "", 0, false
	}
	return dir[:dash], index, true
}

// parseIndex reads a partition index as it is written: decimal, no sign, no
// leading zero.
func parseIndex(s string) (index int32, ok bool) {
	n, ok := parseDecimal(s, math.MaxInt32)
	return int32(n), ok
}

// parseDecimal reads a number of 0 to limit in the one form that Kafka and this
// package write: no sign, no leading zero.
func parseDecimal(s string, limit int64) (n int64, ok bool) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > limit || strconv.FormatInt(n, 10) != s {
		return 0, false
	}
	return n, true
}

// deletedDirName is what the directory of a deleted partition is renamed to
// before its files are removed: <topic>-<index>.<32 hex digits>-delete. The
// topic is cut so that the name fits a file name (Kafka's logDeleteDirName). id
// makes it unique; it need not be the topic's.
func deletedDirName(topic string, index int32, id TopicID) string {
	suffix := "-" + strconv.Itoa(int(index)) + "." + hex.EncodeToString(id[:]) + deletedDirSuffix
	return topic[:min(len(topic), maxFileNameLen-len(suffix))] + suffix
}

// isDeletedDirName tells whether a directory is a partition that waits for its
// removal.
func isDeletedDirName(dir string) bool {
	rest, ok := strings.CutSuffix(dir, deletedDirSuffix)
	dot := strings.LastIndexByte(rest, '.')
	if !ok || dot < 0 {
		return false
	}
	id, err := hex.DecodeString(rest[dot+1:])
	if err != nil || len(id) != len(TopicID{}) {
		return false
	}
	_, _, ok = parsePartitionDirName(rest[:dot])
	return ok
}
