package server

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/wire"
)

// Refusals of the server itself, each wrapped with what was found and wanted.
// A *wire.Error is none: that is what the codec returns for a malformed frame.
var (
	errInvalidRequest = errors.New("wire server: invalid request")
	errLimitReached   = errors.New("wire server: limit reached")
	errTooLarge       = errors.New("wire server: message too large")

	errUnknownGroup           = errors.New("wire server: unknown group")
	errGroupNotEmpty          = errors.New("wire server: group not empty")
	errGroupsLoading          = errors.New("wire server: groups loading")
	errGroupUnavailable       = errors.New("wire server: group unavailable")
	errOffsetMetadataTooLarge = errors.New("wire server: offset metadata too large")
)

// refusals says by which code a refusal is answered. The first that fits
// counts: an error of the disk that also names what it refused is of the disk.
var refusals = []struct {
	err  error
	code wire.Code
}{
	{engine.ErrStorageFailed, wire.CodeStorageFailed},
	{engine.ErrOffline, wire.CodeFileUnusable}, // whatever it is because of
	{engine.ErrClosed, wire.CodeServerClosing},
	{engine.ErrNotReady, wire.CodeNotReady},
	{engine.ErrNoSpace, wire.CodeLimitReached},
	{engine.ErrTooManyOpenFiles, wire.CodeLimitReached},
	{engine.ErrInternalTopic, wire.CodeInvalidTopicName},
	{engine.ErrUnknownTopic, wire.CodeUnknownTopic},
	{engine.ErrUnknownPartition, wire.CodeUnknownPartition},
	{engine.ErrOffsetOutOfRange, wire.CodeOffsetOutOfRange},
	{engine.ErrMessageTooLarge, wire.CodeMessageTooLarge},
	{engine.ErrInvalidTimestamp, wire.CodeInvalidTimestamp},
	{engine.ErrNotEnoughReplicas, wire.CodeNotEnoughReplicas},
	{engine.ErrOutOfOrderSequence, wire.CodeOutOfOrderSequence},
	{engine.ErrInvalidProducerEpoch, wire.CodeInvalidProducerEpoch},
	{engine.ErrUnknownProducerID, wire.CodeUnknownProducerID},
	{record.ErrCorrupt, wire.CodeCorruptBatch},
	{record.ErrInvalid, wire.CodeInvalidBatch},
	{engine.ErrTopicExists, wire.CodeTopicExists},
	{engine.ErrInvalidTopicName, wire.CodeInvalidTopicName},
	{engine.ErrInvalidPartitions, wire.CodeInvalidRequest},
	{engine.ErrInvalidMetadata, wire.CodeInvalidRequest},
	{topicconfig.ErrUnknownKey, wire.CodeInvalidConfig},
	{topicconfig.ErrInvalidValue, wire.CodeInvalidConfig},
	{errInvalidRequest, wire.CodeInvalidRequest},
	{errLimitReached, wire.CodeLimitReached},
	{errTooLarge, wire.CodeMessageTooLarge},
	{errUnknownGroup, wire.CodeUnknownGroup},
	{errGroupNotEmpty, wire.CodeGroupNotEmpty},
	{errGroupsLoading, wire.CodeGroupsLoading},
	{errGroupUnavailable, wire.CodeGroupUnavailable},
	{errOffsetMetadataTooLarge, wire.CodeOffsetMetadataTooLarge},
}

// refusal returns the Error that answers a request which was refused with err.
func refusal(err error) *wire.Error {
	var damage *engine.CorruptionError
	if errors.As(err, &damage) && !errors.Is(err, engine.ErrStorageFailed) && !errors.Is(err, engine.ErrOffline) {
		return &wire.Error{Code: wire.CodeCorruptBatch, Text: err.Error()}
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			// The code says what the sentinel does.
			return &wire.Error{Code: r.code, Text: strings.TrimPrefix(err.Error(), r.err.Error()+": ")}
		}
	}
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return &wire.Error{Code: wire.CodeFileUnusable, Text: err.Error()}
	}
	return &wire.Error{Code: wire.CodeInternal, Text: err.Error()}
}

// unacknowledged returns the Error for batches that are in the log and will
// not be acknowledged, because of err: never one that says that nothing was
// changed.
func unacknowledged(err error) *wire.Error {
	e := refusal(err)
	if e.Retryable() {
		e = &wire.Error{Code: wire.CodeTimeout, Text: "batches were appended but not yet acknowledged: " + e.Text}
	}
	return e
}

// stopped is why the data directory takes nothing more, and so nothing new
// becomes visible; nil while it works.
func stopped(e *engine.Engine) error {
	err := e.Failure()
	if err == nil || errors.Is(err, engine.ErrStorageFailed) {
		return err
	}
	return fmt.Errorf("%w: %w", engine.ErrStorageFailed, err)
}
