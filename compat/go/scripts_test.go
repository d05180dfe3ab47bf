package clients

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/rollway/rollway/internal/compat"
)

// scripts is the folder that `make compat` has installed clients of other
// languages in: a virtual environment of Python and modules of Node.js. Their
// tests are skipped without it.
var scripts = os.Getenv("ROLLWAY_COMPAT_SCRIPTS")

// The clients for Python pass their checks.
func TestPython(t *testing.T) {
	python := filepath.Join(scripts, "python", "bin", "python")
	for _, client := range []string{"confluent_kafka", "kafka_python", "aiokafka"} {
		t.Run(client, func(t *testing.T) {
			runScript(t, func(s *server) *exec.Cmd {
				return exec.Command(python, filepath.Join("../python", client+"_checks.py"), s.kafka)
			})
		})
	}
}

// The clients for JavaScript pass their checks.
func TestJavaScript(t *testing.T) {
	for _, script := range []string{"kafkajs_checks.js", "platformatic_checks.mjs"} {
		t.Run(script, func(t *testing.T) {
			runScript(t, func(s *server) *exec.Cmd {
				return exec.Command("node", filepath.Join("../js", script), s.kafka, filepath.Join(scripts, "js"))
			})
		})
	}
}

// librdkafkaWarning is how librdkafka logs a warning, or what is worse, to
// standard error.
var librdkafkaWarning = regexp.MustCompile(`(?m)^%[0-4]\|`)

// scriptEnv is the environment that scripts run in.
func scriptEnv() []string {
	return append(os.Environ(), "KAFKAJS_NO_PARTITIONER_WARNING=1", "PYTHONDONTWRITEBYTECODE=1")
}

// runScript runs the checks of one client, which print a line of JSON each, as
// subtests.
func runScript(t *testing.T, script func(s *server) *exec.Cmd) {
	if scripts == "" {
		t.Skip("needs clients that are installed by make compat")
	}
	cmd := script(startGroupServer(t))
	cmd.Env = scriptEnv()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	runErr := cmd.Run()
	n := 0
	for line := range bytes.Lines(stdout.Bytes()) {
		var check struct{ Client, Version, What, Test, Failure string }
		if err := json.Unmarshal(line, &check); err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		n++
		t.Run(check.Test, func(t *testing.T) {
			compat.Report(t, compat.Suite{Client: check.Client, Version: check.Version, What: check.What})
			if check.Failure != "" {
				t.Error(check.Failure)
			}
		})
	}
	if runErr != nil && !t.Failed() || n == 0 || librdkafkaWarning.Match(stderr.Bytes()) {
		t.Errorf("%d checks, %v\n%s", n, runErr, stderr.Bytes())
	}
}
