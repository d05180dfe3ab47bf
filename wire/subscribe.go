package wire

import "math"

// Subscribe asks for all batches from an offset on, those to come included, in
// Data frames that the server sends as they become visible and credit allows.
// The request id of the Subscribe names the subscription until it ends: its
// Data, an Error that ends it, and the client's Credit and Unsubscribe carry
// it.
//
// The batches of its Data, joined, are the log byte for byte, from the first
// byte of the batch that holds the offset on. One Data may end, and the next
// begin, at any byte of a batch: whoever reads them puts them together.
//
//	at  len  field
//	 0    .  topic      string, 1..249 bytes
//	 .    4  partition  i32, >= 0
//	 .    8  offset     i64, >= 0
//	 .    4  maxBytes   i32, >= 1: most bytes of batches in one Data
//	 .    8  credit     i64, >= 0: bytes of batches that may be sent before the first Credit
type Subscribe struct {
	Topic     []byte
	Partition int32
	Offset    int64
	MaxBytes  int32
	Credit    int64
}

// Check returns an Error if a field is out of range. The server also holds
// Credit against the limit that its Welcome has named.
func (m *Subscribe) Check() error {
	c := checks{kind: KindSubscribe}
	c.topic(m.Topic)
	c.within("partition", int64(m.Partition), 0, math.MaxInt32)
	c.atLeast("offset", m.Offset, 0)
	c.within("max bytes", int64(m.MaxBytes), 1, math.MaxInt32)
	c.atLeast("credit", m.Credit, 0)
	return c.result()
}

// AppendTo appends the frame to dst. m must pass Check.
func (m *Subscribe) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendString(dst, m.Topic)
	dst = appendI32(dst, m.Partition)
	dst = appendI64(dst, m.Offset)
	dst = appendI32(dst, m.MaxBytes)
	dst = appendI64(dst, m.Credit)
	return endFrame(dst, at, Head{Kind: KindSubscribe, RequestID: requestID}, 0)
}

// ParseSubscribe reads a Subscribe. Topic points into the payload.
func ParseSubscribe(f Frame) (Subscribe, error) {
	r := open(f, KindSubscribe, 0)
	m := Subscribe{
		Topic:     r.bytes("topic"),
		Partition: r.i32("partition"),
		Offset:    r.i64("offset"),
		MaxBytes:  r.i32("max bytes"),
		Credit:    r.i64("credit"),
	}
	if err := r.close(); err != nil {
		return Subscribe{}, err
	}
	return m, m.Check()
}

// Credit allows a subscription more bytes. Its request id is that of the
// Subscribe; it is not answered.
//
//	at  len  field
//	 0    8  bytes  i64, >= 1
type Credit struct {
	Bytes int64
}

// Check returns an Error if a field is out of range.
func (m *Credit) Check() error {
	c := checks{kind: KindCredit}
	c.atLeast("bytes", m.Bytes, 1)
	return c.result()
}

// AppendTo appends the frame to dst. The request id is that of the Subscribe;
// m must pass Check.
func (m *Credit) AppendTo(dst []byte, requestID uint32) []byte {
	dst, at := beginFrame(dst)
	dst = appendI64(dst, m.Bytes)
	return endFrame(dst, at, Head{Kind: KindCredit, RequestID: requestID}, 0)
}

// ParseCredit reads a Credit.
func ParseCredit(f Frame) (Credit, error) {
	r := open(f, KindCredit, 0)
	m := Credit{Bytes: r.i64("bytes")}
	if err := r.close(); err != nil {
		return Credit{}, err
	}
	return m, m.Check()
}

// Unsubscribe ends a subscription. Its request id is that of the Subscribe,
// its payload is empty. It is answered by the last Data of the subscription,
// which has FlagEnd.
type Unsubscribe struct{}

// Check returns nil: there is nothing that could be wrong.
func (m *Unsubscribe) Check() error { return nil }

// AppendTo appends the frame to dst. The request id is that of the Subscribe.
func (m *Unsubscribe) AppendTo(dst []byte, requestID uint32) []byte {
	return AppendHead(dst, Head{Kind: KindUnsubscribe, RequestID: requestID})
}

// ParseUnsubscribe reads an Unsubscribe.
func ParseUnsubscribe(f Frame) (Unsubscribe, error) {
	r := open(f, KindUnsubscribe, 0)
	return Unsubscribe{}, r.close()
}
