package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
)

// SaslHandshake (key 17), versions 0 and 1: how a client is to prove who it is.
//
// Every listener is a PLAINTEXT one, where that is not asked for: Kafka answers
// ILLEGAL_SASL_STATE there, and so does this server. It is advertised since
// clients look for it to find out how old a server is.
var saslHandshakeAPI = &api{
	key: 17, name: "SASLHandshake", min: 0, max: 1, flexible: 2,
	access: access{anyResource, anyOperation},
	handle: (*session).saslHandshake,
}

func (s *session) saslHandshake(r *request, out *netloop.Out) error {
	if _, err := readSaslHandshake(&r.body, r.version); err != nil {
		return err
	}
	response := kmsg.NewPtrSASLHandshakeResponse()
	response.ErrorCode = int16(codeIllegalSaslState)
	s.answer(&r.header, response, out)
	return nil
}

func readSaslHandshake(r *reader, _ int16) (*kmsg.SASLHandshakeRequest, error) {
	m := kmsg.NewPtrSASLHandshakeRequest()
	m.Mechanism = r.string()
	return m, r.end()
}
