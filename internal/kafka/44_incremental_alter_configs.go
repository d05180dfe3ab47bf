package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// IncrementalAlterConfigs (key 44), versions 0 and 1: sets configs of a topic or
// of a broker, has them go back to their defaults, and edits lists (KIP-339).
//
// Version 1 is flexible.
var incrementalAlterConfigsAPI = &api{
	key: 44, name: "IncrementalAlterConfigs", min: 0, max: 1, flexible: 1,
	access: access{topicResource, alterConfigsOperation},
	handle: (*session).incrementalAlterConfigs,
}

func (s *session) incrementalAlterConfigs(r *request, out *netloop.Out) error {
	m, err := readIncrementalAlterConfigs(&r.body, r.version)
	if err != nil {
		return err
	}
	s.run(r, out, func() kmsg.Response { return s.incrementalAlterConfigsResponse(m) })
	return nil
}

func readIncrementalAlterConfigs(r *reader, version int16) (*kmsg.IncrementalAlterConfigsRequest, error) {
	m := kmsg.NewPtrIncrementalAlterConfigsRequest()
	m.Version = version
	m.Resources = nonNull(r, slice(r, 3, func(r *reader) kmsg.IncrementalAlterConfigsRequestResource {
		a := kmsg.NewIncrementalAlterConfigsRequestResource()
		a.ResourceType = kmsg.ConfigResourceType(r.int8())
		a.ResourceName = r.string()
		a.Configs = nonNull(r, slice(r, 4, func(r *reader) kmsg.IncrementalAlterConfigsRequestResourceConfig {
			c := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
			c.Name = r.string()
			c.Op = kmsg.IncrementalAlterConfigOp(r.int8())
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

// incrementalAlterConfigsResponse alters one resource after another.
func (s *session) incrementalAlterConfigsResponse(m *kmsg.IncrementalAlterConfigsRequest) kmsg.Response {
	alterations := make([]configAlteration, len(m.Resources))
	for i, r := range m.Resources {
		a := configAlteration{of: configResource{r.ResourceType, r.ResourceName}, edits: make([]configEdit, len(r.Configs))}
		for j, c := range r.Configs {
			a.edits[j] = configEdit{c.Name, c.Op, c.Value}
		}
		alterations[i] = a
	}
	response := kmsg.NewPtrIncrementalAlterConfigsResponse()
	s.alterAll(alterations, configOptions{checkOnly: m.ValidateOnly}, func(of configResource, err error) {
		a := kmsg.NewIncrementalAlterConfigsResponseResource()
		a.ResourceType, a.ResourceName = of.kind, of.name
		a.ErrorCode, a.ErrorMessage = s.outcome("IncrementalAlterConfigs", err)
		response.Resources = append(response.Resources, a)
	})
	return response
}
