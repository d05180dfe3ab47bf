package needs

import (
	"errors"
	"os"
	"testing"
)

// Feature takes what the kernel answered when it was asked for something. If that
// is an error the test ends here: skipped where the kernel has no such thing,
// which is errors.ErrUnsupported and so ENOSYS, also with CI=true, for no setting
// of the machine helps. Any other error says that this process may not have it:
// skipped, or failed when the environment says CI=true, which has to allow it.
func Feature(t testing.TB, name string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	if !errors.Is(err, errors.ErrUnsupported) && os.Getenv("CI") == "true" {
		t.Fatalf("needs %s: %v; with CI=true nothing may be skipped that the kernel has: allow it", name, err)
	}
	t.Skipf("needs %s: %v", name, err)
}
