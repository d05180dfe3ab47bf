package kafka

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/netloop"
)

// DescribeConfigs (key 32), versions 1 to 4: what holds for a topic or a broker,
// and why.
//
// Version 1 has sources and synonyms, 3 types and documentation, 4 is flexible.
// Topics have every config that Kafka knows, brokers every setting; "" for a
// broker is what was altered for all of them. No keys mean all of them, by null
// or by an empty list.
//
// An answer has at most the bytes that the request may cost: one that would have
// more comes without documentation, and if that is not enough the last resources
// are refused.
var describeConfigsAPI = &api{
	key: 32, name: "DescribeConfigs", min: 1, max: 4, flexible: 4,
	access: access{topicResource, describeConfigsOperation},
	handle: (*session).describeConfigs,
}

func (s *session) describeConfigs(r *request, out *netloop.Out) error {
	m, err := readDescribeConfigs(&r.body, r.version)
	if err != nil {
		return err
	}
	dst, start := r.begin(out.Buf)
	dst, first := s.describeResources(dst, m, r.body.memory)
	out.Buf = finish(dst, start, 0)
	s.count(&r.header, first)
	return nil
}

// readDescribeConfigs decodes a request; ConfigNames is nil where all keys are
// meant.
func readDescribeConfigs(r *reader, version int16) (*kmsg.DescribeConfigsRequest, error) {
	m := kmsg.NewPtrDescribeConfigsRequest()
	m.Version = version
	m.Resources = nonNull(r, slice(r, 3, func(r *reader) kmsg.DescribeConfigsRequestResource {
		d := kmsg.NewDescribeConfigsRequestResource()
		d.ResourceType = kmsg.ConfigResourceType(r.int8())
		d.ResourceName = r.string()
		d.ConfigNames = slice(r, 1, (*reader).string)
		r.tags()
		return d
	}))
	r.chargeTexts(len(m.Resources))
	m.IncludeSynonyms = r.bool()
	if version >= 3 {
		m.IncludeDocumentation = r.bool()
	}
	r.tags()
	return m, r.end()
}

// describeResources appends the body of the answer, of about memory bytes at
// most. first is the first error in it.
func (s *session) describeResources(dst []byte, m *kmsg.DescribeConfigsRequest, memory int64) (_ []byte, first code) {
	start := len(dst)
	w := configsWriter{session: s, request: m, room: memory, documentation: m.IncludeDocumentation}
	w.response.Version = m.Version
	if dst = w.append(dst); w.full && w.documentation {
		w.room, w.full, w.documentation, w.first = memory, false, false, codeNone
		dst = w.append(dst[:start])
	}
	return dst, w.first
}

// configsWriter encodes the answer resource by resource: all of them at once
// would take several times the memory.
type configsWriter struct {
	session       *session
	request       *kmsg.DescribeConfigsRequest
	documentation bool

	room  int64 // bytes that the answer may still have
	full  bool  // what is there no longer fits into it
	first code  // the first refusal

	response kmsg.DescribeConfigsResponse // of the resource at hand; what it has is used again
	encoded  []byte

	// What was described last, which is often asked for again by other keys.
	last    kmsg.DescribeConfigsRequestResource
	entries []configEntry
	err     error
}

// append appends the body of the answer.
func (w *configsWriter) append(dst []byte) []byte {
	flexible := w.request.IsFlexible()
	dst = binary.BigEndian.AppendUint32(dst, 0) // the throttle time
	if flexible {
		dst = binary.AppendUvarint(dst, uint64(len(w.request.Resources))+1)
	} else {
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(w.request.Resources)))
	}
	for i := range w.request.Resources {
		dst = append(dst, w.resource(&w.request.Resources[i])...)
	}
	if flexible {
		dst = append(dst, 0) // no tagged fields
	}
	return dst
}

// resource returns the encoded answer about one resource, valid until the next
// call.
func (w *configsWriter) resource(asked *kmsg.DescribeConfigsRequestResource) []byte {
	if w.full {
		return w.refusal(asked, errTooManyConfigs)
	}
	if w.entries == nil && w.err == nil || asked.ResourceType != w.last.ResourceType || asked.ResourceName != w.last.ResourceName {
		w.last = *asked
		w.entries, w.err = w.session.configsOf(asked.ResourceType, asked.ResourceName)
	}
	if w.err != nil {
		return w.refusal(asked, w.err)
	}
	d := w.begin(asked)
	for i, wanted := range wantedEntries(w.entries, asked.ConfigNames) {
		if wanted {
			d.Configs = append(d.Configs, w.describe(&w.entries[i]))
		}
	}
	encoded := w.encode()
	if int64(len(encoded)) > w.room {
		w.full = true
		return w.refusal(asked, errTooManyConfigs)
	}
	w.room -= int64(len(encoded))
	return encoded
}

// errTooManyConfigs is the answer about resources that have no room in it.
var errTooManyConfigs = fmt.Errorf("%w: the answer would be too large; describe fewer resources at once, or fewer keys", errInvalidRequest)

// refusal is resource for one that cannot be described.
func (w *configsWriter) refusal(asked *kmsg.DescribeConfigsRequestResource, err error) []byte {
	d := w.begin(asked)
	d.ErrorCode, d.ErrorMessage = w.session.outcome("DescribeConfigs", err)
	if w.first == codeNone {
		w.first = code(d.ErrorCode)
	}
	return w.encode()
}

// begin empties the response but for what was asked.
func (w *configsWriter) begin(asked *kmsg.DescribeConfigsRequestResource) *kmsg.DescribeConfigsResponseResource {
	if w.response.Resources == nil {
		w.response.Resources = []kmsg.DescribeConfigsResponseResource{kmsg.NewDescribeConfigsResponseResource()}
	}
	d := &w.response.Resources[0]
	d.ErrorCode, d.ErrorMessage = 0, nil
	d.ResourceType, d.ResourceName, d.Configs = asked.ResourceType, asked.ResourceName, d.Configs[:0]
	return d
}

// encode returns the one resource of the response, without what stands around
// it: the throttle time, the count of resources, and tagged fields.
func (w *configsWriter) encode() []byte {
	w.encoded = w.response.AppendTo(w.encoded[:0])
	if w.response.IsFlexible() {
		return w.encoded[4+1 : len(w.encoded)-1]
	}
	return w.encoded[4+4:]
}

// describe returns an entry as the version has it.
func (w *configsWriter) describe(e *configEntry) kmsg.DescribeConfigsResponseResourceConfig {
	c := kmsg.NewDescribeConfigsResponseResourceConfig()
	c.Name, c.ReadOnly, c.IsSensitive = e.name, e.readOnly, e.sensitive
	c.Source, c.ConfigType = configSources[e.source], configTypes[e.kind]
	if !e.unset && !e.sensitive {
		c.Value = &e.value
	}
	if w.documentation {
		c.Documentation = &e.documentation
	}
	if !w.request.IncludeSynonyms {
		return c
	}
	c.ConfigSynonyms = make([]kmsg.DescribeConfigsResponseResourceConfigConfigSynonym, len(e.origins))
	for i := range e.origins {
		o, origin := &c.ConfigSynonyms[i], &e.origins[i]
		o.Name, o.Source = origin.Name, configSources[origin.Source]
		if !e.sensitive {
			o.Value = &origin.Value
		}
	}
	return c
}

// wantedEntries says which of the entries, which are sorted by name, are asked
// for; no names ask for all.
func wantedEntries(entries []configEntry, names []string) []bool {
	wanted := make([]bool, len(entries))
	for i := range wanted {
		wanted[i] = len(names) == 0
	}
	for _, name := range names {
		i, found := slices.BinarySearchFunc(entries, name, func(e configEntry, name string) int { return strings.Compare(e.name, name) })
		if found {
			wanted[i] = true
		}
	}
	return wanted
}

// configEntry is one config of a topic or setting of a broker.
type configEntry struct {
	name          string
	value         string
	unset         bool // there is no value
	source        topicconfig.Source
	origins       []topicconfig.Origin
	kind          topicconfig.Type
	documentation string
	readOnly      bool
	sensitive     bool
}

// configsOf returns what holds for a resource, sorted by name.
func (s *session) configsOf(kind kmsg.ConfigResourceType, name string) ([]configEntry, error) {
	switch kind {
	case kmsg.ConfigResourceTypeTopic:
		return s.topicConfigs(name)
	case kmsg.ConfigResourceTypeBroker:
		return s.brokerConfigs(name)
	}
	return nil, unknownResource(kind)
}

// unknownResource refuses resources that have no configs here.
func unknownResource(kind kmsg.ConfigResourceType) error {
	return fmt.Errorf("%w: configs of resource type %d, want %d (topics) or %d (brokers)",
		errInvalidRequest, kind, kmsg.ConfigResourceTypeTopic, kmsg.ConfigResourceTypeBroker)
}

// topicConfigs describes a topic.
func (f *frontend) topicConfigs(name string) ([]configEntry, error) {
	t, err := f.topicWithConfigs(name)
	if err != nil {
		return nil, err
	}
	configs := t.Configs()
	entries := make([]configEntry, len(configs))
	for i := range configs {
		c := &configs[i]
		entries[i] = configEntry{name: c.Name, value: c.Value, source: c.Source, origins: c.Origins, kind: c.Type, documentation: c.Documentation}
	}
	return entries, nil
}

// topicWithConfigs returns the topic whose configs are meant.
func (f *frontend) topicWithConfigs(name string) (*engine.Topic, error) {
	if !engine.IsTopicName(name) {
		return nil, fmt.Errorf("%w: %.100q", engine.ErrInvalidTopicName, name)
	}
	return f.engine.Topic(name)
}
