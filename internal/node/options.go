package node

import (
	"fmt"
	"log/slog"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/rollway/rollway/engine"
)

// Defaults and bounds of Options.
const (
	// defaultReceiveBytes is 16 whole frames of the default size.
	defaultReceiveBytes = 256 << 20
	// defaultMaxFrameBytes holds 16 batches of Kafka's default
	// max.message.bytes.
	defaultMaxFrameBytes = 16 << 20
	// minFrameBytes holds a useful batch, and any request without batches
	// that has sane fields.
	minFrameBytes = 64 << 10
	// frameRoom is what a frame takes beside its payload, at most, in any
	// protocol.
	frameRoom = 64
	// defaultInFlightBytes lets one frame be received while others of the
	// same connection become durable.
	defaultInFlightBytes = 64 << 20
	// maxConnections is the most file descriptors that Linux gives a process
	// by default (sysctl fs.nr_open).
	maxConnections = 1 << 20
)

// Options of a Node. All but DataDir may be left zero.
type Options struct {
	// DataDir is the data directory, made if it is missing. It may be empty
	// only if Engine.FS is set.
	DataDir string

	// Engine are the options of the engine. Its Log and OnFailure, where not
	// set, are Log and OnStorageError of these.
	Engine engine.Options

	// ReceiveBytes bounds the memory that all connections of all frontends
	// receive into; over it reads wait. Default 256 MiB, at least 1 MiB.
	ReceiveBytes int64

	// MaxFrameBytes is the largest payload of one frame, in either direction.
	// At least 64 KiB; with 64 bytes for its head it must fit a receive buffer
	// that is a power of two and at most half of ReceiveBytes. Default 16 MiB,
	// or the most that fits.
	MaxFrameBytes int

	// InFlightBytes bounds the requests of one connection that were received
	// and not yet answered. At the bound nothing more is read from it. At
	// least MaxFrameBytes. Default 64 MiB, or MaxFrameBytes if that is more.
	InFlightBytes int64

	// MaxConnections is how many connections one listener has open at once,
	// MaxConnectionsPerIP how many of one address; that does not bind
	// loopback. AlterSettings may set others (max.connections,
	// max.connections.per.ip). Defaults 10,000, or as many as Engine.MaxOpenFiles
	// and the limit of the process leave, and 1,000.
	MaxConnections      int
	MaxConnectionsPerIP int

	// Settings are broker settings by Kafka's names, as a properties file has
	// them; docs/broker-settings.md lists them. Of those that a field of these
	// Options or of Engine stands for, the field counts where it is set. Those
	// without effect are kept and described. What AlterSettings sets wins.
	Settings map[string]string

	// Version is what the node tells its clients. Default: that of the module
	// as the program was built with it, "devel" if that is not known. At most
	// 255 bytes.
	Version string

	// OnStorageError is called once, on a goroutine of its own, when a write
	// or sync went wrong and the engine has stopped: nothing more is appended
	// until the directory is opened again. It may be called before Open
	// returns. Default: nothing is called.
	OnStorageError func(error)

	// Log receives what an operator should know. Default slog.Default().
	Log *slog.Logger
}

// withDefaults returns o with its defaults filled in, or names the field that
// is out of range.
func (o Options) withDefaults() (Options, error) {
	o, err := o.withSettings()
	if err != nil {
		return o, err
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Engine.Log == nil {
		o.Engine.Log = o.Log
	}
	if o.Engine.OnFailure == nil {
		o.Engine.OnFailure = o.OnStorageError
	}
	o.Engine.InternalTopics = append(slices.Clone(o.Engine.InternalTopics), OffsetsTopic)
	if o.Version == "" {
		o.Version = buildVersion()
	}
	setDefault(&o.ReceiveBytes, defaultReceiveBytes)
	mostFrame := largestFrame(o.ReceiveBytes)
	setDefault(&o.MaxFrameBytes, min(defaultMaxFrameBytes, mostFrame))
	setDefault(&o.InFlightBytes, max(defaultInFlightBytes, int64(o.MaxFrameBytes)))
	setDefault(&o.Engine.MaxOpenFiles, engine.DefaultMaxOpenFiles())
	setDefault(&o.MaxConnections, min(10_000, roomForConnections(o.Engine.MaxOpenFiles)))
	setDefault(&o.MaxConnectionsPerIP, 1_000)
	if o.DataDir == "" && o.Engine.FS == nil {
		return o, fmt.Errorf("node options: DataDir is empty, want a directory")
	}
	if len(o.Version) > 255 || !utf8.ValidString(o.Version) {
		return o, fmt.Errorf("node options: Version is %q, want UTF-8 of at most 255 bytes", o.Version)
	}
	for _, f := range []struct {
		name     string
		value    int64
		min, max int64
	}{
		{"ReceiveBytes", o.ReceiveBytes, 1 << 20, 1 << 40},
		{"MaxFrameBytes", int64(o.MaxFrameBytes), minFrameBytes, int64(mostFrame)},
		{"InFlightBytes", o.InFlightBytes, int64(o.MaxFrameBytes), 1 << 40},
		{"MaxConnections", int64(o.MaxConnections), 1, maxConnections},
		{"MaxConnectionsPerIP", int64(o.MaxConnectionsPerIP), 1, maxConnections},
	} {
		if f.value < f.min || f.value > f.max {
			return o, fmt.Errorf("node options: %s is %d, want %d to %d", f.name, f.value, f.min, f.max)
		}
	}
	return o, nil
}

// largestFrame is the most payload bytes of a frame whose receive buffer, a
// power of two, fits the budget beside the one that it grew from.
func largestFrame(receiveBytes int64) int {
	if receiveBytes < 2 {
		return 0
	}
	buffer := int64(1) << (bits.Len64(uint64(receiveBytes/2)) - 1)
	return int(min(buffer, 1<<30)) - frameRoom
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Limits are what frontends hold each connection to; see Options.
type Limits struct {
	MaxFrameBytes int
	InFlightBytes int64
}
