package e2e

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// pausedSession is how long a paused consumer is waited for.
	pausedSession = 3 * time.Second
	// consumerAddress is a variable of the environment: it has this test binary be a
	// consumer of the server at that address, and run no tests.
	consumerAddress = "ROLLWAY_TEST_CONSUMER"
	// lateCommits is how many commits a consumer that was refused tries.
	lateCommits = 5
)

// A consumer that is paused beyond its session loses its partitions to another, and
// whatever it tries to commit when it comes back is refused for its membership: the
// offsets of the new owner stay.
func TestPausedConsumer(t *testing.T) {
	s := startGroupServer(t, t.TempDir(), append(groupSettings(false, 0), fmt.Sprint("group.min.session.timeout.ms=", pausedSession.Milliseconds())))
	s.run(nil, "topic", "create", groupTopic, "--partitions", "2")
	consumer := exec.Command(os.Args[0])
	consumer.Env = append(os.Environ(), consumerAddress+"="+s.kafka)
	said := new(syncBuffer)
	consumer.Stdout, consumer.Stderr = said, said
	if err := consumer.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	t.Cleanup(func() {
		consumer.Process.Kill()
		<-ended
	})
	go func() {
		consumer.Wait()
		close(ended)
	}()
	for deadline := time.Now().Add(time.Minute); strings.Count(said.String(), "commit ") < 5; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the consumer does not commit:\n%s", said)
		}
	}
	if err := consumer.Process.Signal(unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}

	next := &groupMember{kafkaConn: dialKafka(t, s), group: "group-0", session: pausedSession, partitions: 2}
	began := time.Now()
	if err := next.enter(); err != nil {
		t.Fatal(err)
	}
	if len(next.assigned) != 2 {
		t.Fatalf("the next consumer has partitions %v, want all", next.assigned)
	}
	found := next.committedOffsets("group-0")[0]
	const committed = 1_000_000 // where the paused one never comes
	code, err := next.commit(map[int32]int64{0: committed, 1: committed})
	if err != nil || code != noError {
		t.Fatalf("commit: error %d, %v", code, err)
	}
	t.Logf("taken over after %v at offset %d", time.Since(began).Round(time.Millisecond), found)
	if err := consumer.Process.Signal(unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	for alive := true; alive; {
		select {
		case <-ended:
			alive = false
		case <-time.After(pausedSession / 5):
			if err := next.beat(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !consumer.ProcessState.Success() {
		t.Fatalf("the consumer ended with %v:\n%s", consumer.ProcessState, said)
	}

	refused := 0
	for line := range strings.Lines(said.String()) {
		var request string
		var offset int64
		var code int
		if _, err := fmt.Sscanf(line, "%s %d %d\n", &request, &offset, &code); err != nil {
			t.Errorf("the consumer said %q", line)
			continue
		}
		switch {
		case code == noError && refused == 0 && offset <= found: // before the pause
		case request == "commit" && (code == illegalGeneration || code == unknownMember):
			refused++
		case request == "heartbeat" && (code == illegalGeneration || code == unknownMember):
		default:
			t.Errorf("%q, and the next consumer went on at %d", line, found)
		}
	}
	if refused != lateCommits {
		t.Errorf("%d commits were refused, want %d:\n%s", refused, lateCommits, said)
	}
	for p, offset := range next.committedOffsets("group-0") {
		if offset != committed {
			t.Errorf("partition %d: offset %d is committed, want %d", p, offset, committed)
		}
	}
	s.stop()
}

// consume is what the process of TestPausedConsumer does. It commits offset after
// offset, and prints how each request was answered; when one was refused it goes on
// for a while, as if it had not noticed.
func consume(addr string) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	m := &groupMember{kafkaConn: &kafkaConn{Conn: conn}, group: "group-0", session: pausedSession, partitions: 2}
	if err := m.enter(); err != nil {
		return err
	}
	for offset, refused := int64(1), 0; refused < lateCommits; offset++ {
		code, err := m.commit(map[int32]int64{0: offset, 1: offset})
		if err != nil {
			return err
		}
		fmt.Println("commit", offset, code)
		if code != noError {
			refused++
		}
		if code, err = m.heartbeat(); err != nil {
			return err
		}
		fmt.Println("heartbeat", offset, code)
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}
