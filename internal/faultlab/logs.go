package faultlab

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Logs are the .log files of a data directory, by their paths below it.
type Logs map[string][]byte

// ReadLogs reads them, those included that were set aside under a longer name. What
// is no regular file is left out.
func ReadLogs(dir string) (Logs, error) {
	found := Logs{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || !strings.Contains(d.Name(), ".log") || strings.HasPrefix(d.Name(), "rollway-") {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err == nil {
			found[rel], err = os.ReadFile(path)
		}
		return err
	})
	return found, err
}

// Gone returns the logs of l of which now has lost a byte: each must be there, or
// stand aside, with what it had. l was harmed after it had been original, which was
// durable to its end: behind that nothing has to stay, and a byte below may be as it
// was before the harm, since a replay mends.
func (l Logs) Gone(now, original Logs) (names []string) {
	for name, before := range l {
		durable := len(before)
		if o, ok := original[name]; ok {
			durable = min(durable, len(o))
		}
		kept := false
		for candidate, content := range now {
			if strings.HasPrefix(candidate, name) && len(content) >= durable && sameOrMended(content[:durable], before[:durable], original[name]) {
				kept = true
			}
		}
		if !kept {
			names = append(names, name)
		}
	}
	return names
}

// sameOrMended tells whether each byte is what it was, or what it was before it was
// harmed.
func sameOrMended(now, before, original []byte) bool {
	for i, b := range now {
		if b != before[i] && (i >= len(original) || b != original[i]) {
			return false
		}
	}
	return true
}
