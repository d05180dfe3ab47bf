package engine

import (
	"errors"
	"fmt"
	"strconv"
	"syscall"
)

// Refusals. Each is wrapped with the values that were found and wanted.
var (
	// ErrInvalidTopicName means that a topic cannot have this name, or not
	// with this many partitions.
	ErrInvalidTopicName = errors.New("engine: invalid topic name")
	// ErrTopicExists means that a topic with this name or id is there already.
	ErrTopicExists = errors.New("engine: topic exists")
	// ErrTopicNamesCollide is an ErrTopicExists: the name that is there is not
	// the same, but differs only in where one has "." and the other "_".
	ErrTopicNamesCollide = fmt.Errorf("%w under a name that collides", ErrTopicExists)
	// ErrInternalTopic means that a topic is the node's own, and that what was
	// asked for is not for clients to do.
	ErrInternalTopic = errors.New("engine: internal topic")
	// ErrUnknownTopic means that no topic has this name or id.
	ErrUnknownTopic = errors.New("engine: unknown topic")
	// ErrMetadataConflict means that somebody else committed first: read the
	// image again, decide again.
	ErrMetadataConflict = errors.New("engine: metadata changed meanwhile")
	// ErrInvalidMetadata means that a metadata record contradicts the image
	// that it is applied to, or exceeds a bound.
	ErrInvalidMetadata = errors.New("engine: invalid metadata record")
	// ErrBadCheckpoint means that a checkpoint file does not hold what such a
	// file holds. docs/format/checkpoints.md says what each costs to lose.
	ErrBadCheckpoint = errors.New("engine: bad checkpoint")
	// ErrDirectoryRefused means that the directory is not, or not certainly,
	// a data directory of this node. Nothing in it was changed.
	ErrDirectoryRefused = errors.New("engine: data directory refused")
	// ErrUnknownVersion means that a file has a format version that this
	// program does not know, most likely because a newer one wrote it.
	ErrUnknownVersion = errors.New("engine: unknown format version")
	// ErrStorageFailed means that a write or a sync went wrong, now or
	// earlier. It is final until the directory is opened again.
	ErrStorageFailed = errors.New("engine: storage failed")
	// ErrClosed means that the object was closed.
	ErrClosed = errors.New("engine: closed")
	// ErrUnknownPartition means that the topic has no partition of this number.
	ErrUnknownPartition = errors.New("engine: unknown partition")
	// ErrInvalidPartitions means that a topic cannot have this many partitions.
	ErrInvalidPartitions = errors.New("engine: invalid number of partitions")
	// ErrNotReady means that the partition is still being recovered after a
	// start. Try again.
	ErrNotReady = errors.New("engine: partition is not ready")
	// ErrOffline means that the partition cannot be used, since its recovery could
	// not go on: Partition.State says why. Mend that and open the directory again.
	ErrOffline = errors.New("engine: partition is offline")
	// ErrOffsetOutOfRange means that the log does not have this offset, any
	// more or yet.
	ErrOffsetOutOfRange = errors.New("engine: offset out of range")
	// ErrMessageTooLarge means that a batch exceeds max.message.bytes, or a
	// request segment.bytes.
	ErrMessageTooLarge = errors.New("engine: message too large")
	// ErrInvalidTimestamp means that a record's timestamp lies further from the
	// clock than message.timestamp.before.max.ms or after.max.ms allow.
	ErrInvalidTimestamp = errors.New("engine: invalid timestamp")
	// ErrNotEnoughReplicas means that min.insync.replicas asks for more than
	// one node has.
	ErrNotEnoughReplicas = errors.New("engine: not enough in-sync replicas")
	// ErrOutOfOrderSequence means that an idempotent producer's batch does not
	// follow the last one that the partition knows of it. Nothing was appended.
	ErrOutOfOrderSequence = errors.New("engine: out of order sequence")
	// ErrInvalidProducerEpoch means that a newer epoch of the same producer id
	// is known: whoever uses the old one is fenced off.
	ErrInvalidProducerEpoch = errors.New("engine: invalid producer epoch")
	// ErrUnknownProducerID means that this directory never gave that producer
	// id.
	ErrUnknownProducerID = errors.New("engine: unknown producer id")
	// ErrTooManyOpenFiles means that the directory has as many files open as it
	// may (Options.MaxOpenFiles), and all of them are in use. Nothing was done;
	// try again.
	ErrTooManyOpenFiles = errors.New("engine: too many open files")
	// ErrNoSpace means that the file system was full: nothing was appended.
	// Try again when there is room.
	ErrNoSpace = errors.New("engine: no space left")
)

// isFinal tells that err stops the data directory.
func isFinal(err error) bool { return errors.Is(err, ErrStorageFailed) }

// isNoSpace tells that a file system or quota is full.
func isNoSpace(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// CorruptionError means that bytes on disk are not those that were written.
type CorruptionError struct {
	Path     string   // the file
	Offset   Offset   // the record where the damage begins, -1 when unknown
	Position Position // the byte where the damage begins, -1 when unknown
	Err      error    // what was found and what was wanted
}

// Error names the file, the place in it, what was found and what was wanted.
func (e *CorruptionError) Error() string {
	where := e.Path
	if e.Offset >= 0 {
		where += fmt.Sprintf(": offset %d", e.Offset)
	}
	if e.Position >= 0 {
		where += fmt.Sprintf(": at position %d", e.Position)
	}
	return fmt.Sprintf("%s: %v", where, e.Err)
}

// Unwrap returns what was found and wanted.
func (e *CorruptionError) Unwrap() error { return e.Err }

// isDamage tells that err is a *CorruptionError.
func isDamage(err error) bool {
	if err == nil {
		return false // before a variable that errors.As moves to the heap
	}
	var damage *CorruptionError
	return errors.As(err, &damage)
}

// writeFault marks the error of a write as final with ErrStorageFailed, unless
// the file system had no room: then the pages that are there stay good, and
// only this write is refused.
func writeFault(err error) error {
	if isNoSpace(err) {
		return err
	}
	return syncFault(err)
}

// syncFault marks the error of a sync as final with ErrStorageFailed. ENOSPC of
// a sync is final too: with delayed allocation the kernel drops the pages.
func syncFault(err error) error {
	return fmt.Errorf("%w: %w", ErrStorageFailed, err)
}

// quoted is text from outside as it goes into a message: quoted, and cut where
// it would fill the screen.
func quoted(s string) string {
	const most = 80
	if len(s) > most {
		return strconv.Quote(s[:most]) + "..."
	}
	return strconv.Quote(s)
}
