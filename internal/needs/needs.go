// Package needs tells what a test needs from the machine it runs on.
//
// A developer's machine may lack a tool: the test is then skipped, and the
// skip names the tool, so that `make test` can list it. A machine that runs
// with CI=true has to provide everything: there a missing tool is a failure,
// so that a check never silently stops being made.
//
// The go command caches a skip like a pass and does not notice that a program
// was installed since: then test with -count=1 once.
package needs

import (
	"os"
	"os/exec"
	"testing"
)

// Tool returns the path of the named program. If it is not in PATH the test
// ends here: skipped, or failed when the environment says CI=true.
func Tool(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("needs %s: %v; with CI=true nothing may be skipped: install it", name, err)
	}
	t.Skipf("needs %s: %v", name, err)
	return ""
}
