package page

import (
	"math"
	"testing"
)

// Figures go between the marks of a page or make a new one; a page that has no
// place for them is left alone.
func TestInsert(t *testing.T) {
	const m = Marks("lab")
	f := func(page, want string) {
		t.Helper()
		got, err := m.Insert(page, "new")
		if want == "" {
			if err == nil {
				t.Errorf("insert into %q = %q, want an error", page, got)
			}
			return
		}
		if err != nil || got != want {
			t.Errorf("insert into %q = %q, %v; want %q", page, got, err, want)
		}
	}
	block := m.Begin() + "\n\nnew\n" + m.End()
	f("", block+"\n")
	f("\n", block+"\n")
	f("a\n"+m.Begin()+"old"+m.End()+"\nb\n", "a\n"+block+"\nb\n")
	f("a\n"+block+"\nb\n", "a\n"+block+"\nb\n")
	f("no marks", "")
	f(m.Begin(), "")
	f(m.End()+m.Begin(), "")
}

// Numbers keep three digits.
func TestDigits(t *testing.T) {
	f := func(v float64, want string) {
		t.Helper()
		if got := Digits(v); got != want {
			t.Errorf("Digits(%v) = %s, want %s", v, got, want)
		}
	}
	f(0, "0.000")
	f(0.1239, "0.124")
	f(1.239, "1.24")
	f(12.39, "12.4")
	f(123.9, "124")
	f(123456, "123456")
	f(-1.5, "-1.50")
	f(9.996, "10.0")
	f(99.97, "100")
	f(0.00042, "4.2e-04")
	f(math.NaN(), "-")
	f(math.Inf(1), "-")
}
