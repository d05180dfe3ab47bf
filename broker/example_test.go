package broker_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/engine"
)

// A program starts a broker of its own, on ports that nobody else uses.
func Example() {
	dir, err := os.MkdirTemp("", "rollway")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)

	b, err := broker.Open(broker.Options{
		DataDir: dir,
		Wire:    "127.0.0.1:0",
		Kafka:   "127.0.0.1:0",
		HTTP:    broker.Off,
		Log:     slog.New(slog.NewTextHandler(io.Discard, nil)),
	})
	if err != nil {
		panic(err)
	}
	// Clients connect to b.WireAddr(); the program itself needs no connection.
	topic, err := b.Engine().CreateTopic(engine.TopicSpec{Name: "logs", Partitions: 3})
	if err != nil {
		panic(err)
	}
	fmt.Println(topic.Name(), len(topic.Partitions()), b.WireAddr().Network())

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := b.Shutdown(ctx); err != nil {
		panic(err)
	}
	// Output: logs 3 tcp
}
