package verify

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rollway/rollway/engine/vfs"
)

// tree is every file and link of a directory with its content.
func tree(t testing.TB, dir string) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			found[path] = fmt.Sprint(d.Type())
			return err
		}
		content, err := os.ReadFile(path)
		found[path] = string(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// repairDir repairs dir and returns the actions, a line each.
func repairDir(t testing.TB, dir string, dryRun bool) (actions []string, err error) {
	t.Helper()
	err = Repair(t.Context(), dir, RepairOptions{DryRun: dryRun, Engine: engineOptions}, func(a Action) error {
		actions = append(actions, a.String())
		return nil
	})
	return actions, err
}

// Whatever is damaged: a dry run changes nothing and names what the repair then
// does; afterwards check names nothing but damage in quarantine, the server starts
// and serves every other record, and no byte of a log is gone.
func TestRepair(t *testing.T) {
	s := newStore(t, true)
	work := filepath.Join(t.TempDir(), "work")
	first := "victim-0/" + filepath.Base(files(t, s.dir, "victim-0/*.log")[0])
	base := strings.TrimSuffix(first, ".log")
	flip := func(at int) func([]byte) []byte { return func(p []byte) []byte { p[at] ^= 1; return p } }
	// f harms files, repairs, and compares the actions with what they should begin
	// with and hold; lost is how many records may be gone.
	f := func(lost int, harm func(dir string) error, want ...string) {
		t.Helper()
		c := s.copyTo(t, work)
		original := logs(t, c.dir)
		if err := harm(c.dir); err != nil {
			t.Fatal(err)
		}
		harmed, before := logs(t, c.dir), tree(t, c.dir)
		plan, err := repairDir(t, c.dir, true)
		if err != nil {
			t.Fatalf("%v: dry run: %v", want, err)
		}
		for path, content := range tree(t, c.dir) {
			if before[path] != content {
				t.Errorf("%v: the dry run changed %s", want, path)
			}
		}
		if !allMatch(plan, want) {
			t.Errorf("the plan is\n  %s\nwant\n  %s", strings.Join(plan, "\n  "), strings.Join(want, "\n  "))
		}
		done, err := repairDir(t, c.dir, false)
		if err != nil || strings.Join(done, "\n") != strings.Join(plan, "\n") {
			t.Errorf("%v: %q was done, planned was %q; %v", want, done, plan, err)
		}
		problems, _, _ := check(t, c.dir)
		for _, p := range problems {
			if lost == 0 || !strings.Contains(p.Text, "in quarantine") {
				t.Errorf("%v: check afterwards: %s", want, p)
			}
		}
		kept(t, c.dir, want[0], harmed, original)
		e := c.open(t, want[0])
		if e == nil {
			t.Fatalf("%v: refused afterwards", want)
		}
		if got := c.read(t, e, "victim", want[0]); len(got) > lost {
			t.Errorf("%v: %v cannot be read, want at most %d records lost", want, got, lost)
		}
		if got := c.read(t, e, "bystander", want[0]); len(got) > 0 {
			t.Errorf("%v: %v of the other partition cannot be read", want, got)
		}
		c.append(t, e, want[0])
		closeEngine(t, e)
	}
	edits := func(name string, change func([]byte) []byte) func(string) error {
		return func(dir string) error { edit(t, filepath.Join(dir, name), change); return nil }
	}
	remove := func(name string) func(string) error {
		return func(dir string) error { return os.Remove(filepath.Join(dir, name)) }
	}
	link := func(name string) func(string) error {
		return func(dir string) error {
			path := filepath.Join(dir, name)
			return errors.Join(os.Remove(path), os.Symlink("/etc/hostname", path))
		}
	}
	f(3, edits(first, flip(300)), "quarantine *.log: at position *: offset 4: *")
	f(0, edits(base+".index", flip(3)), "rebuild *.index: *")
	f(0, link(base+".index"), "rebuild *.index: a symbolic link*")
	f(0, edits(base+".timeindex", func(p []byte) []byte { return p[:len(p)-3] }), "rebuild *.timeindex: *")
	f(0, remove(base+".timeindex"), "rebuild *.timeindex: missing or empty*")
	f(0, edits("victim-0/leader-epoch-checkpoint", flip(0)), "set aside *leader-epoch-checkpoint: *")
	f(0, remove("victim-0/leader-epoch-checkpoint"), "rebuild *leader-epoch-checkpoint: missing*")
	f(0, edits("victim-0/partition.metadata", flip(0)), "write *partition.metadata: *")
	f(0, remove("victim-0/partition.metadata"), "write *partition.metadata: missing*")
	f(0, edits("recovery-point-offset-checkpoint", flip(0)), "set aside *recovery-point-offset-checkpoint: *")
	snapshot, _ := filepath.Rel(s.dir, files(t, s.dir, "victim-0/*.snapshot")[0])
	f(0, edits(snapshot, flip(20)), "set aside *.snapshot: *")
	f(0, func(dir string) error {
		return errors.Join(remove("victim-0/partition.metadata")(dir), remove(base+".index")(dir), edits("log-start-offset-checkpoint", flip(0))(dir))
	}, "set aside *log-start-offset-checkpoint: *", "write *", "rebuild *.index: *")
}

// What cannot be repaired is said, and nothing is changed: damage from which nothing
// can be derived, a directory that is open, one without a problem.
func TestRepairRefusals(t *testing.T) {
	s := newStore(t, true)
	unchanged := func(what string, before map[string]string) {
		t.Helper()
		for path, content := range tree(t, s.dir) {
			if before[path] != content {
				t.Errorf("%s: %s was changed", what, path)
			}
		}
	}
	before := tree(t, s.dir)
	if actions, err := repairDir(t, s.dir, false); err != nil || len(actions) > 0 {
		t.Errorf("nothing to do: %q, %v", actions, err)
	}
	unchanged("nothing to do", before)
	for _, name := range []string{"meta.properties", "rollway-metadata.log"} {
		undo := edit(t, filepath.Join(s.dir, name), func(p []byte) []byte { p[0] ^= 1; return p })
		before := tree(t, s.dir)
		if actions, err := repairDir(t, s.dir, false); !errors.Is(err, ErrNotRepairable) || len(actions) == 0 || !strings.HasPrefix(actions[0], string(Unmended)) {
			t.Errorf("%s: %q, %v", name, actions, err)
		}
		unchanged(name, before)
		undo()
	}
	e := openEngine(t, s.dir)
	if _, err := repairDir(t, s.dir, false); !errors.Is(err, vfs.ErrLocked) {
		t.Errorf("beside a server: %v", err)
	}
	closeEngine(t, e)
	if _, err := repairDir(t, filepath.Join(s.dir, "missing"), false); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing: %v", err)
	}
}
