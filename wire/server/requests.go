package server

import (
	"strings"
	"time"

	"github.com/rollway/rollway/internal/metrics"
	"github.com/rollway/rollway/wire"
)

// requestsSpec names requests by their kinds, as docs/protocol.md does, and codes
// likewise, in the form of a label.
func requestsSpec() metrics.FrontendSpec {
	spec := metrics.FrontendSpec{Name: "wire", Codes: []string{"none"}}
	for k := wire.Kind(0); !k.FromServer(); k++ {
		name := ""
		if k.Known() {
			name = k.String()
		}
		spec.APIs = append(spec.APIs, name)
	}
	for c := wire.Code(1); c.Known(); c++ {
		spec.Codes = append(spec.Codes, strings.ReplaceAll(c.String(), " ", "_"))
	}
	return spec
}

// count counts a request that was taken at started and is answered now, or needs
// no answer.
func (s *session) count(kind wire.Kind, code wire.Code, started time.Time) {
	s.requests.Request(int(kind), int(code), time.Since(started))
}
