package child

// Tail keeps the end of what is written to it, from one goroutine. Read it when
// that has ended.
type Tail struct{ text []byte }

// tailBytes is enough for a log line or the first goroutines of a panic.
const tailBytes = 4 << 10

// Write keeps the end of p.
func (t *Tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	t.text = t.text[max(0, len(t.text)-tailBytes):]
	return len(p), nil
}

// String returns what was kept.
func (t *Tail) String() string { return string(t.text) }
