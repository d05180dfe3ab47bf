package contestant

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/perf/load"
	"github.com/rollway/rollway/perf/result"
)

const (
	// propertiesFile, logsDir and temporaryDir are in the directory of a broker.
	propertiesFile = "server.properties"
	logsDir        = "logs"
	temporaryDir   = "tmp"
)

// shippedJVMFlags are those of kafka-run-class.sh, less what it logs.
var shippedJVMFlags = []string{
	"-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
	"-XX:+ExplicitGCInvokesConcurrent", "-Djava.awt.headless=true",
}

// kafka is a broker of Apache Kafka in a process of its own, broker and controller
// in one, or one that is running.
type kafka struct {
	name    string
	options Options
}

func newKafka(name string, o Options) (Contestant, error) {
	if o.KafkaEndpoint != "" {
		if _, err := netip.ParseAddrPort(o.KafkaEndpoint); err != nil {
			return nil, fmt.Errorf("endpoint of Kafka %q, want an address and a port: %w", o.KafkaEndpoint, err)
		}
	}
	return &kafka{name: name, options: o}, nil
}

func (k *kafka) Name() string { return k.name }

// topicConfigs are what the name says of durability.
func (k *kafka) topicConfigs() map[string]string {
	if k.name == KafkaFsync {
		return map[string]string{"flush.messages": "1"}
	}
	return nil
}

func (k *kafka) durability() string {
	if k.name == KafkaFsync {
		return "synced before it is acknowledged: topics have flush.messages=1"
	}
	return "page cache, as it is shipped"
}

// Start starts a broker, in a directory that is formatted if it is new.
func (k *kafka) Start(ctx context.Context, s Setup) (Server, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not ready within %v", startLimit))
	defer cancel()
	if k.options.KafkaEndpoint != "" {
		return k.attach(ctx, s)
	}
	install, err := FindKafka(k.options)
	if err != nil {
		return nil, err
	}
	if err := install.Format(ctx, s.Dir); err != nil {
		return nil, err
	}
	addr, err := readListener(filepath.Join(s.Dir, propertiesFile))
	if err != nil {
		return nil, err
	}
	run := install.broker(s.Dir)
	run.cores = s.Cores
	p, err := startProcess(run)
	if err != nil {
		return nil, err
	}
	server := &kafkaServer{
		process: p, dir: filepath.Join(s.Dir, logsDir), topicConfigs: k.topicConfigs(),
		target: load.Target{Addr: addr, Congestion: s.Congestion, Kafka: true},
		admin:  admin{addr: addr, gone: p.gone},
	}
	if err := server.start(ctx, s.Expect); err != nil {
		return nil, p.failed(err)
	}
	server.conditions, err = k.conditions(ctx, install, s.Dir)
	if err != nil {
		return nil, p.failed(err)
	}
	return server, nil
}

// attach takes a broker that is running.
func (k *kafka) attach(ctx context.Context, s Setup) (Server, error) {
	addr := netip.MustParseAddrPort(k.options.KafkaEndpoint) // newKafka has looked
	server := &kafkaServer{
		processID: k.options.KafkaPID, topicConfigs: k.topicConfigs(),
		target: load.Target{Addr: addr, Congestion: s.Congestion, Kafka: true},
		admin:  admin{addr: addr, gone: func() error { return nil }},
	}
	if _, err := server.admin.ask(ctx, kmsg.NewPtrApiVersionsRequest()); err != nil {
		return nil, fmt.Errorf("%s at %v: %w", k.name, addr, err)
	}
	if err := server.admin.served(ctx, s.Expect); err != nil {
		return nil, err
	}
	server.conditions = []result.Condition{
		{Contestant: k.name, Name: "version", Text: fmt.Sprintf("unknown, it was there before, at %v, process %d", addr, k.options.KafkaPID)},
		{Contestant: k.name, Name: "durability", Text: k.durability() + ", unless its own defaults say otherwise"},
	}
	return server, nil
}

func (k *kafka) conditions(ctx context.Context, install KafkaInstall, dir string) ([]result.Condition, error) {
	own, err := install.settings(dir)
	if err != nil {
		return nil, err
	}
	return []result.Condition{
		{Contestant: k.name, Name: "version", Text: "Apache Kafka " + KafkaVersion + ", KRaft, broker and controller in one process; " + install.javaVersion(ctx)},
		{Contestant: k.name, Name: "command", Text: install.broker(dir).String()},
		{Contestant: k.name, Name: "heap", Text: fmt.Sprintf("-Xms%[1]s -Xmx%[1]s, G1, as it is shipped with 1g", install.Heap)},
		{Contestant: k.name, Name: "settings", Text: own},
		{Contestant: k.name, Name: "durability", Text: k.durability()},
	}, nil
}

// Format makes the directory of a broker: its properties, on ports that are free
// now, and what Kafka's own storage tool puts into its log directory. One that is
// formatted is left as it is, so it keeps its ports.
func (i KafkaInstall) Format(ctx context.Context, dir string) (err error) {
	properties := filepath.Join(dir, propertiesFile)
	if _, err := os.Stat(filepath.Join(dir, logsDir, "meta.properties")); err == nil {
		return nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	ports, err := FreePorts(2)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Join(dir, temporaryDir), 0o755); err != nil {
		return err
	}
	all := append(append([]property(nil), shippedProperties...), ownProperties(ports[0], ports[1], filepath.Join(dir, logsDir))...)
	if err := os.WriteFile(properties, []byte(formatProperties(all)), 0o644); err != nil {
		return err
	}
	run := i.command(i.quiet(dir), "kafka.tools.StorageTool", "format", "--standalone", "--cluster-id", clusterID(), "--config", properties)
	p, err := startProcess(run)
	if err != nil {
		return err
	}
	select {
	case <-p.ended:
	case <-ctx.Done():
		return p.failed(context.Cause(ctx))
	}
	if p.err != nil {
		return p.explain(p.err)
	}
	return nil
}

// clusterID is a random one, in Kafka's form: 16 bytes in base64. One that begins
// with a dash would be a flag.
func clusterID() string {
	for {
		var id [16]byte
		rand.Read(id[:])
		if text := base64.RawURLEncoding.EncodeToString(id[:]); text[0] != '-' {
			return text
		}
	}
}

// quiet are flags that leave no files behind: what the JVM maps for its tools, and
// native libraries that compression unpacks.
func (i KafkaInstall) quiet(dir string) []string {
	return []string{"-XX:+PerfDisableSharedMem", "-Djava.io.tmpdir=" + filepath.Join(dir, temporaryDir)}
}

// broker is the command of a broker in dir.
func (i KafkaInstall) broker(dir string) command {
	flags := append([]string{"-Xms" + i.Heap, "-Xmx" + i.Heap}, shippedJVMFlags...)
	return i.command(append(flags, i.quiet(dir)...), "kafka.Kafka", filepath.Join(dir, propertiesFile))
}

// settings says in what a broker in dir differs from one as it is shipped.
func (i KafkaInstall) settings(dir string) (string, error) {
	text, err := os.ReadFile(filepath.Join(dir, propertiesFile))
	if err != nil {
		return "", err
	}
	shipped := map[string]string{}
	for _, p := range shippedProperties {
		shipped[p.key] = p.value
	}
	own := []string{"logs warnings only, to standard error; no GC log, no JMX agent; " + strings.Join(i.quiet(dir), " ")}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if key, value, ok := strings.Cut(line, "="); ok && shipped[key] != value {
			own = append(own, line)
		}
	}
	return strings.Join(own, "; "), nil
}
