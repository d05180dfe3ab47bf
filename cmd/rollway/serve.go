package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/nearest"
)

const (
	topicDefaultFlag = "topic-default"
	printConfigFlag  = "print-config"
	// defaultData is where data go unless a setting says otherwise.
	defaultData = "./rollway-data"
)

const serveHelp = `Start a server. It needs no configuration. When it accepts connections it prints
one line to standard output,

  ready wire=HOST:PORT kafka=HOST:PORT http=HOST:PORT

and after that nothing: its log goes to standard error. Recovery of a directory
that was not closed cleanly goes on behind it; a partition that is not ready yet
answers with an error that clients retry.

SIGTERM and SIGINT stop it: it accepts nothing more, lets the answers to what it
received leave, makes everything durable and exits with 0. A second signal ends
it at once, with 143 or 130; nothing that was acknowledged is lost by that.

Settings, in rising order:
  the properties file of --config: Kafka's format and Kafka's names, so that a
    server.properties works (log.dirs, num.partitions, log.segment.bytes,
    log.retention.hours, ...), and the names of the flags below; what Kafka
    knows and has no effect here is named in one line of the log
  environment variables: ROLLWAY_DATA for --data, ROLLWAY_FETCH_PATH for
    --fetch-path and so on; ROLLWAY_TOPIC_DEFAULT holds KEY=VALUE pairs with
    white space between them
  flags

With --print-config it prints what is in force, and where each value comes from.`

// serveOptions are the flags of serve.
type serveOptions struct {
	broker.Options

	config         string
	topicDefaults  []string
	printConfig    bool
	exitOnFailure  bool
	shutdownWithin time.Duration
	logLevel       slog.Level
	logFormat      string

	coalesceBelow, notSentLowat, sendBuffer, maxFrame byteSize
	inFlight, receive, maxCredit                      byteSize
	minFree, ballast, journal, indexCache             byteSize
}

func (p *program) newServe() *cobra.Command {
	o := &serveOptions{}
	cmd := &cobra.Command{
		Use:               "serve",
		Short:             "Start a server",
		Long:              serveHelp,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
	}
	o.addFlags(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := resolve(cmd.Flags(), o.topicDefaults)
		if err != nil {
			return err
		}
		if err := o.complete(s); err != nil {
			return err
		}
		if o.printConfig {
			return printSettings(p.stdout, s)
		}
		return p.serve(cmd.Context(), o, s)
	}
	return cmd
}

// addFlags defines the flags of o. Their defaults are those that the packages
// below state, so that --help and --print-config show them.
func (o *serveOptions) addFlags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "properties `file` with settings, in Kafka's format and names")
	f.StringVar(&o.DataDir, "data", defaultData, "data `directory`, made if it is missing")
	f.StringVar(&o.Wire, "wire", broker.DefaultWire, "`address` of the native protocol; port 0 picks a free one, off closes it")
	f.StringVar(&o.Kafka, "kafka", broker.DefaultKafka, "`address` of the Kafka protocol, or several as in Kafka's listeners, NAME://HOST:PORT,...; off closes it")
	f.StringVar(&o.KafkaAdvertised, "kafka-advertised", "", "`address` that Kafka clients are told, or several as in Kafka's advertised.listeners; where they listen, or came to, if empty")
	f.StringVar(&o.HTTP, "http", broker.DefaultHTTP, "`address` of /metrics, /healthz, /readyz and, on loopback only, /debug/pprof/; port 0 picks a free one, off closes it")
	f.IntVar(&o.MetricsTopics, "metrics-topics", 1_000, "most topics with metrics of their own, those beyond are summed up; -1: none")
	f.IntVar(&o.MetricsGroupPartitions, "metrics-group-partitions", 10_000, "most partitions with the lag of a consumer group as metrics of their own, those beyond are summed up; -1: none")
	f.BoolVar(&o.AllowAnonymous, "allow-anonymous", false, "allow addresses that are not on loopback: whoever reaches them may read, write and delete")

	f.Int32Var(&o.Engine.NodeID, "node-id", 0, "`number` of this node; it goes into a new data directory and must match that of an old one")
	f.Int32Var(&o.Engine.DefaultPartitions, "partitions", 1, "partitions of a topic that does not say how many")
	f.Int16("default-replication-factor", 1, "replicas of a topic of a Kafka client that does not say how many; this server has 1 and refuses more")
	f.Bool("accept-any-replication-factor", false, "make a topic of a Kafka client with 1 replica, however many it wants")
	f.Bool("auto-create-topics", true, "create a topic that a Kafka client asks for and that is not there, if the client lets it")
	f.IntVar(&o.Engine.MaxPartitions, "max-partitions", 20_000, "most partitions of all topics together")
	f.StringArrayVar(&o.topicDefaults, topicDefaultFlag, nil, "`KEY=VALUE`: a topic config for topics that do not set it (repeatable)")

	f.Var(textFlag{&o.FetchPath, "path"}, "fetch-path", "how batches go to the socket: auto, sendfile, splice or copy")
	o.coalesceBelow = 12 << 10
	f.Var(&o.coalesceBelow, "coalesce-below", "size below which --fetch-path auto copies")
	f.StringVar(&o.Congestion, "congestion", "", "TCP congestion control `algorithm`, such as cubic; the system's if empty")
	o.notSentLowat = 256 << 10
	f.Var(&o.notSentLowat, "not-sent-lowat", "most bytes that wait unsent in one socket; -1 leaves it to the system")
	f.Var(&o.sendBuffer, "send-buffer", "send buffer of one socket; 0 lets the system tune it, which distant readers need")

	f.IntVar(&o.Engine.MaxOpenFiles, "max-open-files", 0, "most segment and index files that are open at once; 0: two thirds of what the process may open")
	o.indexCache = 64 << 20
	f.Var(&o.indexCache, "index-cache", "memory for parts of index files that were read; -1: none")
	f.IntVar(&o.MaxConnections, "max-connections", 0, "most connections at once; 0: 10000, or as many as the limit of open files leaves")
	f.IntVar(&o.MaxConnectionsPerIP, "max-connections-per-ip", 1_000, "most connections from one address, loopback excepted")
	f.IntVar(&o.MaxSubscriptions, "max-subscriptions", 1_024, "most subscriptions of one connection")
	o.maxFrame = 16 << 20
	f.Var(&o.maxFrame, "max-frame", "largest frame in either direction, at most half of --receive-memory")
	o.inFlight = 64 << 20
	f.Var(&o.inFlight, "in-flight", "requests of one connection that may be unanswered before it is not read from")
	o.receive = 256 << 20
	f.Var(&o.receive, "receive-memory", "memory that all connections receive into")
	o.maxCredit = 64 << 20
	f.Var(&o.maxCredit, "max-credit", "bytes that one subscription may have asked for ahead")
	f.DurationVar(&o.IdleTimeout, "idle-timeout", 10*time.Minute, "close a connection that is silent so long and waits for nothing; negative: never")
	f.DurationVar(&o.FrameTimeout, "frame-timeout", 30*time.Second, "close a connection that leaves a frame half sent so long")
	f.DurationVar(&o.StallTimeout, "stall-timeout", time.Minute, "close a connection that takes none of its answers so long")

	f.DurationVar(&o.Engine.CheckpointInterval, "checkpoint-interval", time.Minute, "how often recovery points move")
	f.DurationVar(&o.Engine.RetentionInterval, "retention-interval", 5*time.Minute, "how often topics are looked at for records that they keep no longer")
	f.IntVar(&o.Engine.SyncParallelism, "sync-parallelism", 16, "files that are synced at a time")
	f.IntVar(&o.Engine.RecoveryParallelism, "recovery-parallelism", 4, "partitions that are recovered at a time")
	f.DurationVar(&o.Engine.ProducerIDExpiration, "producer-id-expiration", 24*time.Hour, "how long a partition remembers an idempotent producer that is silent")
	f.IntVar(&o.Engine.MaxProducers, "max-producers", 10_000, "most idempotent producers that a partition remembers, 200 bytes each")
	f.Var(&o.minFree, "min-free", "free space below which nothing is appended, while fetches and deletions go on; 0: 1GiB, or a twentieth of the file system if that is less; -1: none")
	o.journal = 64 << 20
	f.Var(&o.journal, "journal-bytes", "size of the commit journal, which makes one sync enough for many partitions; -1: none, each commit syncs the segments")
	f.Var(&o.ballast, "ballast", "size of a file that is given up so that a full disk starts, recovers and deletes; 0: 16MiB, or a sixteenth of the file system if that is less; -1: none")
	f.BoolVar(&o.exitOnFailure, "exit-on-storage-error", true, "exit with 1 when a write or sync fails and the data directory stops; otherwise go on serving what is visible")
	f.DurationVar(&o.shutdownWithin, "shutdown-timeout", 10*time.Second, "how long connections may take to drain when the server stops")

	f.Var(textFlag{&o.logLevel, "level"}, "log-level", "least level that is logged: debug, info, warn or error")
	f.StringVar(&o.logFormat, "log-format", "text", "`format` of the log: text or json")
	f.BoolVar(&o.printConfig, printConfigFlag, false, "print the settings in force and where they come from, and exit")

	complete := func(flag string, values ...string) {
		cmd.RegisterFlagCompletionFunc(flag, cobra.FixedCompletions(values, cobra.ShellCompDirectiveNoFileComp))
	}
	complete("fetch-path", "auto", "sendfile", "splice", "copy")
	complete("log-level", "debug", "info", "warn", "error")
	complete("log-format", "text", "json")
	cmd.MarkFlagDirname("data")
}

// complete puts the values that are not flags of their own form where they
// belong, and checks what no package below does.
func (o *serveOptions) complete(s *settings) error {
	if _, given := s.source["in-flight"]; !given {
		o.inFlight = max(o.inFlight, o.maxFrame) // Kafka's socket.request.max.bytes may be above the default
	}
	o.CoalesceBelow, o.NotSentLowat, o.SendBuffer = int(o.coalesceBelow), int(o.notSentLowat), int(o.sendBuffer)
	o.MaxFrameBytes, o.InFlightBytes = int(o.maxFrame), int64(o.inFlight)
	o.ReceiveBytes, o.MaxCredit = int64(o.receive), int64(o.maxCredit)
	o.Engine.MinFreeBytes, o.Engine.BallastBytes = int64(o.minFree), int64(o.ballast)
	o.Engine.JournalBytes, o.Engine.IndexCacheBytes = int64(o.journal), int64(o.indexCache)
	o.Settings, o.Engine.TopicDefaults = s.brokerSettings()
	if _, err := topicconfig.Parse(nil, topicconfig.Defaults{Static: s.topics}); err != nil {
		return usagef("topic defaults: %v", err)
	}
	if o.logFormat != "text" && o.logFormat != "json" {
		return usagef("--log-format %q, want text or json", nearest.Shorten(o.logFormat))
	}
	for _, f := range []struct{ flag, address string }{{"wire", o.Wire}, {"http", o.HTTP}} {
		if _, _, err := net.SplitHostPort(f.address); err != nil && f.address != broker.Off {
			return usagef("--%s %q, want HOST:PORT or off", f.flag, nearest.Shorten(f.address))
		}
	}
	if err := o.Options.Validate(); err != nil {
		return usagef("%v", err)
	}
	if least, most := byteSize(64<<10), o.receive/2-64; o.maxFrame < least || o.maxFrame > most {
		return usagef("--max-frame %d, want %d to %d, half of --receive-memory less 64 bytes", o.maxFrame, least, most)
	}
	if o.inFlight < o.maxFrame {
		return usagef("--in-flight %d, want at least --max-frame, which is %d", o.inFlight, o.maxFrame)
	}
	return nil
}

// serve runs a server until a signal or a storage error ends it.
func (p *program) serve(ctx context.Context, o *serveOptions, s *settings) error {
	log := o.newLogger(p.stderr)
	for _, note := range s.notes {
		log.Info(note.text, "names", note.names)
	}
	failed := make(chan error, 1)
	o.Log = log
	o.OnStorageError = func(err error) { failed <- err }
	b, err := broker.Open(o.Options)
	if err != nil {
		return startError(err, o)
	}
	log.Info("server accepts", "version", buildVersion().Version, "data", b.Engine().Path(), "wire", b.WireAddr(), "kafka", b.KafkaAddrs(), "http", b.HTTPAddr(), "fetch_path", o.FetchPath.String())
	if _, err := fmt.Fprintln(p.stdout, readyLine(b)); err != nil {
		return errors.Join(err, b.Close())
	}
	if !o.exitOnFailure {
		failed = nil // its log line is all
	}
	select {
	case err := <-failed:
		b.Close() // it has nothing new to say
		return fmt.Errorf("%w; nothing was acknowledged after it: look for the cause in the kernel's log (dmesg), mend the disk, and start the server again, which recovers the directory", err)
	case <-ctx.Done():
	}
	log.Info("server stops", "cause", context.Cause(ctx))
	draining, cancel := context.WithTimeout(context.Background(), o.shutdownWithin)
	defer cancel()
	err = b.Shutdown(draining)
	if errors.Is(err, context.DeadlineExceeded) && b.Engine().Failure() == nil {
		log.Warn("connections did not drain in time and were closed", "timeout", o.shutdownWithin)
		err = b.Close()
	}
	if err == nil {
		log.Info("server has stopped cleanly")
	}
	return err
}

// readyLine says what is listened on.
func readyLine(b *broker.Broker) string {
	line := "ready"
	if addr := b.WireAddr(); addr != nil {
		line += " wire=" + addr.String()
	}
	for i, addr := range b.KafkaAddrs() {
		separator := ","
		if i == 0 {
			separator = " kafka="
		}
		line += separator + addr.String()
	}
	if addr := b.HTTPAddr(); addr != nil {
		line += " http=" + addr.String()
	}
	return line
}

// textFlag is a flag value of a type that reads and writes itself as text.
type textFlag struct {
	value interface {
		UnmarshalText([]byte) error
		MarshalText() ([]byte, error)
	}
	kind string
}

func (f textFlag) Set(text string) error { return f.value.UnmarshalText([]byte(text)) }
func (f textFlag) Type() string          { return f.kind }
func (f textFlag) String() string {
	if f.value == nil {
		return ""
	}
	text, _ := f.value.MarshalText()     // of a value that is one of the known ones
	return strings.ToLower(string(text)) // of a level it is in capitals
}
