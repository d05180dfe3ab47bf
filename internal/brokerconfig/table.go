package brokerconfig

import (
	"slices"
	"strings"

	"github.com/rollway/rollway/engine/topicconfig"
)

// none as a default in the table is Kafka's null.
const none = "\x00"

const (
	noThreads = " rollway has no such threads: goroutines do that work, as many as there is work for."
	noGroups  = " It waits for the newer group protocol."
	noTxns    = " It waits for transactions."
)

// keys is the table, sorted by name: the settings of their own, and those that
// give the defaults of topic configs.
//
// Source of names, types, defaults, ranges and update modes: ServerConfigs.java,
// SocketServerConfigs.java, ServerLogConfigs.java, ReplicationConfigs.java,
// GroupCoordinatorConfig.java, TransactionLogConfig.java,
// TransactionStateManagerConfig.java and DynamicBrokerConfig.scala of Apache
// Kafka. Not in it: what is about controllers, replication, quotas, remote
// storage, share groups, security and metrics reporters.
var keys = slices.SortedFunc(slices.Values(append(complete(entries), topicKeys()...)), func(a, b Key) int {
	return strings.Compare(a.Name, b.Name)
})

var entries = []entry{
	// The node.
	{Name: "node.id", Type: topicconfig.Int, Kafka: none, Ours: "0", Valid: atLeast(32, 0), Importance: "high", InForce: true,
		Text: "The number of the node. It goes into a new data directory and must match that of an old one. Kafka has no default for it, rollway has 0."},
	{Name: "broker.id", Type: topicconfig.Int, Kafka: "-1", Ours: "0", Valid: atLeast(32, 0), Importance: "high", InForce: true,
		Text: "The older name of node.id, which is shown here too."},
	{Name: "broker.rack", Type: topicconfig.String, Kafka: none, Valid: anyText(), Importance: "medium",
		Text: "The rack of the broker, which replicas are spread by."},
	{Name: "log.dirs", Type: topicconfig.List, Kafka: none, Valid: oneDirectory(), Importance: "high", InForce: true,
		Text: "The data directory. Kafka takes several, rollway one for each server."},
	{Name: "log.dir", Type: topicconfig.String, Kafka: "/tmp/kafka-logs", Ours: none, Valid: oneDirectory(), Importance: "high", InForce: true,
		Text: "The data directory where log.dirs does not say."},

	// Listeners and connections.
	{Name: "listeners", Type: topicconfig.List, Kafka: "PLAINTEXT://:9092", Ours: "PLAINTEXT://127.0.0.1:9092", Valid: anyText(), Importance: "high", InForce: true,
		Text: "Where Kafka clients are listened for, NAME://HOST:PORT with commas between them. By default that is on loopback only, since there is no authentication. In Kafka it may be altered for one broker, which then opens a listener that it tells no client of; here others take another start."},
	{Name: "advertised.listeners", Type: topicconfig.List, Kafka: none, Valid: anyText(), Importance: "high", InForce: true,
		Text: "Where Kafka clients are told to find the node, by the names of listeners. If it is not set, where they listen, or came to if that is every address of the host."},
	{Name: "listener.security.protocol.map", Type: topicconfig.String, Kafka: "SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT", Ours: none,
		Valid: anyText(), Importance: "low", InForce: true,
		Text: "Which security protocol a listener has, by its name. PLAINTEXT is the only one that there is yet; a listener with another one is refused. In Kafka it may be altered for one broker, for listeners that are added; here none are while the node runs."},
	{Name: "max.connections", Type: topicconfig.Int, Kafka: "2147483647", Ours: "10000", Valid: connections(), Importance: "medium", Update: ClusterWide, InForce: true,
		Text: "The most connections of one listener at once; one more is closed at once. The limit of open files may leave room for fewer. A lower bound ends none that is open."},
	{Name: "max.connections.per.ip", Type: topicconfig.Int, Kafka: "2147483647", Ours: "1000", Valid: connections(), Importance: "medium", Update: ClusterWide, InForce: true,
		Text: "The most connections of one listener from one address, loopback excepted; one more is closed at once. A lower bound ends none that is open."},
	{Name: "max.connections.per.ip.overrides", Type: topicconfig.String, Kafka: "", Valid: anyText(), Importance: "medium", Update: ClusterWide,
		Text: "Other bounds than max.connections.per.ip for certain addresses."},
	{Name: "max.connection.creation.rate", Type: topicconfig.Int, Kafka: "2147483647", Valid: atLeast(32, 0), Importance: "medium", Update: ClusterWide,
		Text: "The most connections that are taken in a second."},
	{Name: "connections.max.idle.ms", Type: topicconfig.Long, Kafka: "600000", Valid: anyInteger(64), Importance: "medium", InForce: true,
		Text: "How long a connection may be silent and wait for nothing before it is closed. A negative number means forever."},
	{Name: "socket.request.max.bytes", Type: topicconfig.Int, Kafka: "104857600", Ours: "16777216", Valid: atLeast(32, 64<<10), Importance: "high", InForce: true,
		Text: "The largest request that is taken, at most half of the memory that all connections receive into."},
	{Name: "socket.send.buffer.bytes", Type: topicconfig.Int, Kafka: "102400", Ours: "-1", Valid: integers(32, "at least 1, or -1 for the system's", 1, 1<<31-1, -1), Importance: "high", InForce: true,
		Text: "The send buffer of one socket. By default the system tunes it, which distant readers need; Kafka fixes it."},
	{Name: "socket.receive.buffer.bytes", Type: topicconfig.Int, Kafka: "102400", Ours: "-1", Valid: anyInteger(32), Importance: "high",
		Text: "The receive buffer of one socket; -1 leaves it to the system, which rollway always does."},
	{Name: "socket.listen.backlog.size", Type: topicconfig.Int, Kafka: "50", Valid: atLeast(32, 1), Importance: "medium",
		Text: "How many connections may wait to be accepted; rollway takes what the system allows (net.core.somaxconn)."},
	{Name: "num.network.threads", Type: topicconfig.Int, Kafka: "3", Valid: atLeast(32, 1), Importance: "high", Update: ClusterWide,
		Text: "How many threads of a listener receive and send." + noThreads},
	{Name: "num.io.threads", Type: topicconfig.Int, Kafka: "8", Valid: atLeast(32, 1), Importance: "high", Update: ClusterWide,
		Text: "How many threads work on requests." + noThreads},
	{Name: "background.threads", Type: topicconfig.Int, Kafka: "10", Valid: atLeast(32, 1), Importance: "high", Update: ClusterWide,
		Text: "How many threads do what is not urgent." + noThreads},
	{Name: "queued.max.requests", Type: topicconfig.Int, Kafka: "500", Valid: atLeast(32, 1), Importance: "high",
		Text: "How many requests may wait for a thread." + noThreads},

	// Fetches.
	{Name: "fetch.max.bytes", Type: topicconfig.Int, Kafka: "57671680", Valid: atLeast(32, 1024), Importance: "medium", InForce: true,
		Text: "The most bytes of batches in the answer to a fetch of a Kafka client, whatever it asks for; a first batch that is larger goes as a whole."},
	{Name: "max.incremental.fetch.session.cache.slots", Type: topicconfig.Int, Kafka: "1000", Valid: atLeast(32, 0), Importance: "medium", InForce: true,
		Text: "How many incremental fetch sessions of Kafka clients are kept."},

	// Topics.
	{Name: "auto.create.topics.enable", Type: topicconfig.Boolean, Kafka: "true", Valid: anyBoolean(), Importance: "high", InForce: true,
		Text: "Whether a topic that a Kafka client asks for, and that is not there, is created, if the client lets that happen."},
	{Name: "num.partitions", Type: topicconfig.Int, Kafka: "1", Valid: atLeast(32, 1), Importance: "medium", InForce: true,
		Text: "How many partitions a topic gets that does not say."},
	{Name: "default.replication.factor", Type: topicconfig.Int, Kafka: "1", Valid: integers(32, "1 to 32767", 1, 1<<15-1), Importance: "medium", InForce: true,
		Text: "How many replicas a topic is to have that does not say. A node on its own has one; more are refused when a topic is made, unless rollway.accept.any.replication.factor says otherwise."},
	{Name: "rollway.accept.any.replication.factor", Type: topicconfig.Boolean, Kafka: none, Ours: "false", Valid: anyBoolean(), Importance: "low", Update: ClusterWide, InForce: true,
		Text: "Whether a topic that wants more replicas than there are nodes is made all the same, with one replica. Test suites that ask for three need that. Kafka has no such setting and refuses."},
	{Name: "delete.topic.enable", Type: topicconfig.Boolean, Kafka: "true", Valid: anyBoolean(), Importance: "high", InForce: true,
		Text: "Whether Kafka clients may delete topics."},

	// Storage.
	{Name: "rollway.journal.bytes", Type: topicconfig.Long, Kafka: none, Ours: "67108864", Valid: integers(64, "32768 to 1099511627776, or -1 for none", 32<<10, 1<<40, -1), Importance: "medium", InForce: true,
		Text: "The size of the commit journal, which makes one sync enough for the appends of many partitions. Kafka has none."},
	{Name: "num.recovery.threads.per.data.dir", Type: topicconfig.Int, Kafka: "2", Ours: "4", Valid: atLeast(32, 1), Importance: "high", Update: ClusterWide, InForce: true,
		Text: "How many partitions are recovered at a time by a start. What is altered counts from the next start on; Kafka takes at most double or half of what was."},
	{Name: "log.flush.offset.checkpoint.interval.ms", Type: topicconfig.Int, Kafka: "60000", Valid: atLeast(32, 1), Importance: "high", InForce: true,
		Text: "How often recovery points move: what a start after a crash need not look at again. Kafka takes 0, too."},
	{Name: "log.flush.start.offset.checkpoint.interval.ms", Type: topicconfig.Int, Kafka: "60000", Valid: atLeast(32, 0), Importance: "high",
		Text: "How often the starts of logs are written down; rollway does so when they move by DeleteRecords."},
	{Name: "log.retention.check.interval.ms", Type: topicconfig.Long, Kafka: "300000", Valid: atLeast(64, 1), Importance: "medium", InForce: true,
		Text: "How often topics are looked at for records that they keep no longer."},
	{Name: "log.cleaner.enable", Type: topicconfig.Boolean, Kafka: "true", Valid: anyBoolean(), Importance: "medium",
		Text: "Whether logs are compacted. It waits for compaction."},
	{Name: "log.cleaner.threads", Type: topicconfig.Int, Kafka: "1", Valid: atLeast(32, 0), Importance: "medium", Update: ClusterWide,
		Text: "How many threads compact logs. It waits for compaction."},

	// Producers and transactions.
	{Name: "producer.id.expiration.ms", Type: topicconfig.Int, Kafka: "86400000", Valid: atLeast(32, 1), Importance: "low", Update: ClusterWide, InForce: true,
		Text: "For how long a partition remembers an idempotent producer after its last append."},
	{Name: "transaction.max.timeout.ms", Type: topicconfig.Int, Kafka: "900000", Valid: atLeast(32, 1), Importance: "high",
		Text: "The longest time that a producer may want for a transaction." + noTxns},
	{Name: "transactional.id.expiration.ms", Type: topicconfig.Int, Kafka: "604800000", Valid: atLeast(32, 1), Importance: "high",
		Text: "For how long a transactional id that is not used is remembered." + noTxns},
	{Name: "transaction.state.log.num.partitions", Type: topicconfig.Int, Kafka: "50", Valid: atLeast(32, 1), Importance: "high",
		Text: "How many partitions the topic of transactions has." + noTxns},
	{Name: "transaction.state.log.replication.factor", Type: topicconfig.Short, Kafka: "3", Ours: "1", Valid: atLeast(16, 1), Importance: "high",
		Text: "How many replicas the topic of transactions has; a node on its own has one." + noTxns},
	{Name: "transaction.state.log.min.isr", Type: topicconfig.Int, Kafka: "2", Ours: "1", Valid: atLeast(32, 1), Importance: "high",
		Text: "How many replicas of the topic of transactions must have a batch; a node on its own is one." + noTxns},

	// Groups.
	{Name: "group.min.session.timeout.ms", Type: topicconfig.Int, Kafka: "6000", Valid: atLeast(32, 1), Importance: "medium", InForce: true,
		Text: "The shortest session timeout that a member of a group may want."},
	{Name: "group.max.session.timeout.ms", Type: topicconfig.Int, Kafka: "1800000", Valid: atLeast(32, 1), Importance: "medium", InForce: true,
		Text: "The longest session timeout that a member of a group may want."},
	{Name: "group.initial.rebalance.delay.ms", Type: topicconfig.Int, Kafka: "3000", Valid: anyInteger(32), Importance: "medium", InForce: true,
		Text: "How long the first rebalance of a group waits for more members."},
	{Name: "group.max.size", Type: topicconfig.Int, Kafka: "2147483647", Valid: atLeast(32, 1), Importance: "medium", InForce: true,
		Text: "The most members of a group."},
	{Name: "group.consumer.session.timeout.ms", Type: topicconfig.Int, Kafka: "45000", Valid: atLeast(32, 1), Importance: "medium",
		Text: "The session timeout of members of the newer group protocol (KIP-848)." + noGroups},
	{Name: "group.consumer.min.session.timeout.ms", Type: topicconfig.Int, Kafka: "45000", Valid: atLeast(32, 1), Importance: "medium",
		Text: "The least that group.consumer.session.timeout.ms may be set to for a group." + noGroups},
	{Name: "group.consumer.max.session.timeout.ms", Type: topicconfig.Int, Kafka: "60000", Valid: atLeast(32, 1), Importance: "medium",
		Text: "The most that group.consumer.session.timeout.ms may be set to for a group." + noGroups},
	{Name: "group.consumer.heartbeat.interval.ms", Type: topicconfig.Int, Kafka: "5000", Valid: atLeast(32, 1), Importance: "medium",
		Text: "How often members of the newer group protocol send heartbeats." + noGroups},
	{Name: "group.consumer.min.heartbeat.interval.ms", Type: topicconfig.Int, Kafka: "5000", Valid: atLeast(32, 1), Importance: "medium",
		Text: "The least that group.consumer.heartbeat.interval.ms may be set to for a group." + noGroups},
	{Name: "group.consumer.max.heartbeat.interval.ms", Type: topicconfig.Int, Kafka: "15000", Valid: atLeast(32, 1), Importance: "medium",
		Text: "The most that group.consumer.heartbeat.interval.ms may be set to for a group." + noGroups},
	{Name: "group.consumer.max.size", Type: topicconfig.Int, Kafka: "2147483647", Valid: atLeast(32, 1), Importance: "medium",
		Text: "The most members of a group of the newer protocol." + noGroups},
	{Name: "offset.metadata.max.bytes", Type: topicconfig.Int, Kafka: "4096", Valid: anyInteger(32), Importance: "high", InForce: true,
		Text: "The longest text that may come with a committed offset."},
	{Name: "offsets.retention.minutes", Type: topicconfig.Int, Kafka: "10080", Valid: atLeast(32, 1), Importance: "high", InForce: true,
		Text: "How long the offsets of a group without members are kept."},
	{Name: "offsets.retention.check.interval.ms", Type: topicconfig.Long, Kafka: "600000", Valid: atLeast(64, 1), Importance: "high", InForce: true,
		Text: "How often offsets are looked at for those that are kept no longer."},
	{Name: "offsets.topic.num.partitions", Type: topicconfig.Int, Kafka: "50", Valid: atLeast(32, 1), Importance: "high", InForce: true,
		Text: "How many partitions the topic of offsets is made with, when the first group commits."},
	{Name: "offsets.topic.replication.factor", Type: topicconfig.Short, Kafka: "3", Ours: "1", Valid: atLeast(16, 1), Importance: "high",
		Text: "How many replicas the topic of offsets has; a node on its own has one."},
	{Name: "offsets.topic.segment.bytes", Type: topicconfig.Int, Kafka: "104857600", Valid: atLeast(32, 1<<20), Importance: "high", InForce: true,
		Text: "The size of a segment of the topic of offsets."},
}

// entry is a Key as it stands in the table: complete makes the rest of it.
type entry struct {
	Name       string
	Type       topicconfig.Type
	Kafka      string // Kafka's default, or none
	Ours       string // our default where it is another, or none
	Valid      valid
	Importance string
	Update     Update
	InForce    bool
	Text       string
}

// complete makes keys of entries.
func complete(entries []entry) []Key {
	keys := make([]Key, len(entries))
	for i, e := range entries {
		ours := e.Ours
		if ours == "" {
			ours = e.Kafka
		}
		k := Key{
			Name: e.Name, Type: e.Type, Importance: e.Importance, Update: e.Update, InForce: e.InForce,
			KafkaDefault:  strings.TrimPrefix(e.Kafka, none),
			Default:       strings.TrimPrefix(ours, none),
			NoDefault:     ours == none,
			Valid:         e.Valid.words,
			Documentation: e.Text,
			Synonyms:      []string{e.Name},
			accepts:       e.Valid.accepts,
		}
		if !k.InForce {
			k.Documentation += " This has no effect in rollway yet."
		}
		keys[i] = k
	}
	return keys
}

// topicKeys makes a key of each setting that topic configs have their defaults
// from. Of several for one config the first may be altered, as in Kafka.
func topicKeys() []Key {
	var made []Key
	for _, topic := range topicconfig.Keys() {
		var names []string
		for _, s := range topic.Synonyms {
			names = append(names, s.Name)
		}
		for i, s := range topic.Synonyms {
			k := Key{
				Name: s.Name, Type: topic.Type, Importance: topic.Importance, Valid: topic.Valid, InForce: topic.InForce,
				Documentation: "The default of the topic config " + topic.Name + ". " + topic.Documentation,
				Topic:         topic.Name,
				Synonyms:      names,
			}
			if s.Unit != 1 {
				k.Type = topicconfig.Int
				k.Documentation = "The default of the topic config " + topic.Name + ", " + inUnit(s.Name) + ". It counts if none of " + strings.Join(names[:i], ", ") + " is set."
			}
			if i == 0 {
				k.Update = ClusterWide
			}
			ours, ok := topic.DefaultOf(s)
			if k.NoDefault = !ok; ok {
				k.Default, k.KafkaDefault = ours, ours
				if topic.Default != topic.KafkaDefault {
					k.KafkaDefault = topic.KafkaDefault
				}
			}
			made = append(made, k)
		}
	}
	return made
}

// inUnit says which unit a setting that has one counts in.
func inUnit(name string) string {
	return "in " + name[strings.LastIndexByte(name, '.')+1:]
}
