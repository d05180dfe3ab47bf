package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// SaslAuthenticate (key 36), versions 0 to 2: a step of what SaslHandshake has
// begun, which nothing has on a PLAINTEXT listener: ILLEGAL_SASL_STATE.
//
// Version 1 has the lifetime of a session in its answer, 2 is flexible.
var saslAuthenticateAPI = &api{
	key: 36, name: "SASLAuthenticate", min: 0, max: 2, flexible: 2,
	access: access{anyResource, anyOperation},
	handle: (*session).saslAuthenticate,
}

func (s *session) saslAuthenticate(r *request, out *netloop.Out) error {
	if _, err := readSaslAuthenticate(&r.body, r.version); err != nil {
		return err
	}
	response := kmsg.NewPtrSASLAuthenticateResponse()
	response.ErrorCode = int16(codeIllegalSaslState)
	response.ErrorMessage = kmsg.StringPtr("this listener is PLAINTEXT, nobody authenticates here")
	s.answer(&r.header, response, out)
	return nil
}

func readSaslAuthenticate(r *reader, _ int16) (*kmsg.SASLAuthenticateRequest, error) {
	m := kmsg.NewPtrSASLAuthenticateRequest()
	m.SASLAuthBytes = r.bytes()
	r.tags()
	return m, r.end()
}
