package wire

import "time"

// Limits of the protocol. Both sides keep them; a frame beyond one is refused
// with the Code that stands beside it in docs/protocol.md.
const (
	// DefaultMaxFrame is what a server announces unless it is set otherwise:
	// 16 MiB, 16 batches of Kafka's default max.message.bytes, and a sixteenth
	// of the server's default budget for all its receive buffers.
	DefaultMaxFrame = 16 << 20

	// MaxFrameCap bounds what a server may announce: 256 MiB, its default
	// budget for all receive buffers. No larger length is ever believed.
	MaxFrameCap = 256 << 20

	// MinMaxFrame is the least a server may announce: 64 KiB holds any Hello,
	// any description of a topic with few partitions, and a useful batch.
	MinMaxFrame = 64 << 10

	// MaxHelloFrame bounds the payload of a connection's first frame: 32 KiB,
	// MaxAuth and all the strings of a Hello, so that a stranger cannot make a
	// server hold more.
	MaxHelloFrame = 32 << 10

	// FrameOverhead is what a frame adds to its batches at most: 256 bytes, a
	// Produce to a topic of MaxTopicName bytes (2 + 249 + 4 + 1); a Data adds
	// 32. A batch of up to MaxFrame - FrameOverhead bytes fits into both, so
	// what could be produced can be fetched.
	FrameOverhead = 256

	// MaxTopicName is the longest topic name in bytes: 249, Kafka's limit,
	// which leaves room for "-<partition>" in a file name of 255 bytes.
	MaxTopicName = 249

	// MaxName bounds names of software and its version, cluster ids and config
	// keys, in bytes: 255, as file and host names; Kafka's longest config key
	// has 49.
	MaxName = 255

	// MaxMechanism bounds the name of an authentication mechanism, in bytes:
	// 20 characters, RFC 4422 section 3.1.
	MaxMechanism = 20

	// MaxAuth bounds the bytes given to the mechanism: 16 KiB, twice the 8 KiB
	// that HTTP servers commonly take for a header with a bearer token.
	MaxAuth = 16 << 10

	// MaxConfigs bounds the configs of one message: 1024, many times the
	// number of config keys that Kafka has for a topic (about 40). It bounds
	// what many empty entries would cost in memory.
	MaxConfigs = 1024

	// MaxConfigValue bounds the value and the documentation of a config, in
	// bytes: 8 KiB, room for a list of a thousand replicas.
	MaxConfigValue = 8 << 10

	// MaxGroupString bounds ids of groups and of their members, names of
	// protocols, and the metadata of an offset, in bytes: 32767, Kafka's longest
	// string, since groups are shared with its protocol.
	MaxGroupString = 1<<15 - 1

	// MaxErrorText bounds the text of an Error, in bytes: 4 KiB, a page on a
	// terminal. Longer texts are cut when they are sent.
	MaxErrorText = 4 << 10
)

// Defaults of the limits that a server announces in its Welcome, beside
// DefaultMaxFrame.
const (
	// DefaultMaxInFlight is how many bytes of unanswered requests a server
	// takes from one connection before it stops reading: 64 MiB, four whole
	// frames, so that one may be received while others become durable.
	DefaultMaxInFlight = 64 << 20

	// DefaultMaxCredit is the credit a subscription may hold: 64 MiB, which at
	// 1 GB/s covers a round trip of 60 ms.
	DefaultMaxCredit = 64 << 20

	// DefaultIdleTimeout is how long a connection may be silent: 10 minutes,
	// the default of Kafka's connections.max.idle.ms.
	DefaultIdleTimeout = 10 * time.Minute
)
