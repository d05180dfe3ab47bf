package clients

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// franzGoSuite are the tests of franz-go's own suite that need a broker, and
// no transactions. One is not among them that skips itself where a server
// advertises Produce from version 0, as Apache Kafka does:
// TestIssueProduceBrokerTooOldFailsRecords.
var franzGoSuite = []string{
	"TestPing",
	"TestIssue1034",
	"TestIssue325",
	"TestConsumeTopicRetrieval",
	"TestConsumeTopicRetrieval_Many",
	"TestIssue337",
	"TestDirectPartitionPurge",
	"TestIssue434",
	"TestAddRemovePartitions",
	"TestPauseIssue489",
	"TestPauseIssueOct2023",
	"TestIssue648",
	"TestIssue810",
	"TestIssue865",
	"TestIssueFetchLargerThanBrokerMaxReadBytes",
	"TestPooling",
	"TestHookPollStart",
	"TestConsumeMaxDecompressBatchBytes",
	"TestClient_Produce",
	"TestIssue769",
	"TestIssueProduceSyncManualPartitionNegativeDoesNotPanic",
	"TestIssue831",
	"TestClient_ProduceLargeMessages",
	"TestConsumeRegex",
	"TestUnknownGroupOffsetFetchPinned",
	"TestGroupSimple",
	"TestIssue523",
	"TestGroupETL",
}

// The tests of franz-go's suite pass against the server.
func TestFranzGoSuite(t *testing.T) {
	s := startGroupServer(t)
	cmd := exec.CommandContext(t.Context(), "go", "test", "-json", "-count=1", "-timeout", "5m",
		"-run", "^("+strings.Join(franzGoSuite, "|")+")$", "github.com/twmb/franz-go/pkg/kgo")
	cmd.Env = append(os.Environ(), "KGO_SEEDS="+s.kafka, "KGO_TEST_RF=1", "KGO_TEST_RECORDS=20000", "KGO_LOG_LEVEL=none")
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	outcome, said := map[string]string{}, map[string]string{} // by test
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		var e struct{ Action, Test, Output string }
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			t.Errorf("%s: %v", lines.Bytes(), err)
			continue
		}
		name, _, _ := strings.Cut(e.Test, "/")
		switch e.Action {
		case "output":
			said[name] += e.Output
		case "pass", "fail", "skip":
			if name == e.Test {
				outcome[name] = e.Action
			}
		}
	}
	err = cmd.Wait()
	for _, name := range franzGoSuite {
		t.Run(name, func(t *testing.T) {
			franzGo(t, "its own suite, without transactions")
			switch outcome[name] {
			case "pass":
			case "skip":
				t.Skip(tail(said[name], 500))
			default:
				t.Errorf("%q\n%s", outcome[name], tail(said[name], 8000))
			}
		})
	}
	if err != nil && !t.Failed() {
		t.Errorf("%v\n%s", err, tail(said[""], 4000))
	}
}
