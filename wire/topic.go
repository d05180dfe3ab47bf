package wire

import "math"

// Config is one setting of a topic.
//
//	at  len  field
//	 0    .  key    string, 1..255 bytes
//	 .    .  value  string, 0..8192 bytes
type Config struct {
	Key, Value string
}

// configMinSize is the least an encoded Config takes.
const configMinSize = 2 + 2

// ServerDefault as the partitions of a CreateTopic lets the server choose how
// many.
const ServerDefault = -1

// CreateTopic makes a topic. It is answered by Done once the topic is durable.
//
//	at  len  field
//	 0    .  topic       string, 1..249 bytes
//	 .    4  partitions  i32, >= 1, or -1: as many as the server makes by default
//	 .    .  configs     array of Config, at most 1024
type CreateTopic struct {
	Topic      string
	Partitions int32
	Configs    []Config
}

// Check returns an Error if a field is out of range. Which names, keys and
// values are good is for the server to say.
func (m *CreateTopic) Check() error {
	c := checks{kind: KindCreateTopic}
	c.topicString(m.Topic)
	if m.Partitions != ServerDefault && m.Partitions < 1 {
		c.failf("partitions: %d, want at least 1, or %d for the server's default", m.Partitions, ServerDefault)
	}
	checkConfigs(&c, "configs", m.Configs)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *CreateTopic) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendI32(dst, m.Partitions)
	dst = appendConfigs(dst, m.Configs)
	return endFrame(dst, at, Head{Kind: KindCreateTopic, RequestID: requestID}, 0)
}

// ParseCreateTopic reads a CreateTopic.
func ParseCreateTopic(f Frame) (CreateTopic, error) {
	r := open(f, KindCreateTopic, 0)
	m := CreateTopic{
		Topic:      r.text("topic"),
		Partitions: r.i32("partitions"),
		Configs:    readConfigs(&r, "configs"),
	}
	if err := r.close(); err != nil {
		return CreateTopic{}, err
	}
	return m, m.Check()
}

// DescribeTopic asks for the TopicDescription of a topic.
//
//	at  len  field
//	 0    .  topic  string, 1..249 bytes
type DescribeTopic struct {
	Topic string
}

// Check returns an Error if a field is out of range.
func (m *DescribeTopic) Check() error {
	c := checks{kind: KindDescribeTopic}
	c.topicString(m.Topic)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *DescribeTopic) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	return endFrame(dst, at, Head{Kind: KindDescribeTopic, RequestID: requestID}, 0)
}

// ParseDescribeTopic reads a DescribeTopic.
func ParseDescribeTopic(f Frame) (DescribeTopic, error) {
	r := open(f, KindDescribeTopic, 0)
	m := DescribeTopic{Topic: r.text("topic")}
	if err := r.close(); err != nil {
		return DescribeTopic{}, err
	}
	return m, m.Check()
}

// ListTopics asks for the TopicList. Its payload is empty.
type ListTopics struct{}

// Check returns nil: there is nothing that could be wrong.
func (m *ListTopics) Check() error { return nil }

// AppendTo appends the frame to dst.
func (m *ListTopics) AppendTo(dst []byte, requestID uint32) []byte {
	return AppendHead(dst, Head{Kind: KindListTopics, RequestID: requestID})
}

// ParseListTopics reads a ListTopics.
func ParseListTopics(f Frame) (ListTopics, error) {
	r := open(f, KindListTopics, 0)
	return ListTopics{}, r.close()
}

// AlterTopic changes configs of a topic and adds partitions, all or nothing.
// It is answered by Done once the change is durable.
//
//	at  len  field
//	 0    .  topic       string, 1..249 bytes
//	 .    .  set         array of Config, at most 1024
//	 .    .  reset       array of string, 1..255 bytes each, at most 1024: keys that go back to their default
//	 .    4  partitions  i32: how many the topic shall have in all, more than it has; 0: as it is
type AlterTopic struct {
	Topic      string
	Set        []Config
	Reset      []string
	Partitions int32
}

// Check returns an Error if a field is out of range.
func (m *AlterTopic) Check() error {
	c := checks{kind: KindAlterTopic}
	c.topicString(m.Topic)
	checkConfigs(&c, "set", m.Set)
	c.within("reset, count", int64(len(m.Reset)), 0, MaxConfigs)
	for _, key := range m.Reset {
		c.text("reset key", key, 1, MaxName)
	}
	c.within("partitions", int64(m.Partitions), 0, math.MaxInt32)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *AlterTopic) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendConfigs(dst, m.Set)
	dst = appendU32(dst, uint32(len(m.Reset)))
	for _, key := range m.Reset {
		dst = appendString(dst, key)
	}
	dst = appendI32(dst, m.Partitions)
	return endFrame(dst, at, Head{Kind: KindAlterTopic, RequestID: requestID}, 0)
}

// ParseAlterTopic reads an AlterTopic.
func ParseAlterTopic(f Frame) (AlterTopic, error) {
	r := open(f, KindAlterTopic, 0)
	m := AlterTopic{
		Topic:      r.text("topic"),
		Set:        readConfigs(&r, "set"),
		Reset:      readKeys(&r, "reset"),
		Partitions: r.i32("partitions"),
	}
	if err := r.close(); err != nil {
		return AlterTopic{}, err
	}
	return m, m.Check()
}

// DeleteTopic removes a topic and its records. It is answered by Done once the
// removal is durable.
//
//	at  len  field
//	 0    .  topic  string, 1..249 bytes
type DeleteTopic struct {
	Topic string
}

// Check returns an Error if a field is out of range.
func (m *DeleteTopic) Check() error {
	c := checks{kind: KindDeleteTopic}
	c.topicString(m.Topic)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *DeleteTopic) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	return endFrame(dst, at, Head{Kind: KindDeleteTopic, RequestID: requestID}, 0)
}

// ParseDeleteTopic reads a DeleteTopic.
func ParseDeleteTopic(f Frame) (DeleteTopic, error) {
	r := open(f, KindDeleteTopic, 0)
	m := DeleteTopic{Topic: r.text("topic")}
	if err := r.close(); err != nil {
		return DeleteTopic{}, err
	}
	return m, m.Check()
}

// Done answers CreateTopic, AlterTopic and DeleteTopic: what was asked for has
// happened. Its payload is empty.
type Done struct{}

// Check returns nil: there is nothing that could be wrong.
func (m *Done) Check() error { return nil }

// AppendTo appends the frame to dst.
func (m *Done) AppendTo(dst []byte, requestID uint32) []byte {
	return AppendHead(dst, Head{Kind: KindDone, RequestID: requestID})
}

// ParseDone reads a Done.
func ParseDone(f Frame) (Done, error) {
	r := open(f, KindDone, 0)
	return Done{}, r.close()
}

// checkConfigs checks the count and each key and value.
func checkConfigs(c *checks, field string, configs []Config) {
	c.within(field+", count", int64(len(configs)), 0, MaxConfigs)
	for _, config := range configs {
		c.text(field+", key", config.Key, 1, MaxName)
		c.text(field+", value", config.Value, 0, MaxConfigValue)
	}
}

// appendConfigs appends the array.
func appendConfigs(dst []byte, configs []Config) []byte {
	dst = appendU32(dst, uint32(len(configs)))
	for _, config := range configs {
		dst = appendString(dst, config.Key)
		dst = appendString(dst, config.Value)
	}
	return dst
}

// readConfigs reads the array; of none it returns nil.
func readConfigs(r *reader, field string) []Config {
	n := r.configCount(field, configMinSize)
	if n == 0 {
		return nil
	}
	configs := make([]Config, n)
	for i := range configs {
		configs[i] = Config{Key: r.text(field + ", key"), Value: r.text(field + ", value")}
	}
	return configs
}

// readKeys reads an array of config keys; of none it returns nil.
func readKeys(r *reader, field string) []string {
	n := r.configCount(field, 2)
	if n == 0 {
		return nil
	}
	keys := make([]string, n)
	for i := range keys {
		keys[i] = r.text(field)
	}
	return keys
}
