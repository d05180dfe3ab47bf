package zerocopy

import "fmt"

// Path names a way from a file to a socket. The zero value is Auto.
type Path uint8

const (
	// Auto copies and coalesces bodies below Options.CoalesceBelow and sends
	// all others by sendfile.
	Auto Path = iota
	// SendFile sends every body by sendfile(2), however small.
	SendFile
	// Splice sends every body by splice(2) through a pipe of the pool; it
	// sends by sendfile while the pool has no pipe to give.
	Splice
	// Copy reads every body into user memory and writes it from there.
	Copy
)

// pathNames are the texts of the paths, indexed by Path.
var pathNames = [...]string{Auto: "auto", SendFile: "sendfile", Splice: "splice", Copy: "copy"}

// ParsePath returns the path that String names so. The match is exact; the
// error names the choices.
func ParsePath(s string) (Path, error) {
	for p, name := range pathNames {
		if s == name {
			return Path(p), nil
		}
	}
	return Auto, fmt.Errorf("fetch path %q, want auto, sendfile, splice or copy", s)
}

// String returns the name that ParsePath reads.
func (p Path) String() string {
	if int(p) < len(pathNames) {
		return pathNames[p]
	}
	return fmt.Sprintf("Path(%d)", uint8(p))
}

// MarshalText implements encoding.TextMarshaler, for flags and settings.
func (p Path) MarshalText() ([]byte, error) {
	if int(p) >= len(pathNames) {
		return nil, fmt.Errorf("fetch path %d, want 0 to %d", uint8(p), len(pathNames)-1)
	}
	return []byte(pathNames[p]), nil
}

// UnmarshalText implements encoding.TextUnmarshaler by ParsePath. On an error
// p keeps its value.
func (p *Path) UnmarshalText(text []byte) error {
	parsed, err := ParsePath(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
