// Command embed shows the engine inside another program: a topic behind a TCP
// line protocol of its own. "PUT text" appends a record and is answered "OK
// offset" once it is durable; "GET offset" is answered "BYTES n" and n bytes of
// record batches, which sendfile takes from the log to the socket.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"time"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/zerocopy"
)

func main() {
	e := must(engine.Open(os.Args[1], engine.Options{}))
	must(0, e.WaitReady(context.Background()))
	topic, err := e.Topic("lines")
	if err != nil {
		topic = must(e.CreateTopic(engine.TopicSpec{Name: "lines"}))
	}
	listener := must(net.Listen("tcp", "127.0.0.1:0"))
	fmt.Println("listening on", listener.Addr())
	for {
		go serve(must(listener.Accept()).(*net.TCPConn), topic.Partitions()[0])
	}
}

func serve(conn *net.TCPConn, p *engine.Partition) {
	defer conn.Close()
	sender, err := zerocopy.NewSender(conn, zerocopy.Options{})
	for lines := bufio.NewScanner(conn); err == nil && lines.Scan(); {
		var head string
		var slice engine.Slice
		switch verb, rest, _ := strings.Cut(lines.Text(), " "); verb {
		case "PUT":
			head, err = put(p, []byte(rest))
		case "GET":
			var offset engine.Offset
			fmt.Sscan(rest, &offset)
			slice, err = p.Fetch(engine.FetchRequest{Offset: offset, MaxBytes: 1 << 20})
			head = fmt.Sprintf("BYTES %d\n", slice.Len)
		default:
			err = fmt.Errorf("%q, want PUT text or GET offset", verb)
		}
		if err != nil {
			head = fmt.Sprintf("ERROR %v\n", err)
		}
		_, err = sender.Send([]byte(head), &slice.Range)
		slice.Close()
	}
}

func put(p *engine.Partition, text []byte) (string, error) {
	var b record.Builder
	b.Reset(record.BuilderOptions{})
	b.Append(time.Now().UnixMilli(), nil, text)
	batch, err := b.Build(nil)
	r := engine.AppendRequest{Batches: batch, Acks: engine.AcksAll}
	if err == nil {
		err = p.Produce(context.Background(), &r)
	}
	return fmt.Sprintf("OK %d\n", r.BaseOffset), err
}

func must[T any](value T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return value
}
