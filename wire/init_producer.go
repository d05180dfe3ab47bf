package wire

import "math"

// NoProducer is the producer id and epoch of a client that has none.
const NoProducer = -1

// InitProducer asks for the id and epoch of an idempotent producer. It is
// answered by ProducerAssigned.
//
//	at  len  field
//	 0    8  producerID  i64, >= 0: the one that the client has; -1 for a new one
//	 8    2  epoch       i16, >= 0: the one that the client has; -1 with producerID -1
type InitProducer struct {
	ProducerID int64
	Epoch      int16
}

// Check returns an Error if a field is out of range.
func (m *InitProducer) Check() error {
	c := checks{kind: KindInitProducer}
	c.atLeast("producer id", m.ProducerID, NoProducer)
	c.atLeast("epoch", int64(m.Epoch), NoProducer)
	if (m.ProducerID == NoProducer) != (m.Epoch == NoProducer) {
		c.failf("producer id %d with epoch %d, want both %d or none", m.ProducerID, m.Epoch, NoProducer)
	}
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *InitProducer) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendI64(dst, m.ProducerID)
	dst = appendU16(dst, uint16(m.Epoch))
	return endFrame(dst, at, Head{Kind: KindInitProducer, RequestID: requestID}, 0)
}

// ParseInitProducer reads an InitProducer.
func ParseInitProducer(f Frame) (InitProducer, error) {
	r := open(f, KindInitProducer, 0)
	m := InitProducer{
		ProducerID: r.i64("producer id"),
		Epoch:      int16(r.u16("epoch")),
	}
	if err := r.close(); err != nil {
		return InitProducer{}, err
	}
	return m, m.Check()
}

// ProducerAssigned answers an InitProducer.
//
//	at  len  field
//	 0    8  producerID  i64, >= 0
//	 8    2  epoch       i16, >= 0
type ProducerAssigned struct {
	ProducerID int64
	Epoch      int16
}

// Check returns an Error if a field is out of range.
func (m *ProducerAssigned) Check() error {
	c := checks{kind: KindProducerAssigned}
	c.atLeast("producer id", m.ProducerID, 0)
	c.within("epoch", int64(m.Epoch), 0, math.MaxInt16)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *ProducerAssigned) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendI64(dst, m.ProducerID)
	dst = appendU16(dst, uint16(m.Epoch))
	return endFrame(dst, at, Head{Kind: KindProducerAssigned, RequestID: requestID}, 0)
}

// ParseProducerAssigned reads a ProducerAssigned.
func ParseProducerAssigned(f Frame) (ProducerAssigned, error) {
	r := open(f, KindProducerAssigned, 0)
	m := ProducerAssigned{
		ProducerID: r.i64("producer id"),
		Epoch:      int16(r.u16("epoch")),
	}
	if err := r.close(); err != nil {
		return ProducerAssigned{}, err
	}
	return m, m.Check()
}
