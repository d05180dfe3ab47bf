package result

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// line is one line of a file. Exactly one field is set.
type line struct {
	Run        *Run        `json:"run,omitempty"`
	Measure    *Measure    `json:"measure,omitempty"`
	Conditions []Condition `json:"conditions,omitempty"`
}

// Writer appends to the file of a run. It is for one goroutine.
type Writer struct{ file *os.File }

// Create makes a file, whose directory it makes too, and writes the run to it.
// There is none of that name yet: fs.ErrExist otherwise.
func Create(path string, r Run) (*Writer, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return nil, err
	}
	w := &Writer{f}
	if err := w.write(line{Run: &r}); err != nil {
		return nil, errors.Join(err, f.Close(), os.Remove(path))
	}
	return w, nil
}

// Append opens the file of a run that is to go on, and cuts off a torn last line.
func Append(path string) (*Writer, error) {
	whole, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(int64(bytes.LastIndexByte(whole, '\n') + 1)); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &Writer{f}, nil
}

// Measure appends a measure. All of its figures are in the table.
func (w *Writer) Measure(m Measure) error {
	if err := m.check(); err != nil {
		return err
	}
	return w.write(line{Measure: &m})
}

// Conditions appends what was found out. A condition takes the place of an
// earlier one of its name and contestant.
func (w *Writer) Conditions(c ...Condition) error {
	if len(c) == 0 {
		return nil
	}
	return w.write(line{Conditions: c})
}

// Close closes the file.
func (w *Writer) Close() error { return w.file.Close() }

func (w *Writer) write(l line) error {
	p, err := json.Marshal(l)
	if err != nil {
		return fmt.Errorf("%s: %w", w.file.Name(), err)
	}
	_, err = w.file.Write(append(p, '\n'))
	return err
}

func (m Measure) check() error {
	for name := range m.Figures {
		if _, ok := Named(name); !ok {
			return fmt.Errorf("measure of %s, %s: figure %q, want one of result.Figures", m.Workload, m.Contestant, name)
		}
	}
	return nil
}

// Read reads what a Writer has written, in order, with all conditions in the Run.
// A last line without its end is dropped.
func Read(r io.Reader) (Run, []Measure, error) {
	var run *Run
	var measures []Measure
	in := bufio.NewReader(r)
	for number := 1; ; number++ {
		text, err := in.ReadBytes('\n')
		if err == io.EOF {
			break
		}
		if err != nil {
			return Run{}, nil, err
		}
		var l line
		if err := json.Unmarshal(text, &l); err != nil {
			return Run{}, nil, fmt.Errorf("line %d: %w", number, err)
		}
		switch {
		case (l.Run != nil) != (number == 1):
			return Run{}, nil, fmt.Errorf("line %d: want a run in the first line and nowhere else", number)
		case l.Run != nil:
			run = l.Run
		case l.Measure != nil:
			if err := l.Measure.check(); err != nil {
				return Run{}, nil, fmt.Errorf("line %d: %w", number, err)
			}
			measures = append(measures, *l.Measure)
		default:
			for _, c := range l.Conditions {
				run.set(c)
			}
		}
	}
	if run == nil {
		return Run{}, nil, errors.New("no run: the file is empty")
	}
	return *run, measures, nil
}

// ReadFile reads the file at path.
func ReadFile(path string) (Run, []Measure, error) {
	f, err := os.Open(path)
	if err != nil {
		return Run{}, nil, err
	}
	defer f.Close()
	run, measures, err := Read(f)
	if err != nil {
		return Run{}, nil, fmt.Errorf("%s: %w", path, err)
	}
	return run, measures, nil
}

// set puts c in the place of the condition of its name, or behind the others.
func (r *Run) set(c Condition) {
	i := slices.IndexFunc(r.Conditions, func(o Condition) bool { return o.Name == c.Name && o.Contestant == c.Contestant })
	if i < 0 {
		r.Conditions = append(r.Conditions, c)
		return
	}
	r.Conditions[i] = c
}
