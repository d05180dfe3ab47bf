package e2e

import (
	"encoding/binary"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/internal/needs"
)

// What Kafka clients fetch leaves the server by sendfile and never enters it: of
// its .log files the server reads the headers by which it finds the batches, and
// no more.
func TestKafkaPayloadBypassesTheServer(t *testing.T) {
	strace := needs.Tool(t, "strace")
	data := t.TempDir()
	s := startServer(t, data)
	s.run(nil, "topic", "create", "logs", "--config", "segment.bytes=33554432")
	s.run(&lines{left: 64 << 20}, "produce", "logs", "--batch-bytes", "262144")
	s.stop()
	segments, err := filepath.Glob(filepath.Join(data, "logs-0", "*.log"))
	if err != nil || len(segments) < 2 {
		t.Fatalf("segments %v, error %v, want several", segments, err)
	}
	want := int64(0)
	for _, name := range segments {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		want += info.Size()
	}

	for _, path := range []string{"sendfile", "splice"} {
		trace := filepath.Join(t.TempDir(), "trace")
		tracer := []string{strace, "-f", "-y", "-qq", "-o", trace,
			"-e", "trace=accept4,sendfile,splice,read,pread64,readv,preadv,preadv2,write,writev,sendto,sendmsg,mmap"}
		s := startTraced(t, tracer, data, "--kafka", "127.0.0.1:0", "--fetch-path", path)
		got, fetches := fetchAll(t, s.kafka, "logs")
		s.stop()
		if got != want {
			t.Fatalf("%s: %d bytes came, the log has %d", path, got, want)
		}
		calls := readTrace(t, trace)
		t.Logf("%s: %d fetches, %+v", path, fetches, calls)
		payload := map[string]int64{"sendfile": calls.sendfile, "splice": calls.splice}[path]
		if sent := payload + calls.written; payload < want || float64(payload) < 0.999*float64(sent) {
			t.Errorf("%s: %d of %d bytes sent, want at least 99.9%% and all of the %d of the log", path, payload, sent, want)
		}
		if read := calls.firstRead + calls.laterRead; read > int64(fetches)*4096 {
			t.Errorf("%s: %d bytes of .log files were read in %d fetches, want at most one index interval (4096) each", path, read, fetches)
		}
		if calls.mapped > 0 {
			t.Errorf("%s: .log files were mapped %d times", path, calls.mapped)
		}
	}
}

// notLeader is NOT_LEADER_OR_FOLLOWER, which clients try again.
const notLeader = 6

// fetchAll fetches partition 0 of a topic from its beginning to its end, 1 MiB at
// a time, and returns the bytes of whole batches.
func fetchAll(t *testing.T, addr, topic string) (bytes int64, fetches int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Minute))
	format := kmsg.NewRequestFormatter()
	for offset := int64(0); ; {
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes = offset, 1<<20
		m := kmsg.NewPtrFetchRequest()
		m.Version, m.MaxBytes, m.SessionEpoch = 12, 1<<30, -1
		m.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		if _, err := conn.Write(format.AppendRequest(nil, m, int32(fetches))); err != nil {
			t.Fatal(err)
		}
		head := make([]byte, 4)
		if _, err := io.ReadFull(conn, head); err != nil {
			t.Fatal(err)
		}
		frame := make([]byte, binary.BigEndian.Uint32(head))
		if _, err := io.ReadFull(conn, frame); err != nil {
			t.Fatal(err)
		}
		answer := m.ResponseKind().(*kmsg.FetchResponse)
		answer.Version = m.Version
		if err := answer.ReadFrom(frame[5:]); err != nil { // behind the correlation id and no tagged fields
			t.Fatal(err)
		}
		got := answer.Topics[0].Partitions[0]
		if got.ErrorCode == notLeader && fetches == 0 {
			time.Sleep(10 * time.Millisecond) // its recovery is not over
			continue
		}
		if got.ErrorCode != 0 {
			t.Fatalf("offset %d: error %d", offset, got.ErrorCode)
		}
		if len(got.RecordBatches) == 0 {
			return bytes, fetches
		}
		fetches++
		for rest := got.RecordBatches; len(rest) > 0; {
			b, after, err := record.Next(rest)
			if err != nil {
				break // cut; it comes again
			}
			bytes, offset, rest = bytes+b.Size(), int64(b.NextOffset()), after
		}
	}
}
