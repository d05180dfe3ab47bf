package server

import (
	"testing"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
)

// sequenced returns a batch of n records of an idempotent producer.
func sequenced(t testing.TB, id int64, epoch int16, sequence int32, n int) []byte {
	t.Helper()
	var b record.Builder
	b.Reset(record.BuilderOptions{Producer: &record.Producer{ID: id, Epoch: epoch, BaseSequence: sequence}})
	for range n {
		if err := b.Append(1000, nil, []byte("v")); err != nil {
			t.Fatal(err)
		}
	}
	p, err := b.Build(nil)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (m *memory) assigned(id uint32) wire.ProducerAssigned {
	m.t.Helper()
	return must(wire.ParseProducerAssigned(m.answer(id, wire.KindProducerAssigned)))(m.t)
}

// Each client gets an id of its own, the next epoch for one that it has, and a refusal for one that nobody was given.
func TestInitProducer(t *testing.T) {
	f := openFrontend(t, Options{})
	m, other := greeted(t, f), greeted(t, f)
	none := wire.InitProducer{ProducerID: wire.NoProducer, Epoch: wire.NoProducer}
	m.ask(1, &none)
	a := m.assigned(1)
	other.ask(1, &none)
	if b := other.assigned(1); a.Epoch != 0 || b.Epoch != 0 || a.ProducerID == b.ProducerID {
		t.Errorf("%+v and %+v, want two ids", a, b)
	}
	m.ask(2, &wire.InitProducer{ProducerID: a.ProducerID, Epoch: a.Epoch})
	if next := m.assigned(2); next.ProducerID != a.ProducerID || next.Epoch != 1 {
		t.Errorf("%+v, want epoch 1 of %d", next, a.ProducerID)
	}
	m.ask(3, &wire.InitProducer{ProducerID: 1 << 40, Epoch: 0})
	m.refused(3, wire.CodeUnknownProducerID)

	createTopic(t, f, "t", nil)
	m.ask(4, produceTo("t", 0, wire.AcksAll, sequenced(t, a.ProducerID, 5, 0, 1)))
	m.produced(4, 0, 1)
	m.ask(5, &wire.InitProducer{ProducerID: a.ProducerID, Epoch: 4})
	m.refused(5, wire.CodeInvalidProducerEpoch)
	m.quiet()
}

// Duplicates among pipelined Produces are answered with the offsets of the first, each in its place, whatever the later
// ones wait for; what is out of order or fenced off is refused.
func TestProduceIdempotently(t *testing.T) {
	f := openFrontend(t, Options{})
	createTopic(t, f, "t", nil)
	m := greeted(t, f)
	var p []byte
	p = produceTo("t", 0, wire.AcksAll, sequenced(t, 7, 1, 0, 3)).AppendTo(p, 1)
	p = produceTo("t", 0, wire.AcksAll, sequenced(t, 7, 1, 3, 1)).AppendTo(p, 2)
	p = produceTo("t", 0, wire.AcksAll, sequenced(t, 7, 1, 0, 3)).AppendTo(p, 3)
	p = produceTo("t", 0, wire.AcksAll, sequenced(t, 7, 1, 5, 1)).AppendTo(p, 4)
	p = produceTo("t", 0, wire.AcksAll, sequenced(t, 7, 0, 4, 1)).AppendTo(p, 5)
	p = produceTo("t", 0, wire.AcksAll, batchOf(t, "nobody's")).AppendTo(p, 6)
	p = produceTo("t", 0, wire.AcksAll, sequenced(t, 7, 1, 3, 1)).AppendTo(p, 7)
	m.Receive(p)
	m.produced(1, 0, 3)
	m.produced(2, 3, 4)
	m.produced(3, 0, 3)
	m.refused(4, wire.CodeOutOfOrderSequence)
	m.refused(5, wire.CodeInvalidProducerEpoch)
	m.produced(6, 4, 5)
	m.produced(7, 3, 4)

	// On another connection, after all of that.
	again := greeted(t, f)
	again.ask(1, produceTo("t", 0, wire.AcksAll, sequenced(t, 7, 1, 0, 3)))
	again.produced(1, 0, 3)
	again.quiet()
	m.quiet()
}
