package kafka

import (
	"bytes"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/node"
)

// lockedBuffer is what a server has logged.
type lockedBuffer struct {
	mu sync.Mutex
	p  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.p.Write(p)
}

func (b *lockedBuffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	defer b.p.Reset()
	return b.p.String()
}

// Whatever a connection asks for, and however often, it has the server log one
// line and another at its end, neither of them long.
func TestLogsAreBounded(t *testing.T) {
	var logged lockedBuffer
	f := openFrontend(t, node.Options{Log: slog.New(slog.NewTextHandler(&logged, nil))})
	createTopic(t, f, "t", 1)
	long := strings.Repeat("l", maxTextLen)
	check := func(what string, requests func(c *client)) {
		t.Helper()
		logged.take()
		c := dial(t, f)
		c.ask(kmsg.NewPtrApiVersionsRequest(), 3)
		requests(c)
		if _, err := c.Write([]byte{0xff, 0xff, 0xff, 0xff}); err == nil && !c.closed() {
			t.Errorf("%s: the connection goes on", what)
		}
		// The line of the end may come after it.
		text := logged.take()
		if lines := strings.Count(text, "\n"); lines > 2 || len(text) > 2<<10 {
			t.Errorf("%s: %d lines of %d bytes: %.500s", what, lines, len(text), text)
		}
	}
	check("topics that cannot be created", func(c *client) {
		for range 10 {
			m := kmsg.NewPtrMetadataRequest()
			m.AllowAutoTopicCreation = true
			m.Topics = []kmsg.MetadataRequestTopic{{Topic: &long}}
			c.ask(m, 12)
		}
	})
	check("transactional ids", func(c *client) {
		for range 10 {
			m := kmsg.NewPtrInitProducerIDRequest()
			m.TransactionalID = &long
			c.ask(m, 4)
		}
	})
	check("a Produce without an answer", func(c *client) {
		m := produceTo(f, "t", 0, 0, batchOf(t, "x"))
		m.TransactionID = &long
		c.send(m, 9)
		if !c.closed() {
			t.Error("acks 0 and a transactional id do not close the connection")
		}
	})
	check("a Produce to a topic that cannot be", func(c *client) {
		c.send(produceTo(f, long, 0, 0, batchOf(t, "x")), 9)
		if !c.closed() {
			t.Error("acks 0 to an unknown topic do not close the connection")
		}
	})
}
