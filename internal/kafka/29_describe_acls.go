package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// DescribeAcls (key 29), versions 1 to 3: what is allowed to whom.
//
// Version 2 is flexible, 3 has users as a kind of resource. There is no
// authorizer, which is what the answer says, so that whoever probes for one
// knows.
var describeACLsAPI = &api{
	key: 29, name: "DescribeACLs", min: 1, max: 3, flexible: 2,
	access: access{clusterResource, describeOperation},
	handle: (*session).describeACLs,
}

func (s *session) describeACLs(r *request, out *netloop.Out) error {
	if _, err := readDescribeACLs(&r.body, r.version); err != nil {
		return err
	}
	response := kmsg.NewPtrDescribeACLsResponse()
	text := "no authorizer is configured: everybody may do everything"
	response.ErrorCode, response.ErrorMessage = int16(codeSecurityDisabled), &text
	s.answer(&r.header, response, out)
	return nil
}

func readDescribeACLs(r *reader, version int16) (*kmsg.DescribeACLsRequest, error) {
	m := kmsg.NewPtrDescribeACLsRequest()
	m.Version = version
	m.ResourceType = kmsg.ACLResourceType(r.int8())
	m.ResourceName = r.nullableString()
	m.ResourcePatternType = kmsg.ACLResourcePatternType(r.int8())
	m.Principal = r.nullableString()
	m.Host = r.nullableString()
	m.Operation = kmsg.ACLOperation(r.int8())
	m.PermissionType = kmsg.ACLPermissionType(r.int8())
	r.tags()
	return m, r.end()
}
