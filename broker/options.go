package broker

import (
	"cmp"
	"log/slog"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/kafka"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire/server"
	"github.com/rollway/rollway/zerocopy"
)

// Off as an address means that there is no such listener.
const Off = "off"

// DefaultWire is where the native protocol is served unless Options say
// otherwise.
const DefaultWire = "127.0.0.1:9192"

// DefaultKafka is where the Kafka protocol is served unless Options say
// otherwise.
const DefaultKafka = "127.0.0.1:9092"

// DefaultHTTP is where metrics, health and profiles are served unless Options
// say otherwise.
const DefaultHTTP = "127.0.0.1:9193"

// Options of a Broker. All but DataDir may be left zero.
type Options struct {
	// DataDir is the data directory, made if it is missing. It may be empty
	// only if Engine.FS is set.
	DataDir string

	// Wire is the address of the native protocol, host:port; port 0 picks a
	// free one, Off is none. Default DefaultWire.
	Wire string

	// Kafka is where the Kafka protocol is served: host:port, or listeners in
	// Kafka's syntax, NAME://host:port with commas between them. Port 0 picks a
	// free one, no host means every address, Off is none. Default DefaultKafka.
	Kafka string
	// KafkaAdvertised is where Kafka clients are told to find this node, in the
	// same syntax, for all listeners or some (advertised.listeners). Default:
	// where they listen, or, if that is every address of the host, the one that
	// a client has come to.
	KafkaAdvertised string

	// HTTP is the address of metrics, health, readiness and, for processes of this
	// machine, profiles (docs/metrics.md); port 0 picks a free one, Off is none.
	// Default DefaultHTTP.
	HTTP string
	// MetricsTopics is how many topics have metrics of their own; those beyond are
	// summed up. Default 1,000; negative: none has.
	MetricsTopics int
	// MetricsGroupPartitions is how many partitions have the lag of a consumer group
	// as metrics of their own; those beyond are summed up. Default 10,000; negative:
	// none has.
	MetricsGroupPartitions int

	// AllowAnonymous allows listeners that are not on loopback. There is no
	// authentication: whoever reaches the port may read, write and delete.
	AllowAnonymous bool

	// Engine are the options of the engine. Where its Log and OnFailure are
	// not set, Log and OnStorageError of these are.
	Engine engine.Options

	// FetchPath is how fetched batches go to the socket, and CoalesceBelow
	// the size in bytes below which the path auto copies. Defaults auto and
	// 12 KiB; see zerocopy.Options.
	FetchPath     zerocopy.Path
	CoalesceBelow int

	// Congestion is the congestion control algorithm of connections, such as
	// "cubic". Default: the system's. It matters even on loopback.
	Congestion string
	// NotSentLowat bounds the bytes that wait unsent in one socket
	// (TCP_NOTSENT_LOWAT). Default 256 KiB; negative: the system's.
	NotSentLowat int
	// SendBuffer fixes the bytes of one socket's send buffer (SO_SNDBUF).
	// Default 0: the kernel tunes it, which distant readers need.
	SendBuffer int

	// MaxConnections is how many connections a listener has open at once,
	// MaxConnectionsPerIP how many of one address; that does not bind
	// loopback. Kafka clients may set others while the broker runs
	// (max.connections, max.connections.per.ip). Defaults 10,000, or as many as
	// Engine.MaxOpenFiles and the limit of the process (RLIMIT_NOFILE) leave, and
	// 1,000.
	MaxConnections      int
	MaxConnectionsPerIP int
	// MaxFrameBytes is the largest payload of a frame, in either direction: at
	// least 64 KiB, at most 256 MiB; with 64 bytes for its head it must fit a
	// power of two that is at most half of ReceiveBytes. Default 16 MiB, or
	// the most that fits.
	MaxFrameBytes int
	// InFlightBytes bounds the requests of one connection that were received
	// and not yet answered; at the bound it is not read from. Default 64 MiB.
	InFlightBytes int64
	// ReceiveBytes bounds the memory that all connections receive into; over
	// it reads wait. Default 256 MiB, at least 1 MiB.
	ReceiveBytes int64
	// MaxSubscriptions is how many subscriptions one connection may have.
	// Default 1,024.
	MaxSubscriptions int
	// MaxCredit is the credit in bytes that one subscription may hold. Default
	// 64 MiB.
	MaxCredit int64

	// IdleTimeout closes a connection that is silent and waits for nothing.
	// Default 10 minutes; negative: never.
	IdleTimeout time.Duration
	// FrameTimeout closes a connection that leaves a frame half sent, and
	// StallTimeout one that does not take its answers. Defaults 30 s and 60 s.
	FrameTimeout, StallTimeout time.Duration

	// Settings are broker settings by Kafka's names, as a server.properties has
	// them: auto.create.topics.enable, num.partitions, log.retention.hours and
	// so on; docs/broker-settings.md lists them. Of those that a field of these
	// Options or of Engine stands for, the field counts where it is set. What
	// Kafka clients alter while the broker runs wins over both.
	Settings map[string]string

	// OnStorageError is called once, on a goroutine of its own, when a write
	// or sync of the data directory went wrong: the broker goes on serving
	// what is visible and takes nothing more until it is opened again. It may
	// be called before Open returns. Default: nothing is called.
	OnStorageError func(error)

	// Log receives what an operator should know. Default slog.Default().
	Log *slog.Logger
}

// Validate checks Settings and the form of the Kafka listeners, which Open does
// too.
func (o Options) Validate() error {
	o, err := o.withSettings()
	if err != nil {
		return err
	}
	_, err = parseKafkaListeners(o.kafka(), o.KafkaAdvertised)
	return err
}

func (o Options) node(l listeners) node.Options {
	return node.Options{
		DataDir:             o.DataDir,
		Engine:              o.Engine,
		ReceiveBytes:        o.ReceiveBytes,
		MaxFrameBytes:       o.MaxFrameBytes,
		InFlightBytes:       o.InFlightBytes,
		MaxConnections:      o.MaxConnections,
		MaxConnectionsPerIP: o.MaxConnectionsPerIP,
		Settings:            o.nodeSettings(l),
		OnStorageError:      o.OnStorageError,
		Log:                 o.Log,
	}
}

func (o Options) wire() string  { return cmp.Or(o.Wire, DefaultWire) }
func (o Options) kafka() string { return cmp.Or(o.Kafka, DefaultKafka) }
func (o Options) http() string  { return cmp.Or(o.HTTP, DefaultHTTP) }

func (o Options) kafkaServer(k kafkaListener) kafka.Options {
	return kafka.Options{
		Name:          k.name,
		Advertised:    k.advertised,
		IdleTimeout:   o.IdleTimeout,
		FrameTimeout:  o.FrameTimeout,
		StallTimeout:  o.StallTimeout,
		Path:          o.FetchPath,
		CoalesceBelow: o.CoalesceBelow,
		Congestion:    o.Congestion,
		NotSentLowat:  o.NotSentLowat,
		SendBuffer:    o.SendBuffer,
	}
}

func (o Options) wireServer() server.Options {
	return server.Options{
		MaxSubscriptions: o.MaxSubscriptions,
		MaxCredit:        o.MaxCredit,
		IdleTimeout:      o.IdleTimeout,
		FrameTimeout:     o.FrameTimeout,
		StallTimeout:     o.StallTimeout,
		Path:             o.FetchPath,
		CoalesceBelow:    o.CoalesceBelow,
		Congestion:       o.Congestion,
		NotSentLowat:     o.NotSentLowat,
		SendBuffer:       o.SendBuffer,
	}
}
