package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

const apiVersionsKey = 18

// ApiVersions (key 18), versions 0 to 4: what this server serves.
//
// Version 3 is flexible, has the client's name, and features in its answer. A
// version that is too high is answered as version 0, with the error and the
// versions of this key alone (KIP-511); the header of the answer is the old one
// in every version. No feature is finalized: transactions are not there.
var apiVersionsAPI = &api{
	key: apiVersionsKey, name: "ApiVersions", min: 0, max: 4, flexible: 3,
	access: access{anyResource, anyOperation},
	handle: (*session).apiVersions,
}

func (s *session) apiVersions(r *request, out *netloop.Out) error {
	m, err := readApiVersions(&r.body, r.version)
	if err != nil {
		return err
	}
	response := kmsg.NewPtrApiVersionsResponse()
	if r.version >= 3 && (!isSoftwareName(m.ClientSoftwareName) || !isSoftwareName(m.ClientSoftwareVersion)) {
		response.ErrorCode = int16(codeInvalidRequest)
	} else {
		for _, a := range apis {
			response.ApiKeys = append(response.ApiKeys, kmsg.ApiVersionsResponseApiKey{ApiKey: a.key, MinVersion: a.min, MaxVersion: a.max})
		}
	}
	s.answer(&r.header, response, out)
	return nil
}

func readApiVersions(r *reader, version int16) (*kmsg.ApiVersionsRequest, error) {
	m := kmsg.NewPtrApiVersionsRequest()
	if version >= 3 {
		m.ClientSoftwareName = r.string()
		m.ClientSoftwareVersion = r.string()
	}
	r.tags()
	return m, r.end()
}

// isSoftwareName tells whether a client may be called so (KIP-511).
func isSoftwareName(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		if !alphanumeric && (i == 0 || i == len(s)-1 || c != '.' && c != '-') {
			return false
		}
	}
	return len(s) > 0
}

// refuseApiVersions answers a version that is too high, whose body nobody can
// read.
func (s *session) refuseApiVersions(r *request, out *netloop.Out) {
	response := kmsg.NewPtrApiVersionsResponse()
	response.ErrorCode = int16(codeUnsupportedVersion)
	response.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: r.api.key, MinVersion: r.api.min, MaxVersion: r.api.max}}
	r.version = 0
	s.answer(&r.header, response, out)
}
