package kafka

import (
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/coord"
	"github.com/rollway/rollway/internal/netloop"
)

// DeleteGroups (key 42), versions 0 to 2: removes groups that have no members,
// with their offsets, durably. A group that is named again is answered once.
//
// Version 2 is flexible.
var deleteGroupsAPI = &api{
	key: 42, name: "DeleteGroups", min: 0, max: 2, flexible: 2,
	access: access{groupResource, deleteOperation},
	handle: (*session).deleteGroups,
}

func (s *session) deleteGroups(r *request, out *netloop.Out) error {
	m, err := readDeleteGroups(&r.body, r.version)
	if err != nil {
		return err
	}
	var deleted []string
	var pending []*coord.Pending[coord.Code]
	names := occurrencesOf(m.Groups, func(name *string) string { return *name })
	for _, name := range m.Groups {
		if names.take(name) > 0 {
			deleted = append(deleted, name)
			pending = append(pending, s.groups().DeleteGroup(name, time.Now()))
		}
	}
	await(s, r, out, nil, func(codes []coord.Code) kmsg.Response {
		response := kmsg.NewPtrDeleteGroupsResponse()
		for i, name := range deleted {
			g := kmsg.NewDeleteGroupsResponseGroup()
			g.Group, g.ErrorCode = name, int16(codes[i])
			response.Groups = append(response.Groups, g)
		}
		return response
	}, pending...)
	return nil
}

func readDeleteGroups(r *reader, version int16) (*kmsg.DeleteGroupsRequest, error) {
	m := kmsg.NewPtrDeleteGroupsRequest()
	m.Version = version
	m.Groups = nonNull(r, slice(r, 1, (*reader).string))
	r.charge(int64(len(m.Groups)) * int64(sizeOf(coord.Pending[coord.Code]{})))
	r.tags()
	return m, r.end()
}
