package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/netloop"
	"github.com/rollway/rollway/internal/node"
)

const (
	// sizeBytes is what stands before each frame: its length, int32.
	sizeBytes = 4
	// leastFrame is the smallest request: key, version, correlation id and a
	// null client id.
	leastFrame = 10
	// firstFrameBytes bounds the frames of a connection until one was valid:
	// whoever cannot speak the protocol is not waited for with more. An
	// ApiVersions request has less than 1 KiB.
	firstFrameBytes = 16 << 10
)

// session is the state of one connection.
type session struct {
	*frontend
	peer netloop.Peer

	valid    bool  // a request was valid
	waits    bool  // an answer is awaited that the next request, whatever it is, has to wait for
	produces int   // Produce requests that are not answered yet, those of group too
	inFlight int64 // bytes of the requests that are not answered yet

	group *produceGroup // Produces not yet appended; nil between two calls of Receive

	cursors node.CursorCache // of Fetches without a fetch session

	turn    time.Time   // when Receive was called
	current request     // the one that is being handled
	logged  atomic.Bool // an error of this connection that its answers cannot tell was logged
}

// request is one request whose header was read. It is valid until the handler
// returns: what outlives that copies the header.
type request struct {
	header
	clientID []byte // a view; nil is none
	body     reader // the rest
}

// header is what stands before the body of a request, and how its answer
// begins.
type header struct {
	api         *api
	version     int16
	correlation int32
	bytes       int64 // of the frame
	started     time.Time
}

func newSession(f *frontend, peer netloop.Peer) *session { return &session{frontend: f, peer: peer} }

// Receive implements netloop.Session.
func (s *session) Receive(p []byte, out *netloop.Out) (n, need int, err error) {
	s.turn = time.Now()
	n, need, err = s.receive(p, out)
	if e := s.flush(out); err == nil {
		err = e
	}
	s.current.clientID, s.current.body = nil, reader{} // the driver's again
	return n, need, err
}

// receive is Receive, but may leave Produces to be flushed.
func (s *session) receive(p []byte, out *netloop.Out) (n, need int, err error) {
	rest := p
	for out.Room() > 0 && len(rest) > 0 {
		if s.blocked() {
			if err := s.flush(out); err != nil { // may answer at once what was gathered
				return len(p) - len(rest), 0, err
			}
			if s.blocked() {
				out.Hold()
				break
			}
		}
		frame, size, err := s.split(rest)
		if err != nil {
			return len(p) - len(rest), 0, err
		}
		if frame == nil {
			need = size
			break
		}
		handled, err := s.handle(frame, out)
		if err != nil {
			return len(p) - len(rest), 0, err
		}
		if !handled {
			out.Hold()
			break
		}
		rest = rest[size:]
	}
	return len(p) - len(rest), need, nil
}

// Close implements netloop.Session. All there was to release belonged to
// Deferreds.
func (s *session) Close() {}

// blocked tells whether the next request, whatever it is, has to wait.
func (s *session) blocked() bool {
	return s.waits || s.inFlight >= s.node.Limits().InFlightBytes
}

// split returns the first frame of p, without its length, and how many bytes
// it takes with it; frame is nil when it is not all there, and size 0 when it
// is not known.
func (s *session) split(p []byte) (frame []byte, size int, err error) {
	if len(p) < sizeBytes {
		return nil, 0, nil
	}
	n, most := int64(int32(binary.BigEndian.Uint32(p))), int64(s.maxFrame)
	if !s.valid {
		most = min(most, firstFrameBytes)
	}
	switch {
	case n < leastFrame:
		return nil, 0, fmt.Errorf("%w: frame of %d bytes, want at least %d", errMalformed, n, leastFrame)
	case n > most && !s.valid:
		return nil, 0, fmt.Errorf("%w: frame of %d bytes, want at most %d before the first valid request", errMalformed, n, most)
	case n > most:
		return nil, 0, fmt.Errorf("%w: frame of %d bytes, want at most %d (socket.request.max.bytes)", errMalformed, n, most)
	}
	size = sizeBytes + int(n)
	if len(p) < size {
		return nil, size, nil
	}
	return p[sizeBytes:size], size, nil
}

// handle carries out the request in frame. It is false when the request has to
// wait for answers that are not there yet; then nothing was done. Its error
// ends the connection.
func (s *session) handle(frame []byte, out *netloop.Out) (handled bool, err error) {
	r := &s.current
	err = r.read(frame)
	r.started = s.turn
	if err != nil {
		var unsupported *unsupportedVersionError
		if errors.As(err, &unsupported) && unsupported.api.key == apiVersionsKey {
			if wait, err := s.awaitProduces(out); wait || err != nil {
				return false, err
			}
			s.refuseApiVersions(r, out)
			return true, nil
		}
		return false, err
	}
	if !r.api.overlaps {
		if wait, err := s.awaitProduces(out); wait || err != nil {
			return false, err
		}
	}
	if err := r.api.handle(s, r, out); err != nil {
		return false, fmt.Errorf("%s version %d, correlation id %d: %w", r.api.name, r.version, r.correlation, err)
	}
	s.valid = true
	return true, nil
}

// awaitProduces appends what was gathered, and tells whether Produces still wait
// to be answered. Its error ends the connection.
func (s *session) awaitProduces(out *netloop.Out) (wait bool, err error) {
	err = s.flush(out)
	return s.produces > 0, err
}

// unsupportedVersionError means that a key is served, but not in this version.
type unsupportedVersionError struct {
	api     *api
	version int16
}

func (e *unsupportedVersionError) Error() string {
	return fmt.Sprintf("%s version %d, want %d to %d", e.api.name, e.version, e.api.least(), e.api.max)
}

// read reads the header in frame. What it refuses has its correlation id all
// the same.
//
//	Request header, big-endian, after the length of the frame.
//	at  len  field
//	 0    2  api key
//	 2    2  api version
//	 4    4  correlation id
//	 8    .  client id         nullable, int16 length, also where the rest is flexible
//	 .    .  tagged fields     flexible versions only
func (r *request) read(frame []byte) error {
	key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
	r.header = header{
		version:     version,
		correlation: int32(binary.BigEndian.Uint32(frame[4:])),
		bytes:       int64(sizeBytes + len(frame)),
	}
	if r.api = apiOf(key); r.api == nil {
		return fmt.Errorf("api key %d, version %d: not served here", key, version)
	}
	if version < r.api.least() || version > r.api.max {
		return &unsupportedVersionError{r.api, version}
	}
	r.body = newReader(frame[8:], false)
	r.clientID = r.body.view()
	r.body.flexible = r.flexible()
	r.body.tags()
	if r.body.err != nil {
		return fmt.Errorf("%s version %d, header: %w", r.api.name, version, r.body.err)
	}
	return nil
}

// flexible tells whether the version has compact lengths and tagged fields.
func (h *header) flexible() bool { return h.version >= h.api.flexible }

// answer appends the frame of a whole answer, and counts the request.
func (f *frontend) answer(h *header, m kmsg.Response, out *netloop.Out) {
	m.SetVersion(h.version)
	dst, start := h.begin(out.Buf)
	out.Buf = finish(m.AppendTo(dst), start, 0)
	f.count(h, firstError(m))
}

// begin appends the length, to be known later, and the header of an answer;
// start is for finish.
func (h *header) begin(dst []byte) (_ []byte, start int) {
	start = len(dst)
	dst = append(dst, 0, 0, 0, 0)
	dst = binary.BigEndian.AppendUint32(dst, uint32(h.correlation))
	// The answer to ApiVersions keeps the old header, so that a client that
	// guessed too high a version can read it (KIP-511).
	if h.flexible() && h.api.key != apiVersionsKey {
		dst = append(dst, 0) // no tagged fields
	}
	return dst, start
}

// finish writes the length of the frame that begins at start, of which beside
// bytes do not stand in dst.
func finish(dst []byte, start int, beside int64) []byte {
	binary.BigEndian.PutUint32(dst[start:], uint32(int64(len(dst)-start-sizeBytes)+beside))
	return dst
}
