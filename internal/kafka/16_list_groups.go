package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// ListGroups (key 16), versions 0 to 5: which groups there are.
//
// Version 3 is flexible, 4 has states and a filter by them (KIP-518), 5 types and
// a filter by them (KIP-848): all groups are classic ones.
var listGroupsAPI = &api{
	key: 16, name: "ListGroups", min: 0, max: 5, flexible: 3,
	access: access{groupResource, describeOperation},
	handle: (*session).listGroups,
}

// classicType is the type of all groups, as Kafka's tools name it.
const classicType = "classic"

func (s *session) listGroups(r *request, out *netloop.Out) error {
	m, err := readListGroups(&r.body, r.version)
	if err != nil {
		return err
	}
	found, code := s.groups().List(m.StatesFilter, m.TypesFilter)
	response := kmsg.NewPtrListGroupsResponse()
	response.ErrorCode = int16(code)
	response.Groups = make([]kmsg.ListGroupsResponseGroup, 0, len(found))
	for _, l := range found {
		g := kmsg.NewListGroupsResponseGroup()
		g.Group, g.ProtocolType, g.GroupState, g.GroupType = l.Group, l.ProtocolType, l.State.String(), classicType
		response.Groups = append(response.Groups, g)
	}
	s.answer(&r.header, response, out)
	return nil
}

func readListGroups(r *reader, version int16) (*kmsg.ListGroupsRequest, error) {
	m := kmsg.NewPtrListGroupsRequest()
	m.Version = version
	if version >= 4 {
		m.StatesFilter = nonNull(r, slice(r, 1, (*reader).string))
	}
	if version >= 5 {
		m.TypesFilter = nonNull(r, slice(r, 1, (*reader).string))
	}
	r.tags()
	return m, r.end()
}
