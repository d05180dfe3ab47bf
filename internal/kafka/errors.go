package kafka

import (
	"errors"
	"strings"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/brokerconfig"
)

// code is an error code of the protocol (kafka.apache.org/protocol#protocol_error_codes).
type code int16

const (
	codeUnknownServerError                 code = -1
	codeNone                               code = 0
	codeOffsetOutOfRange                   code = 1
	codeCorruptMessage                     code = 2
	codeUnknownTopicOrPartition            code = 3
	codeLeaderNotAvailable                 code = 5
	codeNotLeaderOrFollower                code = 6
	codeRequestTimedOut                    code = 7
	codeMessageTooLarge                    code = 10
	codeInvalidTopic                       code = 17
	codeNotEnoughReplicas                  code = 19
	codeInvalidRequiredAcks                code = 21
	codeInvalidTimestamp                   code = 32
	codeUnsupportedVersion                 code = 35
	codeTopicAlreadyExists                 code = 36
	codeInvalidPartitions                  code = 37
	codeInvalidReplicationFactor           code = 38
	codeInvalidReplicaAssignment           code = 39
	codeInvalidConfig                      code = 40
	codeInvalidRequest                     code = 42
	codePolicyViolation                    code = 44
	codeOutOfOrderSequence                 code = 45
	codeInvalidProducerEpoch               code = 47
	codeTransactionalIDAuthorizationFailed code = 53
	codeIllegalSaslState                   code = 34
	codeSecurityDisabled                   code = 54
	codeKafkaStorageError                  code = 56
	codeUnknownProducerID                  code = 59
	codeGroupIDNotFound                    code = 69
	codeFetchSessionIDNotFound             code = 70
	codeInvalidFetchSessionEpoch           code = 71
	codeTopicDeletionDisabled              code = 73
	codeFencedLeaderEpoch                  code = 74
	codeUnknownLeaderEpoch                 code = 75
	codeUnsupportedCompression             code = 76
	codeNoPreferredLeader                  code = 80
	codeNoEligibleLeaders                  code = 83
	codeElectionNotNeeded                  code = 84
	codeInvalidRecord                      code = 87
	codeUnknownTopicID                     code = 100
	codeInconsistentTopicID                code = 103
	codeFetchSessionTopicIDError           code = 106
	codeMismatchedEndpoint                 code = 114
	codeUnsupportedEndpoint                code = 115
)

// Refusals of this package, each wrapped with what was found and wanted.
var (
	errInvalidAcks        = errors.New("kafka: invalid acks")
	errNoTransactions     = errors.New("kafka: no transactions")
	errNoTransactionalID  = errors.New("kafka: no transactional id")
	errInvalidRecord      = errors.New("kafka: invalid record")
	errUnsupportedCodec   = errors.New("kafka: unsupported compression type")
	errUnacknowledged     = errors.New("kafka: request timed out")
	errUnknownTopicID     = errors.New("kafka: unknown topic id")
	errFencedLeaderEpoch  = errors.New("kafka: fenced leader epoch")
	errUnknownLeaderEpoch = errors.New("kafka: unknown leader epoch")

	errInvalidReplicationFactor = errors.New("kafka: invalid replication factor")
	errInvalidReplicaAssignment = errors.New("kafka: invalid replica assignment")
	errInvalidRequest           = errors.New("kafka: invalid request")
	errGroupIDNotFound          = errors.New("kafka: group id not found")
	errPolicyViolation          = errors.New("kafka: policy violation")
	errTopicDeletionDisabled    = errors.New("kafka: deletion of topics is disabled")
	errMismatchedEndpoint       = errors.New("kafka: mismatched endpoint type")
	errUnsupportedEndpoint      = errors.New("kafka: unsupported endpoint type")
)

// maxTextBytes bounds the texts of answers, which may quote what was asked for.
const maxTextBytes = 320

// refusals says by which code a refusal is answered. The first that fits
// counts: an error of the disk that also names what it refused is of the disk.
//
// A partition that is being recovered has no leader yet, and a full disk is a
// storage error: clients try both again.
var refusals = []struct {
	err  error
	code code
}{
	{engine.ErrStorageFailed, codeKafkaStorageError},
	{engine.ErrClosed, codeNotLeaderOrFollower},
	{engine.ErrNotReady, codeNotLeaderOrFollower},
	{engine.ErrOffline, codeKafkaStorageError}, // whatever it is because of
	{engine.ErrNoSpace, codeKafkaStorageError},
	{engine.ErrTooManyOpenFiles, codeKafkaStorageError},
	{errInvalidAcks, codeInvalidRequiredAcks},
	{errNoTransactions, codeInvalidRequest},
	{errNoTransactionalID, codeTransactionalIDAuthorizationFailed},
	{errInvalidRecord, codeInvalidRecord}, // before what it may wrap
	{errUnsupportedCodec, codeUnsupportedCompression},
	{errUnacknowledged, codeRequestTimedOut},
	{errUnknownTopicID, codeUnknownTopicID},
	{errFencedLeaderEpoch, codeFencedLeaderEpoch},
	{errUnknownLeaderEpoch, codeUnknownLeaderEpoch},
	{engine.ErrInternalTopic, codeInvalidTopic},
	{engine.ErrUnknownTopic, codeUnknownTopicOrPartition},
	{engine.ErrUnknownPartition, codeUnknownTopicOrPartition},
	{engine.ErrOffsetOutOfRange, codeOffsetOutOfRange},
	{engine.ErrMessageTooLarge, codeMessageTooLarge},
	{engine.ErrInvalidTimestamp, codeInvalidTimestamp},
	{engine.ErrNotEnoughReplicas, codeNotEnoughReplicas},
	{engine.ErrOutOfOrderSequence, codeOutOfOrderSequence},
	{engine.ErrInvalidProducerEpoch, codeInvalidProducerEpoch},
	{engine.ErrUnknownProducerID, codeUnknownProducerID},
	{record.ErrCorrupt, codeCorruptMessage},
	{record.ErrInvalid, codeInvalidRecord},
	{engine.ErrTopicNamesCollide, codeInvalidTopic},
	{engine.ErrTopicExists, codeTopicAlreadyExists},
	{engine.ErrInvalidTopicName, codeInvalidTopic},
	{engine.ErrInvalidPartitions, codeInvalidPartitions},
	{engine.ErrInvalidMetadata, codeInvalidRequest},
	{topicconfig.ErrUnknownKey, codeInvalidConfig},
	{topicconfig.ErrInvalidValue, codeInvalidConfig},
	{brokerconfig.ErrUnknownKey, codeInvalidConfig},
	{brokerconfig.ErrInvalidValue, codeInvalidRequest}, // Kafka's code, which it regrets (KAFKA-13609)
	{brokerconfig.ErrReadOnly, codeInvalidRequest},
	{errInvalidReplicationFactor, codeInvalidReplicationFactor},
	{errInvalidReplicaAssignment, codeInvalidReplicaAssignment},
	{errInvalidRequest, codeInvalidRequest},
	{errGroupIDNotFound, codeGroupIDNotFound},
	{errPolicyViolation, codePolicyViolation},
	{errTopicDeletionDisabled, codeTopicDeletionDisabled},
	{errMismatchedEndpoint, codeMismatchedEndpoint},
	{errUnsupportedEndpoint, codeUnsupportedEndpoint},
}

// refusal returns how a request that was refused with err is answered: the code
// and a text that names what was found and wanted. Without an error it is
// codeNone and "".
func refusal(err error) (code, string) {
	if err == nil {
		return codeNone, ""
	}
	var damage *engine.CorruptionError
	if errors.As(err, &damage) && !errors.Is(err, engine.ErrStorageFailed) && !errors.Is(err, engine.ErrOffline) {
		return codeCorruptMessage, err.Error()
	}
	for _, r := range refusals {
		if errors.Is(err, r.err) {
			return r.code, withoutPackage(err.Error())
		}
	}
	return codeUnknownServerError, err.Error()
}

// withoutPackage returns a text without the name of the package that begins it.
// The rest stays: clients show it alone, without what the code means.
func withoutPackage(text string) string {
	for _, name := range []string{"engine: ", "kafka: "} {
		if rest, ok := strings.CutPrefix(text, name); ok {
			return rest
		}
	}
	return text
}

// refuse is refusal, and logs an error that no client can have caused, once for
// each connection.
func (s *session) refuse(api string, err error) (code, string) {
	c, text := refusal(err)
	if c == codeUnknownServerError && !s.logged.Swap(true) {
		s.node.Log().Error("request failed", "peer", s.peer.Remote, "api", api, "error", text)
	}
	return c, text
}

// outcome is refuse for an answer with a field for a text, and also for what
// went well: then it is 0 and nil.
func (s *session) outcome(api string, err error) (errorCode int16, message *string) {
	if err == nil {
		return 0, nil
	}
	c, text := s.refuse(api, err)
	text = shortened(text)
	return int16(c), &text
}

// shortened returns a text as it goes into an answer, which has bounds.
func shortened(text string) string {
	if len(text) <= maxTextBytes {
		return text
	}
	return strings.ToValidUTF8(text[:maxTextBytes-len("...")], "") + "..."
}
