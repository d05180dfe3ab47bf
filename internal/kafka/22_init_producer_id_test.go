package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// Each producer gets an id of its own in every version, whatever it has; who
// wants transactions is refused for good.
func TestInitProducerID(t *testing.T) {
	c := dial(t, openFrontend(t, node.Options{}))
	seen := map[int64]bool{}
	ask := func(version int16, id int64, epoch int16) *kmsg.InitProducerIDResponse {
		m := kmsg.NewPtrInitProducerIDRequest()
		m.ProducerID, m.ProducerEpoch = id, epoch
		return c.ask(m, version).(*kmsg.InitProducerIDResponse)
	}
	for version := int16(0); version <= 5; version++ {
		answer := ask(version, -1, -1)
		if answer.ErrorCode != 0 || answer.ProducerID < 0 || answer.ProducerEpoch != 0 || seen[answer.ProducerID] {
			t.Errorf("version %d: %+v", version, answer)
		}
		seen[answer.ProducerID] = true
		m := kmsg.NewPtrInitProducerIDRequest()
		m.TransactionalID = kmsg.StringPtr("tx")
		if answer := c.ask(m, version).(*kmsg.InitProducerIDResponse); code(answer.ErrorCode) != codeInvalidRequest || answer.ProducerID != -1 {
			t.Errorf("version %d, transactional: %+v", version, answer)
		}
	}
	if answer := ask(3, 0, 7); answer.ErrorCode != 0 || answer.ProducerEpoch != 0 || seen[answer.ProducerID] {
		t.Errorf("with an id that it has: %+v", answer)
	}
	if answer := ask(3, 1, -1); code(answer.ErrorCode) != codeInvalidRequest {
		t.Errorf("with an id and no epoch: %+v", answer)
	}
}
