package generator

import (
	"fmt"
	"math/rand/v2"
	"os"
)

// payloads are the bodies of messages, which are taken in turns.
type payloads struct {
	bodies [][]byte // MessageSize each; the first MinMessageSize bytes are overwritten
}

// payloadSeed makes the random bytes the same in every run.
const payloadSeed = 7

// newPayloads reads or makes what the workload says.
func newPayloads(w Workload) (*payloads, error) {
	random := rand.NewChaCha8([32]byte{payloadSeed})
	if w.UseRandomizedPayloads {
		p := new(payloads)
		for range w.RandomizedPayloadPoolSize {
			body := make([]byte, w.MessageSize)
			random.Read(body[:int(float64(w.MessageSize)*w.RandomBytesRatio)])
			p.bodies = append(p.bodies, body)
		}
		return p, nil
	}
	if w.PayloadFile == "" {
		body := make([]byte, w.MessageSize)
		random.Read(body)
		return &payloads{bodies: [][]byte{body}}, nil
	}
	body, err := os.ReadFile(w.PayloadFile)
	if err != nil {
		return nil, err
	}
	if len(body) != w.MessageSize {
		return nil, fmt.Errorf("payloadFile %s: %d bytes, want the messageSize, %d", w.PayloadFile, len(body), w.MessageSize)
	}
	return &payloads{bodies: [][]byte{body}}, nil
}

// body returns that of message i of a producer.
func (p *payloads) body(i int64) []byte { return p.bodies[i%int64(len(p.bodies))] }
