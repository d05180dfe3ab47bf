package zerocopy

import "testing"

// A range releases its file once, however often it is closed.
func TestRangeReleasesOnce(t *testing.T) {
	file := fileOf(t, nil)
	n := new(note)
	r := NewRange(file, 1, 2, n)
	if r.File != file || r.Position != 1 || r.Len != 2 {
		t.Errorf("range %+v, want the arguments", r)
	}
	for range 3 {
		r.Close()
	}
	if n.released != 1 || r.File != nil {
		t.Errorf("released %d times, file %v, want 1, nil", n.released, r.File)
	}
	r = NewRange(file, 0, 0, nil)
	r.Close()
	var zero Range
	zero.Close()
}
