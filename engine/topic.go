package engine

import (
	"fmt"
	"maps"
	"slices"

	"github.com/rollway/rollway/engine/topicconfig"
)

// Topic is a named set of partitions, as it was when it was looked up: altering
// a topic makes a new Topic over the same partitions. It is immutable.
type Topic struct {
	image      *TopicImage
	config     *topicconfig.Config
	defaults   *topicconfig.Defaults
	partitions []*Partition
}

// Name is the topic's name.
func (t *Topic) Name() string { return t.image.Name }

// ID persists as long as the topic does; a topic that is deleted and created
// anew has another one.
func (t *Topic) ID() TopicID { return t.image.ID }

// Internal tells whether the topic is the node's own.
func (t *Topic) Internal() bool { return t.partitions[0].internal }

// Partitions returns the topic's partitions, by index. Do not change it.
func (t *Topic) Partitions() []*Partition { return t.partitions }

// Partition returns one of them, or ErrUnknownPartition.
func (t *Topic) Partition(index int32) (*Partition, error) {
	if index < 0 || int(index) >= len(t.partitions) {
		return nil, fmt.Errorf("%w: %s has partitions 0 to %d, asked for %d", ErrUnknownPartition, t.Name(), len(t.partitions)-1, index)
	}
	return t.partitions[index], nil
}

// Config returns the settings that are in force. Do not change it.
func (t *Topic) Config() *topicconfig.Config { return t.config }

// Configs describes every topic config that Kafka knows: its value here, where
// that comes from, what else has one, and what it means.
func (t *Topic) Configs() []topicconfig.Entry {
	return topicconfig.Describe(t.image.Configs, *t.defaults)
}

// TopicSpec describes a topic to be created.
type TopicSpec struct {
	Name string
	// Partitions: 0 means Options.DefaultPartitions.
	Partitions int32
	// Configs are Kafka's topic configs, by name.
	Configs map[string]string
	// Internal says that the node makes the topic for itself: cleanup.policy may
	// be compact, which is kept for the cleaner to come; until then the topic
	// keeps everything.
	Internal bool
}

// TopicPlan is what a TopicSpec would become.
type TopicPlan struct {
	Partitions int32
	Configs    []topicconfig.Entry // as Topic.Configs
}

// TopicChange describes how a topic is altered, all at once or not at all. A
// config stands in one of its fields at most.
type TopicChange struct {
	Set   map[string]string
	Reset []string // back to the default
	// Append adds elements to configs that are lists, behind what holds for the
	// topic now, unless they are in it; Subtract takes them out. Commas stand
	// between elements.
	Append, Subtract map[string]string
	// ResetOthers has every config that is in no other field go back to its
	// default.
	ResetOthers bool
	// Partitions, if not 0, is how many the topic has then; more than now.
	Partitions int32
}

// Topic returns the topic of that name, or ErrUnknownTopic.
func (e *Engine) Topic(name string) (*Topic, error) {
	if t := (*e.topics.Load())[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrUnknownTopic, quoted(name))
}

// TopicByID returns the topic of that id, or ErrUnknownTopic. Nothing is
// allocated for one that is there.
func (e *Engine) TopicByID(id TopicID) (*Topic, error) {
	if image := e.metadata.Image().ByID[id]; image != nil {
		if t := (*e.topics.Load())[image.Name]; t != nil && t.ID() == id {
			return t, nil
		}
	}
	return nil, fmt.Errorf("%w: id %s", ErrUnknownTopic, id)
}

// Partition returns a partition by its topic's name, which may be a view of a
// receive buffer: nothing is allocated. Errors: ErrUnknownTopic,
// ErrUnknownPartition.
func (e *Engine) Partition(topic []byte, index int32) (*Partition, error) {
	t := (*e.topics.Load())[string(topic)]
	if t == nil {
		return nil, fmt.Errorf("%w: %s", ErrUnknownTopic, quoted(string(topic[:min(len(topic), maxTopicNameLen)])))
	}
	return t.Partition(index)
}

// Topics returns all topics by name. Do not change it.
func (e *Engine) Topics() map[string]*Topic { return *e.topics.Load() }

// CreateTopic makes a topic and its directories; both are durable when it
// returns. Errors: ErrInvalidTopicName, ErrTopicExists, ErrTopicNamesCollide,
// ErrInvalidPartitions, ErrInternalTopic, topicconfig's, ErrNoSpace (nothing was
// made, try again later), ErrStorageFailed.
func (e *Engine) CreateTopic(spec TopicSpec) (*Topic, error) {
	e.admin.Lock()
	defer e.admin.Unlock()
	if err := e.checkCreation(&spec); err != nil {
		return nil, err
	}
	id := NewTopicID()
	if err := e.makePartitionDirs(spec.Name, id, 0, spec.Partitions); err != nil {
		return nil, fmt.Errorf("create topic %s: %w", spec.Name, err)
	}
	record := TopicRecord{Name: spec.Name, ID: id, Partitions: spec.Partitions, Configs: maps.Clone(spec.Configs)}
	if err := e.commitMetadata(record); err != nil {
		e.abandonPartitionDirs(err, partitionDirNames(spec.Name, 0, spec.Partitions))
		return nil, fmt.Errorf("create topic %s: %w", spec.Name, err)
	}
	return e.Topic(spec.Name)
}

// CheckTopic tells whether CreateTopic would make the topic, and does nothing.
// Its errors are those of CreateTopic, but for those that only the disk knows.
func (e *Engine) CheckTopic(spec TopicSpec) (TopicPlan, error) {
	e.admin.Lock()
	defer e.admin.Unlock()
	if err := e.checkCreation(&spec); err != nil {
		return TopicPlan{}, err
	}
	return TopicPlan{Partitions: spec.Partitions, Configs: topicconfig.Describe(spec.Configs, *e.defaults.Load())}, nil
}

// checkCreation finds out whether spec can be a topic now, and fills in how many
// partitions it has.
func (e *Engine) checkCreation(spec *TopicSpec) error {
	if err := e.writable(); err != nil {
		return err
	}
	if spec.Partitions == 0 {
		spec.Partitions = e.options.DefaultPartitions
	}
	if err := e.checkSpec(*spec); err != nil {
		return err
	}
	if err := e.space.check(); err != nil {
		return fmt.Errorf("create topic %s: %w", spec.Name, err)
	}
	return nil
}

func (e *Engine) checkSpec(spec TopicSpec) error {
	if spec.Partitions < 1 {
		return fmt.Errorf("%w: topic %s with %d, want at least 1", ErrInvalidPartitions, spec.Name, spec.Partitions)
	}
	if err := validateTopicName(spec.Name, int(spec.Partitions)); err != nil {
		return err
	}
	if e.IsInternal(spec.Name) && !spec.Internal {
		return fmt.Errorf("%w: the node makes %s itself when it is needed", ErrInternalTopic, spec.Name)
	}
	for name := range e.Topics() {
		if name == spec.Name {
			return fmt.Errorf("%w: %s", ErrTopicExists, name)
		}
		if topicNamesCollide(name, spec.Name) {
			return fmt.Errorf("%w: %s and the new %s differ only in '.' and '_', which metric names do not tell apart", ErrTopicNamesCollide, name, spec.Name)
		}
	}
	if err := e.checkPartitionCount(spec.Partitions); err != nil {
		return err
	}
	parse := topicconfig.Parse
	if spec.Internal {
		parse = topicconfig.ParseStored
	}
	_, err := parse(spec.Configs, *e.defaults.Load())
	return err
}

// IsInternal tells whether a name is that of a topic of the node's own, which may
// not be there yet.
func (e *Engine) IsInternal(name string) bool { return slices.Contains(e.options.InternalTopics, name) }

// checkPartitionCount refuses more partitions than the directory may have.
func (e *Engine) checkPartitionCount(more int32) error {
	count := 0
	for _, t := range e.Topics() {
		count += len(t.partitions)
	}
	if count+int(more) > e.options.MaxPartitions {
		return fmt.Errorf("%w: %d more than the %d that there are, at most %d in all", ErrInvalidPartitions, more, count, e.options.MaxPartitions)
	}
	return nil
}

// AlterTopic changes configs and adds partitions. Errors: ErrUnknownTopic,
// ErrInvalidPartitions, ErrInternalTopic (of more partitions), topicconfig's,
// ErrNoSpace (nothing was changed; configs can be changed below the floor, too),
// ErrStorageFailed.
func (e *Engine) AlterTopic(name string, change TopicChange) (*Topic, error) {
	e.admin.Lock()
	defer e.admin.Unlock()
	t, records, err := e.checkChange(name, change)
	if err != nil {
		return nil, err
	}
	now := int32(len(t.partitions))
	if change.Partitions != 0 {
		if err := e.makePartitionDirs(name, t.ID(), now, change.Partitions); err != nil {
			return nil, fmt.Errorf("add partitions to topic %s: %w", name, err)
		}
	}
	if err := e.commitMetadata(records...); err != nil {
		e.abandonPartitionDirs(err, partitionDirNames(name, now, change.Partitions))
		return nil, fmt.Errorf("alter topic %s: %w", name, err)
	}
	return e.Topic(name)
}

// CheckChange tells whether AlterTopic would alter the topic, and does nothing.
// It returns the errors of AlterTopic, but for those that only the disk knows.
func (e *Engine) CheckChange(name string, change TopicChange) error {
	e.admin.Lock()
	defer e.admin.Unlock()
	_, _, err := e.checkChange(name, change)
	return err
}

// checkChange finds out whether the topic can be altered so now, and returns it
// and the change as records.
func (e *Engine) checkChange(name string, change TopicChange) (*Topic, []MetadataRecord, error) {
	if err := e.writable(); err != nil {
		return nil, nil, err
	}
	t, err := e.Topic(name)
	if err != nil {
		return nil, nil, err
	}
	records, err := e.configRecords(t, change)
	if err != nil {
		return nil, nil, fmt.Errorf("alter topic %s: %w", name, err)
	}
	if change.Partitions != 0 {
		if err := e.checkGrowth(t, change.Partitions); err != nil {
			return nil, nil, err
		}
		if err := e.space.check(); err != nil {
			return nil, nil, fmt.Errorf("add partitions to topic %s: %w", name, err)
		}
		records = append(records, PartitionsRecord{ID: t.ID(), Partitions: change.Partitions})
	}
	return t, records, nil
}

func (e *Engine) checkGrowth(t *Topic, partitions int32) error {
	now := int32(len(t.partitions))
	if e.IsInternal(t.Name()) {
		return fmt.Errorf("%w: %s keeps its %d partitions: what is in which would change", ErrInternalTopic, t.Name(), now)
	}
	if partitions <= now {
		return fmt.Errorf("%w: topic %s has %d, asked for %d: partitions can only be added", ErrInvalidPartitions, t.Name(), now, partitions)
	}
	if err := validateTopicName(t.Name(), int(partitions)); err != nil {
		return err
	}
	return e.checkPartitionCount(partitions - now)
}

// configRecords turns a change into records, checked against the topic's other
// configs.
func (e *Engine) configRecords(t *Topic, change TopicChange) ([]MetadataRecord, error) {
	configs := maps.Clone(t.image.Configs)
	if configs == nil {
		configs = map[string]string{}
	}
	change, err := change.resolve(t)
	if err != nil {
		return nil, err
	}
	var records []MetadataRecord
	for _, key := range change.Reset {
		if _, known := topicconfig.Lookup(key); !known {
			return nil, topicconfig.Validate(key, "")
		}
		delete(configs, key)
		records = append(records, ConfigRecord{ID: t.ID(), Key: key, Remove: true})
	}
	for _, key := range slices.Sorted(maps.Keys(change.Set)) {
		// What the topic has already may be what can no longer be asked for.
		if err := topicconfig.Validate(key, change.Set[key]); err != nil {
			return nil, err
		}
		configs[key] = change.Set[key]
		records = append(records, ConfigRecord{ID: t.ID(), Key: key, Value: change.Set[key]})
	}
	_, err = topicconfig.ParseStored(configs, *e.defaults.Load())
	return records, err
}

// resolve returns the change without what depends on the configs that t has: in
// its place Set and Reset have more.
func (c TopicChange) resolve(t *Topic) (TopicChange, error) {
	named := maps.Clone(c.Set)
	if named == nil {
		named = map[string]string{}
	}
	for _, key := range c.Reset {
		named[key] = ""
	}
	set := maps.Clone(c.Set)
	for _, edits := range []map[string]string{c.Append, c.Subtract} {
		for key := range edits {
			value, err := topicconfig.EditList(key, t.value(key), c.Append[key], c.Subtract[key])
			if err != nil {
				return TopicChange{}, err
			}
			if set == nil {
				set = map[string]string{}
			}
			set[key], named[key] = value, value
		}
	}
	reset := slices.Clone(c.Reset)
	if c.ResetOthers {
		for _, key := range slices.Sorted(maps.Keys(t.image.Configs)) {
			if _, ok := named[key]; !ok {
				reset = append(reset, key)
			}
		}
	}
	return TopicChange{Set: set, Reset: reset, Partitions: c.Partitions}, nil
}

// value returns what holds for a config, "" if there is no such config.
func (t *Topic) value(config string) string {
	for _, e := range t.Configs() {
		if e.Name == config {
			return e.Value
		}
	}
	return ""
}

// DeleteTopic removes a topic: from when it returns, no client sees it and no
// restart brings it back. Its directories are renamed at once, so that the name
// is free, and unlinked after file.delete.delay.ms; slices that are out stay
// valid. Errors: ErrUnknownTopic, ErrStorageFailed; ErrNoSpace on a full file
// system without ballast.
func (e *Engine) DeleteTopic(name string) error {
	e.admin.Lock()
	defer e.admin.Unlock()
	if err := e.writable(); err != nil {
		return err
	}
	t, err := e.Topic(name)
	if err != nil {
		return err
	}
	return e.deleteTopic(t)
}

// DeleteTopicByID is DeleteTopic for the topic of that id, and for no other that
// has its name by now.
func (e *Engine) DeleteTopicByID(id TopicID) error {
	e.admin.Lock()
	defer e.admin.Unlock()
	if err := e.writable(); err != nil {
		return err
	}
	t, err := e.TopicByID(id)
	if err != nil {
		return err
	}
	return e.deleteTopic(t)
}

// deleteTopic is DeleteTopic under e.admin.
func (e *Engine) deleteTopic(t *Topic) error {
	name := t.Name()
	if e.IsInternal(name) {
		return fmt.Errorf("%w: %s is in use by the node, and is not deleted", ErrInternalTopic, name)
	}
	if err := e.commitMetadata(RemoveTopicRecord{ID: t.ID()}); err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	dirs, err := e.renameDeleted(t.image)
	if err != nil {
		// The next start finds them by their topic id.
		e.options.Log.Warn("directories of a deleted topic stay until the next start", "topic", name, "error", err)
		return nil
	}
	e.removeLater(t.config.FileDeleteDelayMs, removal{dirs: dirs, topics: []TopicID{t.ID()}})
	return nil
}

// commitMetadata commits the records on top of what is there, and brings the
// topics in line. Under e.admin, so nobody else commits meanwhile.
func (e *Engine) commitMetadata(records ...MetadataRecord) error {
	e.metaMu.Lock()
	defer e.metaMu.Unlock()
	var image *MetadataImage
	err := e.withBallast(func() (err error) {
		image, err = e.metadata.Commit(e.metadata.Image().Version, records...)
		return err
	})
	if err != nil {
		if isFinal(err) {
			e.fail(err)
		}
		return forWantOfSpace(err)
	}
	return e.reconcile(image)
}

// reconcile makes the topics those of the image: a topic that is new gets empty
// partitions, one that is gone stops its own, and where the settings of the node
// have changed all get their configs anew.
func (e *Engine) reconcile(image *MetadataImage) error {
	if err := e.applyNodeConfigs(image); err != nil {
		return err
	}
	defaults := e.defaults.Load()
	before := *e.topics.Load()
	after := make(map[string]*Topic, len(image.Topics))
	for name, ti := range image.Topics {
		old := before[name]
		if old != nil && old.image == ti && old.defaults == defaults {
			after[name] = old
			continue
		}
		if old != nil && old.ID() != ti.ID {
			old = nil
		}
		t, err := e.newTopic(ti, old)
		if err != nil {
			return err
		}
		after[name] = t
	}
	e.topics.Store(&after)
	for name, old := range before {
		if t := after[name]; t == nil || t.ID() != old.ID() {
			for _, p := range old.partitions {
				p.stop(Deleted, nil)
			}
		}
	}
	return nil
}

// newTopic builds a topic over the partitions of old, which may be nil.
func (e *Engine) newTopic(image *TopicImage, old *Topic) (*Topic, error) {
	defaults := e.defaults.Load()
	config, err := topicconfig.ParseStored(image.Configs, *defaults)
	if err != nil {
		return nil, fmt.Errorf("topic %s: %w", image.Name, err)
	}
	// What the node has set for its own topics says what holds once it is built.
	if missing := topicconfig.Unbuilt(image.Configs); missing != "" && !e.IsInternal(image.Name) && (old == nil || old.image != image) {
		e.options.Log.Warn("topic config has no effect", "topic", image.Name, "reason", missing)
	}
	t := &Topic{image: image, config: config, defaults: defaults}
	if old != nil {
		t.partitions = old.partitions[:len(old.partitions):len(old.partitions)]
	}
	for _, p := range t.partitions {
		p.configure(config)
	}
	for index := int32(len(t.partitions)); index < image.Partitions; index++ {
		p := newPartition(e, image, index, config)
		if e.started {
			p.state.Store(int32(Ready))
		}
		t.partitions = append(t.partitions, p)
	}
	return t, nil
}

// configure puts another config in force. What was visible before it was synced
// is synced now if the new one promises that.
func (p *Partition) configure(config *topicconfig.Config) {
	p.log.settings.Store(config)
	if config.Durable() && p.marks.Load().flushed.offset < p.marks.Load().logEnd.offset {
		p.engine.committer.add(p)
	}
}
