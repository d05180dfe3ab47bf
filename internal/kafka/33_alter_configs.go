package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// AlterConfigs (key 33), versions 0 to 2: sets all configs of a topic or of a
// broker. What the request does not name goes back to its default.
//
// Version 2 is flexible. Clients of Kafka 4 have IncrementalAlterConfigs only.
var alterConfigsAPI = &api{
	key: 33, name: "AlterConfigs", min: 0, max: 2, flexible: 2,
	access: access{topicResource, alterConfigsOperation},
	handle: (*session).alterConfigs,
}

func (s *session) alterConfigs(r *request, out *netloop.Out) error {
	m, err := readAlterConfigs(&r.body, r.version)
	if err != nil {
		return err
	}
	s.run(r, out, func() kmsg.Response { return s.alterConfigsResponse(m) })
	return nil
}

func readAlterConfigs(r *reader, version int16) (*kmsg.AlterConfigsRequest, error) {
	m := kmsg.NewPtrAlterConfigsRequest()
	m.Version = version
	m.Resources = nonNull(r, slice(r, 3, func(r *reader) kmsg.AlterConfigsRequestResource {
		a := kmsg.NewAlterConfigsRequestResource()
		a.ResourceType = kmsg.ConfigResourceType(r.int8())
		a.ResourceName = r.string()
		a.Configs = nonNull(r, slice(r, 3, func(r *reader) kmsg.AlterConfigsRequestResourceConfig {
			c := kmsg.NewAlterConfigsRequestResourceConfig()
			c.Name = r.string()
			c.Value = r.nullableString()
			r.tags()
			return c
		}))
		r.tags()
		return a
	}))
	r.chargeTexts(len(m.Resources))
	m.ValidateOnly = r.bool()
	r.tags()
	return m, r.end()
}

// alterConfigsResponse alters one resource after another.
func (s *session) alterConfigsResponse(m *kmsg.AlterConfigsRequest) kmsg.Response {
	alterations := make([]configAlteration, len(m.Resources))
	for i, r := range m.Resources {
		a := configAlteration{of: configResource{r.ResourceType, r.ResourceName}, edits: make([]configEdit, len(r.Configs))}
		for j, c := range r.Configs {
			a.edits[j] = configEdit{c.Name, kmsg.IncrementalAlterConfigOpSet, c.Value}
		}
		alterations[i] = a
	}
	response := kmsg.NewPtrAlterConfigsResponse()
	s.alterAll(alterations, configOptions{replace: true, checkOnly: m.ValidateOnly}, func(of configResource, err error) {
		a := kmsg.NewAlterConfigsResponseResource()
		a.ResourceType, a.ResourceName = of.kind, of.name
		a.ErrorCode, a.ErrorMessage = s.outcome("AlterConfigs", err)
		response.Resources = append(response.Resources, a)
	})
	return response
}
