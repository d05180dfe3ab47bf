package engine

import (
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"slices"
	"unicode/utf8"
)

// MetadataStore keeps what is not in the logs themselves: topics, their ids and
// configs. It changes by compare-and-set, and who depends on it watches it. All
// methods may be called concurrently.
type MetadataStore interface {
	// Image returns what was committed last. It does not block.
	Image() *MetadataImage
	// Commit applies records, all or none, if the image's version is expected,
	// and returns the new image, whose version is expected + 1. It blocks until
	// that is durable. Without records it returns the image as it is.
	//
	// Errors: ErrMetadataConflict when somebody else committed first;
	// ErrTopicExists, ErrUnknownTopic, ErrInvalidTopicName or
	// ErrInvalidMetadata when a record cannot be applied; ErrStorageFailed
	// when it is in doubt whether this commit will be there after the next
	// open, and for each later one; ErrClosed. After any other error (no
	// space) nothing has changed and the next commit may succeed.
	Commit(expected uint64, records ...MetadataRecord) (*MetadataImage, error)
	// Changed returns a channel that is closed once the image's version is
	// above after. Close does not close it.
	Changed(after uint64) <-chan struct{}
	// Close releases the store. The image stays readable.
	Close() error
}

// MetadataImage is the metadata after one commit. It and all that it refers to
// are never changed; do not change them.
type MetadataImage struct {
	Version uint64                  // number of commits that led here
	Topics  map[string]*TopicImage  // by name
	ByID    map[TopicID]*TopicImage // the same topics by id
	Deleted map[TopicID]*TopicImage // removed topics whose directories may still be there

	// NextProducerID: the ids of idempotent producers below it are reserved and
	// may have been given.
	NextProducerID int64
	// NodeConfigs are the broker settings that were altered while a node ran: by
	// the number of the node, or AllNodes, and then by name. No map of it is
	// empty.
	NodeConfigs map[int32]map[string]string
}

// TopicImage is one topic. It is never changed.
type TopicImage struct {
	Name       string
	ID         TopicID
	Partitions int32             // at least 1; never shrinks
	Configs    map[string]string // only what was set; nil when nothing was
}

// MetadataRecord is one change of the metadata. The types of this file are all
// that there are.
type MetadataRecord interface {
	// apply changes image, which nobody else sees yet, or returns why not.
	apply(image *MetadataImage) error
	// kind tells the type on disk.
	kind() byte
	// appendTo appends the fields; apply has checked their bounds.
	appendTo(p []byte) []byte
}

// TopicRecord creates a topic.
type TopicRecord struct {
	Name       string
	ID         TopicID // of NewTopicID
	Partitions int32
	Configs    map[string]string
}

// PartitionsRecord gives a topic more partitions.
type PartitionsRecord struct {
	ID         TopicID
	Partitions int32 // how many it has then
}

// ConfigRecord sets or removes one config of a topic. Removing one that is not
// set changes nothing.
type ConfigRecord struct {
	ID     TopicID
	Key    string
	Value  string // "" with Remove
	Remove bool
}

// RemoveTopicRecord deletes a topic; its directories go later.
type RemoveTopicRecord struct {
	ID TopicID
}

// PurgeTopicRecord says that the directories of a deleted topic are gone.
type PurgeTopicRecord struct {
	ID TopicID
}

// ProducerIDsRecord reserves the ids of idempotent producers below Next, from
// the end of what was reserved before on (Kafka's ProducerIdsRecord).
type ProducerIDsRecord struct {
	Next int64
}

// AllNodes as the number of a node stands for all of them.
const AllNodes int32 = -1

// NodeConfigRecord sets or removes one broker setting of a node or of all.
// Removing one that is not set changes nothing.
type NodeConfigRecord struct {
	Node   int32 // its number, or AllNodes
	Key    string
	Value  string // "" with Remove
	Remove bool
}

const (
	// maxConfigs, maxConfigKeyLen and maxConfigValueLen bound the configs of a
	// topic, and of all nodes together. Kafka knows 40 keys of at most 42 bytes
	// for a topic and some 300 for a broker; a value is a string of Kafka's
	// protocol, whose length is an int16.
	maxConfigs        = 1024
	maxConfigKeyLen   = 255
	maxConfigValueLen = math.MaxInt16
)

// newMetadataImage returns an image without topics.
func newMetadataImage(version uint64) *MetadataImage {
	return &MetadataImage{
		Version: version,
		Topics:  make(map[string]*TopicImage),
		ByID:    make(map[TopicID]*TopicImage),
		Deleted: make(map[TopicID]*TopicImage),
	}
}

// with returns the image that follows m when records are committed. m stays as
// it is.
func (m *MetadataImage) with(records []MetadataRecord) (*MetadataImage, error) {
	next := &MetadataImage{
		Version: m.Version,
		Topics:  maps.Clone(m.Topics),
		ByID:    maps.Clone(m.ByID),
		Deleted: maps.Clone(m.Deleted),

		NextProducerID: m.NextProducerID,
		NodeConfigs:    m.NodeConfigs, // apply makes new maps
	}
	if err := next.commit(records); err != nil {
		return nil, err
	}
	return next, nil
}

// commit applies records as one more commit, in place. After an error m is of
// no use.
func (m *MetadataImage) commit(records []MetadataRecord) error {
	for _, r := range records {
		if err := r.apply(m); err != nil {
			return err
		}
	}
	m.Version++
	return nil
}

// snapshot returns records that lead from an image without topics to m: topics
// in the order of their names and ids, deleted ones first, since another topic
// may have the name of one of them.
func (m *MetadataImage) snapshot() []MetadataRecord {
	var records []MetadataRecord
	for _, id := range slices.SortedFunc(maps.Keys(m.Deleted), compareTopicIDs) {
		records = append(records, m.Deleted[id].record(), RemoveTopicRecord{id})
	}
	for _, name := range slices.Sorted(maps.Keys(m.Topics)) {
		records = append(records, m.Topics[name].record())
	}
	if m.NextProducerID > 0 {
		records = append(records, ProducerIDsRecord{Next: m.NextProducerID})
	}
	for _, node := range slices.Sorted(maps.Keys(m.NodeConfigs)) {
		configs := m.NodeConfigs[node]
		for _, key := range slices.Sorted(maps.Keys(configs)) {
			records = append(records, NodeConfigRecord{Node: node, Key: key, Value: configs[key]})
		}
	}
	return records
}

func (t *TopicImage) record() MetadataRecord {
	return TopicRecord{Name: t.Name, ID: t.ID, Partitions: t.Partitions, Configs: t.Configs}
}

func compareTopicIDs(a, b TopicID) int { return slices.Compare(a[:], b[:]) }

func invalidMetadata(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrInvalidMetadata, fmt.Sprintf(format, args...))
}

// topic returns a topic that is not deleted.
func (m *MetadataImage) topic(id TopicID) (*TopicImage, error) {
	t := m.ByID[id]
	if t == nil {
		return nil, fmt.Errorf("%w: id %s", ErrUnknownTopic, id)
	}
	return t, nil
}

// put adds t or puts it in the place of the topic with its id.
func (m *MetadataImage) put(t *TopicImage) {
	m.Topics[t.Name] = t
	m.ByID[t.ID] = t
}

func (r TopicRecord) apply(m *MetadataImage) error {
	if r.ID.isReserved() {
		return invalidMetadata("topic %s: id %s, want one that Kafka does not reserve", quoted(r.Name), r.ID)
	}
	if other := m.ByID[r.ID]; other != nil {
		return fmt.Errorf("%w: id %s, as %s", ErrTopicExists, r.ID, quoted(other.Name))
	}
	if m.Deleted[r.ID] != nil {
		return fmt.Errorf("%w: id %s, as a deleted topic", ErrTopicExists, r.ID)
	}
	if other := m.Topics[r.Name]; other != nil {
		return fmt.Errorf("%w: %s, with id %s", ErrTopicExists, quoted(r.Name), other.ID)
	}
	if r.Partitions < 1 {
		return invalidMetadata("topic %s: %d partitions, want at least 1", quoted(r.Name), r.Partitions)
	}
	if err := validateTopicName(r.Name, int(r.Partitions)); err != nil {
		return err
	}
	if len(r.Configs) > maxConfigs {
		return invalidMetadata("topic %s: %d configs, want at most %d", quoted(r.Name), len(r.Configs), maxConfigs)
	}
	for key, value := range r.Configs {
		if err := checkConfig("topic "+quoted(r.Name), key, value); err != nil {
			return err
		}
	}
	t := &TopicImage{Name: r.Name, ID: r.ID, Partitions: r.Partitions}
	if len(r.Configs) > 0 {
		t.Configs = maps.Clone(r.Configs)
	}
	m.put(t)
	return nil
}

func (r PartitionsRecord) apply(m *MetadataImage) error {
	t, err := m.topic(r.ID)
	if err != nil {
		return err
	}
	if r.Partitions <= t.Partitions {
		return invalidMetadata("topic %s: %d partitions, want more than its %d", quoted(t.Name), r.Partitions, t.Partitions)
	}
	if err := validateTopicName(t.Name, int(r.Partitions)); err != nil {
		return err
	}
	next := *t
	next.Partitions = r.Partitions
	m.put(&next)
	return nil
}

func (r ConfigRecord) apply(m *MetadataImage) error {
	t, err := m.topic(r.ID)
	if err != nil {
		return err
	}
	if err := checkConfigChange("topic "+quoted(t.Name), r.Key, r.Value, r.Remove); err != nil {
		return err
	}
	configs := withConfig(t.Configs, r.Key, r.Value, r.Remove)
	if len(configs) > maxConfigs {
		return invalidMetadata("topic %s: %d configs, want at most %d", quoted(t.Name), len(configs), maxConfigs)
	}
	next := *t
	next.Configs = configs
	m.put(&next)
	return nil
}

// withConfig returns configs, which stay as they are, with one of them set or
// removed; nil if there is none then.
func withConfig(configs map[string]string, key, value string, remove bool) map[string]string {
	next := make(map[string]string, len(configs)+1)
	maps.Copy(next, configs)
	if remove {
		delete(next, key)
	} else {
		next[key] = value
	}
	if len(next) == 0 {
		return nil
	}
	return next
}

// checkConfig checks the bounds of a config of owner.
func checkConfig(owner, key, value string) error {
	switch {
	case key == "" || len(key) > maxConfigKeyLen:
		return invalidMetadata("%s: config key %s of %d bytes, want 1 to %d", owner, quoted(key), len(key), maxConfigKeyLen)
	case len(value) > maxConfigValueLen:
		return invalidMetadata("%s: config %s: value of %d bytes, want at most %d", owner, quoted(key), len(value), maxConfigValueLen)
	case !utf8.ValidString(key) || !utf8.ValidString(value):
		return invalidMetadata("%s: config %s: %s, want UTF-8", owner, quoted(key), quoted(value))
	}
	return nil
}

// checkConfigChange is checkConfig for a config that is set or removed.
func checkConfigChange(owner, key, value string, remove bool) error {
	if err := checkConfig(owner, key, value); err != nil {
		return err
	}
	if remove && value != "" {
		return invalidMetadata("%s: config %s removed with value %s, want none", owner, quoted(key), quoted(value))
	}
	return nil
}

func (r RemoveTopicRecord) apply(m *MetadataImage) error {
	t, err := m.topic(r.ID)
	if err != nil {
		return err
	}
	delete(m.Topics, t.Name)
	delete(m.ByID, t.ID)
	m.Deleted[t.ID] = t
	return nil
}

func (r PurgeTopicRecord) apply(m *MetadataImage) error {
	if m.Deleted[r.ID] == nil {
		return fmt.Errorf("%w: id %s among the deleted topics", ErrUnknownTopic, r.ID)
	}
	delete(m.Deleted, r.ID)
	return nil
}

func (r ProducerIDsRecord) apply(m *MetadataImage) error {
	if r.Next <= m.NextProducerID {
		return invalidMetadata("producer ids below %d, want more than %d", r.Next, m.NextProducerID)
	}
	m.NextProducerID = r.Next
	return nil
}

func (r NodeConfigRecord) apply(m *MetadataImage) error {
	owner := fmt.Sprintf("node %d", r.Node)
	if r.Node < AllNodes {
		return invalidMetadata("%s: want its number, or %d for all", owner, AllNodes)
	}
	if err := checkConfigChange(owner, r.Key, r.Value, r.Remove); err != nil {
		return err
	}
	// m may share its maps with the image before it.
	nodes := make(map[int32]map[string]string, len(m.NodeConfigs)+1)
	maps.Copy(nodes, m.NodeConfigs)
	if nodes[r.Node] = withConfig(nodes[r.Node], r.Key, r.Value, r.Remove); nodes[r.Node] == nil {
		delete(nodes, r.Node)
	}
	count := 0
	for _, configs := range nodes {
		count += len(configs)
	}
	if count > maxConfigs {
		return invalidMetadata("%s: %d configs of all nodes, want at most %d", owner, count, maxConfigs)
	}
	m.NodeConfigs = nodes
	if len(nodes) == 0 {
		m.NodeConfigs = nil
	}
	return nil
}

// Metadata records, big-endian. A string is its length in bytes (2) and UTF-8.
//
//	at  len  field
//	 0    1  kind
//	 1    1  version             1
//	 2   16  topic id            but for kinds 6 and 7
//	18    .  by kind
//	         1 topic             partitions 4, name, number of configs 2,
//	                             (key, value) sorted by key, each key once
//	         2 partitions        partitions 4
//	         3 config            remove 1 (0 or 1), key, value
//	         4 remove topic
//	         5 purge topic
//	 2    .  6 producer ids      next producer id 8
//	         7 node config       node 4 (-1: all), remove 1 (0 or 1), key, value
const (
	kindTopic       = 1
	kindPartitions  = 2
	kindConfig      = 3
	kindRemoveTopic = 4
	kindPurgeTopic  = 5
	kindProducerIDs = 6
	kindNodeConfig  = 7

	metadataRecordVersion = 1
)

func (TopicRecord) kind() byte       { return kindTopic }
func (PartitionsRecord) kind() byte  { return kindPartitions }
func (ConfigRecord) kind() byte      { return kindConfig }
func (RemoveTopicRecord) kind() byte { return kindRemoveTopic }
func (PurgeTopicRecord) kind() byte  { return kindPurgeTopic }
func (ProducerIDsRecord) kind() byte { return kindProducerIDs }
func (NodeConfigRecord) kind() byte  { return kindNodeConfig }

func appendMetadataRecords(p []byte, records []MetadataRecord) []byte {
	for _, r := range records {
		p = append(p, r.kind(), metadataRecordVersion)
		p = r.appendTo(p)
	}
	return p
}

func appendString(p []byte, s string) []byte {
	p = binary.BigEndian.AppendUint16(p, uint16(len(s)))
	return append(p, s...)
}

func (r TopicRecord) appendTo(p []byte) []byte {
	p = append(p, r.ID[:]...)
	p = binary.BigEndian.AppendUint32(p, uint32(r.Partitions))
	p = appendString(p, r.Name)
	p = binary.BigEndian.AppendUint16(p, uint16(len(r.Configs)))
	for _, key := range slices.Sorted(maps.Keys(r.Configs)) {
		p = appendString(p, key)
		p = appendString(p, r.Configs[key])
	}
	return p
}

func (r PartitionsRecord) appendTo(p []byte) []byte {
	p = append(p, r.ID[:]...)
	return binary.BigEndian.AppendUint32(p, uint32(r.Partitions))
}

func (r ConfigRecord) appendTo(p []byte) []byte {
	p = append(p, r.ID[:]...)
	return appendConfigChange(p, r.Key, r.Value, r.Remove)
}

func appendConfigChange(p []byte, key, value string, remove bool) []byte {
	flag := byte(0)
	if remove {
		flag = 1
	}
	p = append(p, flag)
	p = appendString(p, key)
	return appendString(p, value)
}

func (r RemoveTopicRecord) appendTo(p []byte) []byte { return append(p, r.ID[:]...) }
func (r PurgeTopicRecord) appendTo(p []byte) []byte  { return append(p, r.ID[:]...) }

func (r ProducerIDsRecord) appendTo(p []byte) []byte {
	return binary.BigEndian.AppendUint64(p, uint64(r.Next))
}

func (r NodeConfigRecord) appendTo(p []byte) []byte {
	p = binary.BigEndian.AppendUint32(p, uint32(r.Node))
	return appendConfigChange(p, r.Key, r.Value, r.Remove)
}

// parseMetadataRecords reads what appendMetadataRecords wrote, to its last
// byte. It checks form only; apply checks sense.
//
// Errors: ErrUnknownVersion for a kind or a version that is not in the table;
// ErrInvalidMetadata.
func parseMetadataRecords(p []byte) ([]MetadataRecord, error) {
	var records []MetadataRecord
	d := metadataDecoder{rest: p}
	for len(d.rest) > 0 && d.err == nil {
		records = append(records, d.record())
	}
	if d.err != nil {
		return nil, fmt.Errorf("record %d: %w", len(records), d.err)
	}
	return records, nil
}

// metadataDecoder takes fields from the front of rest. After the first error it
// returns zero values only.
type metadataDecoder struct {
	rest []byte
	err  error
}

func (d *metadataDecoder) record() MetadataRecord {
	kind, version := d.byte(), d.byte()
	if d.err == nil && (kind < kindTopic || kind > kindNodeConfig || version != metadataRecordVersion) {
		d.err = fmt.Errorf("kind %d version %d, want kind 1 to %d version %d; a newer program wrote it: %w", kind, version, kindNodeConfig, metadataRecordVersion, ErrUnknownVersion)
		return nil
	}
	switch kind {
	case kindProducerIDs:
		return ProducerIDsRecord{Next: d.int64()}
	case kindNodeConfig:
		return NodeConfigRecord{Node: d.int32(), Remove: d.bool(), Key: d.string(), Value: d.string()}
	}
	var id TopicID
	copy(id[:], d.take(len(id)))
	switch kind {
	case kindTopic:
		return TopicRecord{ID: id, Partitions: d.int32(), Name: d.string(), Configs: d.configs()}
	case kindPartitions:
		return PartitionsRecord{ID: id, Partitions: d.int32()}
	case kindConfig:
		return ConfigRecord{ID: id, Remove: d.bool(), Key: d.string(), Value: d.string()}
	case kindRemoveTopic:
		return RemoveTopicRecord{ID: id}
	default:
		return PurgeTopicRecord{ID: id}
	}
}

func (d *metadataDecoder) configs() map[string]string {
	count := int(d.uint16())
	if count == 0 || d.err != nil {
		return nil
	}
	if least := 4 * count; count > maxConfigs || least > len(d.rest) {
		d.err = invalidMetadata("%d configs in %d bytes, want at most %d of 4 bytes and more", count, len(d.rest), maxConfigs)
		return nil
	}
	configs := make(map[string]string, count)
	last := ""
	for range count {
		key, value := d.string(), d.string()
		if d.err == nil && key <= last {
			d.err = invalidMetadata("config key %s after %s, want them sorted", quoted(key), quoted(last))
		}
		if d.err != nil {
			return nil
		}
		configs[key] = value
		last = key
	}
	return configs
}

// take returns the next n bytes, nil if there are not so many.
func (d *metadataDecoder) take(n int) []byte {
	if d.err == nil && n > len(d.rest) {
		d.err = invalidMetadata("%d bytes left, want %d", len(d.rest), n)
	}
	if d.err != nil {
		return nil
	}
	p := d.rest[:n]
	d.rest = d.rest[n:]
	return p
}

func (d *metadataDecoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *metadataDecoder) bool() bool {
	b := d.byte()
	if d.err == nil && b > 1 {
		d.err = invalidMetadata("flag %d, want 0 or 1", b)
	}
	return b == 1
}

func (d *metadataDecoder) uint16() uint16 {
	if p := d.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (d *metadataDecoder) int32() int32 {
	if p := d.take(4); p != nil {
		return int32(binary.BigEndian.Uint32(p))
	}
	return 0
}

func (d *metadataDecoder) int64() int64 {
	if p := d.take(8); p != nil {
		return int64(binary.BigEndian.Uint64(p))
	}
	return 0
}

func (d *metadataDecoder) string() string { return string(d.take(int(d.uint16()))) }
