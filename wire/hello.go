package wire

import "math"

// Version is the version of the protocol that this package speaks, the only
// one there is.
const Version = 1

// Hello is the first frame on a connection; no other may be.
//
//	at  len  field
//	 0    2  minVersion       lowest version that the client speaks
//	 2    2  maxVersion       highest
//	 4    .  software         string, 1..255 bytes
//	 .    .  softwareVersion  string, 1..255 bytes
//	 .    .  mechanism        string, 0..20 bytes: how the client authenticates; empty: it does not
//	 .    .  auth             bytes, 0..16384: what the mechanism says; empty if mechanism is
//
// Kind and the two versions are the same in all versions; what follows has the
// layout of minVersion.
type Hello struct {
	MinVersion, MaxVersion    uint16
	Software, SoftwareVersion string
	Mechanism                 string
	Auth                      []byte
}

// Check returns an Error if a field is out of range: one of
// CodeUnsupportedVersion if the versions are in order but Version is not among
// them.
func (m *Hello) Check() error {
	c := checks{kind: KindHello, err: m.checkVersions()}
	c.text("software", m.Software, 1, MaxName)
	c.text("software version", m.SoftwareVersion, 1, MaxName)
	c.text("mechanism", m.Mechanism, 0, MaxMechanism)
	if len(m.Auth) > MaxAuth {
		c.failf("auth: %d bytes, want at most %d", len(m.Auth), MaxAuth)
	}
	if m.Mechanism == "" && len(m.Auth) > 0 {
		c.failf("auth: %d bytes without a mechanism, want none", len(m.Auth))
	}
	return c.result()
}

// checkVersions returns nil if Version is among the versions of m.
func (m *Hello) checkVersions() *Error {
	switch {
	case m.MinVersion < 1 || m.MinVersion > m.MaxVersion:
		return Errorf(CodeInvalidRequest, "%s: versions %d..%d, want the lowest first, from 1", KindHello, m.MinVersion, m.MaxVersion)
	case m.MinVersion > Version:
		return Errorf(CodeUnsupportedVersion, "%s: versions %d..%d, want one of %d..%d", KindHello, m.MinVersion, m.MaxVersion, Version, Version)
	}
	return nil
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *Hello) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendU16(dst, m.MinVersion)
	dst = appendU16(dst, m.MaxVersion)
	dst = appendString(dst, m.Software)
	dst = appendString(dst, m.SoftwareVersion)
	dst = appendString(dst, m.Mechanism)
	dst = appendString(dst, m.Auth)
	return endFrame(dst, at, Head{Kind: KindHello, RequestID: requestID}, 0)
}

// ParseHello reads a Hello. Auth points into the payload.
//
// Errors: an Error of CodeUnsupportedVersion if the client speaks only later
// versions; flags and the fields behind the versions are then not looked at,
// for they may be of another layout. Otherwise as Check, or for a malformed
// frame.
func ParseHello(f Frame) (Hello, error) {
	if f.Kind == KindHello && len(f.Payload) >= 4 {
		v := reader{kind: KindHello, p: f.Payload}
		m := Hello{MinVersion: v.u16("lowest version"), MaxVersion: v.u16("highest version")}
		if err := m.checkVersions(); err != nil {
			return Hello{}, err
		}
	}
	r := open(f, KindHello, 0)
	m := Hello{
		MinVersion:      r.u16("lowest version"),
		MaxVersion:      r.u16("highest version"),
		Software:        r.text("software"),
		SoftwareVersion: r.text("software version"),
		Mechanism:       r.text("mechanism"),
		Auth:            r.bytes("auth"),
	}
	if err := r.close(); err != nil {
		return Hello{}, err
	}
	return m, m.Check()
}

// Welcome answers a Hello: the version spoken from here on, who the server is
// and what it takes.
//
//	at  len  field
//	 0    2  version          the one spoken on this connection
//	 2    .  software         string, 1..255 bytes
//	 .    .  softwareVersion  string, 1..255 bytes
//	 .    4  nodeID           i32, >= 0
//	 .    .  clusterID        string, 0..255 bytes
//	 .    4  maxFrame         u32, 65536..268435456: payload bytes of a frame in either direction
//	 .    8  maxInFlight      i64, >= maxFrame: bytes of unanswered requests before the server stops reading
//	 .    8  maxCredit        i64, >= 1: credit of one subscription
//	 .    4  idleTimeoutMs    u32: a connection silent for so long is closed; 0: never
type Welcome struct {
	Version                   uint16
	Software, SoftwareVersion string
	NodeID                    int32
	ClusterID                 string
	MaxFrame                  uint32
	MaxInFlight               int64
	MaxCredit                 int64
	IdleTimeoutMs             uint32
}

// Check returns an Error if a field is out of range.
func (m *Welcome) Check() error {
	c := checks{kind: KindWelcome}
	if m.Version != Version {
		c.failf("version %d, want %d", m.Version, Version)
	}
	c.text("software", m.Software, 1, MaxName)
	c.text("software version", m.SoftwareVersion, 1, MaxName)
	c.within("node id", int64(m.NodeID), 0, math.MaxInt32)
	c.text("cluster id", m.ClusterID, 0, MaxName)
	c.within("max frame", int64(m.MaxFrame), MinMaxFrame, MaxFrameCap)
	c.atLeast("max in flight", m.MaxInFlight, int64(m.MaxFrame))
	c.atLeast("max credit", m.MaxCredit, 1)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *Welcome) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendU16(dst, m.Version)
	dst = appendString(dst, m.Software)
	dst = appendString(dst, m.SoftwareVersion)
	dst = appendI32(dst, m.NodeID)
	dst = appendString(dst, m.ClusterID)
	dst = appendU32(dst, m.MaxFrame)
	dst = appendI64(dst, m.MaxInFlight)
	dst = appendI64(dst, m.MaxCredit)
	dst = appendU32(dst, m.IdleTimeoutMs)
	return endFrame(dst, at, Head{Kind: KindWelcome, RequestID: requestID}, 0)
}

// ParseWelcome reads a Welcome.
func ParseWelcome(f Frame) (Welcome, error) {
	r := open(f, KindWelcome, 0)
	m := Welcome{
		Version:         r.u16("version"),
		Software:        r.text("software"),
		SoftwareVersion: r.text("software version"),
		NodeID:          r.i32("node id"),
		ClusterID:       r.text("cluster id"),
		MaxFrame:        r.u32("max frame"),
		MaxInFlight:     r.i64("max in flight"),
		MaxCredit:       r.i64("max credit"),
		IdleTimeoutMs:   r.u32("idle timeout"),
	}
	if err := r.close(); err != nil {
		return Welcome{}, err
	}
	return m, m.Check()
}
