package admin

import (
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/zerocopy"
)

// Listener is one of the node's listeners.
type Listener struct {
	Name  string
	Stats func() netloop.Stats
}

// collector reads what a node counts. It implements prometheus.Collector.
type collector struct {
	node      *node.Node
	listeners []Listener
	http      *listener
	topics    *topicSeries
	lags      *groupSeries
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, g := range groups {
		for _, f := range g.families {
			ch <- f.desc
		}
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	c.collectRequests(ch)
	c.collectSent(ch)
	c.collectConnections(ch)
	c.collectBudget(ch)
	c.collectCommits(ch)
	c.collectDirectory(ch)
	c.collectPartitions(ch)
	c.collectGroups(ch)
	ch <- buildInfo.metric(1, c.node.Version(), runtime.Version())
}

func (c *collector) collectRequests(ch chan<- prometheus.Metric) {
	for _, f := range c.node.Metrics().Frontends() {
		for _, api := range f.Counted() {
			for _, code := range api.Codes {
				ch <- requests.metric(float64(code.Requests), f.Name(), api.API, code.Code)
			}
			d := api.Took
			ch <- requestDuration.distribution(d.Bounds, d.Counts, d.Sum, 1/float64(time.Second), f.Name(), api.API)
		}
	}
}

func (c *collector) collectSent(ch chan<- prometheus.Metric) {
	s := c.node.Counters().Snapshot()
	for _, way := range []struct {
		path  string
		count zerocopy.Count
	}{{"sendfile", s.SendFile}, {"splice", s.Splice}, {"copy", s.Copy}, {"head", s.Head}} {
		ch <- sentBytes.metric(float64(way.count.Bytes), way.path)
		ch <- sendCalls.metric(float64(way.count.Calls), way.path)
	}
	ch <- sendFallbacks.metric(float64(s.Fallbacks))
	ch <- sendWaits.metric(float64(s.Waits))
}

func (c *collector) collectConnections(ch chan<- prometheus.Metric) {
	for _, l := range c.listeners {
		s := l.Stats()
		ch <- receivedBytes.metric(float64(s.Received), l.Name)
		ch <- connectionsOpen.metric(float64(s.Connections), l.Name)
		ch <- connectionsAccepted.metric(float64(s.Accepted), l.Name)
		ch <- connectionsRefused.metric(float64(s.Refused), l.Name)
		ch <- connectionsMalformed.metric(float64(s.Malformed), l.Name)
		ch <- connectionsFailed.metric(float64(s.Failed), l.Name)
	}
	const name = "http"
	ch <- receivedBytes.metric(float64(c.http.received.Load()), name)
	ch <- connectionsOpen.metric(float64(c.http.count()), name)
	ch <- connectionsAccepted.metric(float64(c.http.accepted.Load()), name)
	ch <- connectionsRefused.metric(float64(c.http.refused.Load()), name)
}

func (c *collector) collectBudget(ch chan<- prometheus.Metric) {
	b := c.node.Budget()
	ch <- budgetUsed.metric(float64(b.InUse()))
	ch <- budgetLimit.metric(float64(b.Limit()))
	ch <- budgetWaiting.metric(float64(b.Waiting()))
}

func (c *collector) collectCommits(ch chan<- prometheus.Metric) {
	s := c.node.Engine().Stats()
	ch <- commits.metric(float64(s.Commits))
	ch <- journalCommits.metric(float64(s.JournalCommits))
	ch <- directCommits.metric(float64(s.DirectCommits))
	ch <- commitSize.distribution(s.CommitSizes.Bounds, s.CommitSizes.Counts, s.CommitSizes.Sum, 1)
	ch <- journalBytes.metric(float64(s.JournalBytes))
	ch <- fsyncs.metric(float64(s.Syncs), "log")
	ch <- fsyncs.metric(float64(s.JournalSyncs), "journal")
	// All files were counted after those two.
	ch <- fsyncs.metric(float64(max(s.FileSyncs-s.Syncs-s.JournalSyncs, 0)), "other")
	ch <- fsyncs.metric(float64(s.DirSyncs), "directory")
	ch <- appendsRefused.metric(float64(s.Refused))
	ch <- openFiles.metric(float64(s.OpenFiles))
	ch <- openFilesLimit.metric(float64(s.MaxOpenFiles))
	ch <- indexCache.metric(float64(s.IndexCacheBytes))
}

func (c *collector) collectDirectory(ch chan<- prometheus.Metric) {
	e := c.node.Engine()
	ch <- recovered.metric(flag(e.IsReady()))
	ch <- storageFailed.metric(flag(e.Failure() != nil))
	s, err := e.Space()
	if err != nil {
		return // the engine has logged it; no figure is better than a wrong one
	}
	ch <- diskFree.metric(float64(s.Available))
	ch <- diskSize.metric(float64(s.Total))
	ch <- diskFloor.metric(float64(s.MinFree))
	ch <- appendsRefusing.metric(flag(s.Refusing != nil))
}

// collectPartitions looks at all partitions once. It takes no lock of theirs.
func (c *collector) collectPartitions(ch chan<- prometheus.Metric) {
	all := c.node.Engine().Topics()
	counts := make(map[engine.TopicID]topicCounts, len(all))
	states := map[engine.PartitionState]int{}
	var known, lag, lagMost int64
	for _, t := range all {
		var sum topicCounts
		for _, p := range t.Partitions() {
			s := p.Stats()
			sum.add(topicCounts{s.AppendedBytes, s.AppendedRecords, s.FetchedBytes})
			known += int64(s.Producers)
			o := p.Offsets()
			behind := int64(o.LogEnd - o.HighWatermark)
			lag, lagMost = lag+behind, max(lagMost, behind)
			state, _ := p.State()
			states[state]++
		}
		counts[t.ID()] = sum
	}
	ch <- topics.metric(float64(len(all)))
	for _, state := range []engine.PartitionState{engine.Ready, engine.Recovering, engine.Failed} {
		ch <- partitions.metric(float64(states[state]), state.String())
	}
	ch <- producers.metric(float64(known))
	ch <- lagRecords.metric(float64(lag))
	ch <- lagMaxRecords.metric(float64(lagMost))
	series, folded := c.topics.place(all, counts)
	for _, s := range series {
		ch <- topicAppendedBytes.metric(float64(s.appendedBytes), s.topic)
		ch <- topicAppendedRecords.metric(float64(s.appendedRecords), s.topic)
		ch <- topicFetchedBytes.metric(float64(s.fetchedBytes), s.topic)
	}
	ch <- topicsFolded.metric(float64(folded))
}

// groupStates are all that a group can be in.
var groupStates = []coord.State{coord.Empty, coord.PreparingRebalance, coord.CompletingRebalance, coord.Stable, coord.Dead}

// collectGroups looks at all groups that are loaded, and up how old the first
// record is that they have not read.
func (c *collector) collectGroups(ch chan<- prometheus.Metric) {
	groups := c.node.Groups()
	list, _ := groups.List(nil, nil)
	states := map[coord.State]int{}
	var committed []groupOffset
	for _, g := range list {
		states[g.State]++
		topics, _ := groups.FetchOffsets(g.Group, nil)
		for _, t := range topics {
			for _, p := range t.Partitions {
				committed = append(committed, groupOffset{groupPartition{g.Group, t.Topic, p.Partition}, p.Offset})
			}
		}
	}
	for _, state := range groupStates {
		ch <- consumerGroups.metric(float64(states[state]), state.String())
	}
	ch <- groupMembers.metric(float64(groups.Stats().Members))
	own, folded := c.lags.place(committed)
	now := time.Now()
	for _, o := range own {
		lag := c.node.LagOf(o.topic, o.partition, o.offset, now)
		labels := []string{o.group, o.topic, strconv.Itoa(int(o.partition))}
		if lag.Records >= 0 {
			ch <- groupLagRecords.metric(float64(lag.Records), labels...)
		}
		if lag.AgeMs >= 0 {
			ch <- groupLagSeconds.metric(float64(lag.AgeMs)/1000, labels...)
		}
	}
	if len(folded) > 0 {
		var sum int64
		for _, o := range folded {
			sum += max(0, c.node.RecordsBehind(o.topic, o.partition, o.offset))
		}
		ch <- groupLagRecords.metric(float64(sum), otherGroups, "", "")
	}
	ch <- groupsFolded.metric(float64(len(folded)))
}
