package doctor

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/golden"
)

// good are the facts of a machine on which nothing is to be done.
func good() Facts {
	return Facts{
		Kernel:      "6.18.5-arch1-1",
		ClockSource: "tsc",
		OpenFiles:   1 << 20,
		Dirty:       Dirty{BackgroundRatio: 10, Ratio: 20},
		Congestion:  Congestion{Default: "cubic", Available: []string{"reno", "cubic"}},
		Pipe:        Pipe{MaxBytes: 1 << 20, UserPages: 16384, Granted: 1 << 20},
		Data: Data{Path: "/srv/rollway", Nearest: "/srv/rollway", Exists: true,
			Space: vfs.Space{Total: 1 << 40, Available: 1 << 39, Type: "xfs"}},
	}
}

// Every judgement, good ones first, each with what was changed to get it.
func TestJudge(t *testing.T) {
	var out []byte
	show := func(title string, findings []Finding) {
		out = fmt.Appendf(out, "== %s\n", title)
		for _, f := range findings {
			out = fmt.Appendf(out, "%s | %s | %s | %s\n", f.Status, f.Name, f.Found, f.Remedy)
		}
	}
	normal := Judge(good())
	show("a good machine", normal)
	known := map[Finding]bool{}
	for _, f := range normal {
		known[f] = true
	}
	f := func(title string, change func(*Facts)) {
		facts := good()
		change(&facts)
		var changed []Finding
		for _, finding := range Judge(facts) {
			if !known[finding] {
				changed = append(changed, finding)
			}
		}
		show(title, changed)
	}
	no := error(syscall.ENOSYS)

	f("old kernel", func(f *Facts) { f.Kernel = "5.14.0-70.el9" })
	f("just new enough", func(f *Facts) { f.Kernel = "5.15" })
	f("unreadable kernel", func(f *Facts) { f.Kernel = "linux" })
	f("directory is a file", func(f *Facts) { f.Data.Err = errors.New("/srv/rollway is a file, want a directory") })
	f("directory is missing", func(f *Facts) { f.Data.Exists = false })
	for _, name := range []string{"tmpfs", "overlayfs", "nfs", "btrfs", "0x1234", ""} {
		f("file system "+name, func(f *Facts) { f.Data.Space.Type = name })
	}
	f("full", func(f *Facts) { f.Data.Space.Available = 100 << 20 })
	f("nearly full", func(f *Facts) { f.Data.Space.Available = 50 << 30 })
	f("small and nearly full", func(f *Facts) { f.Data.Space.Total, f.Data.Space.Available = 10<<30, 600<<20 })
	f("space unknown", func(f *Facts) { f.Data.Space = vfs.Space{Type: "ext4"} })
	f("few files", func(f *Facts) { f.OpenFiles = 1024 })
	f("some files", func(f *Facts) { f.OpenFiles = 4096 })
	f("dirty ratio", func(f *Facts) { f.Dirty.Ratio = 80 })
	f("dirty bytes", func(f *Facts) { f.Dirty = Dirty{BackgroundBytes: 64 << 20, Bytes: 256 << 20} })
	f("dirty unknown", func(f *Facts) { f.Dirty = Dirty{-1, -1, -1, -1} })
	f("bbr", func(f *Facts) { f.Congestion.Default = "bbr" })
	f("bbr alone", func(f *Facts) { f.Congestion = Congestion{"bbr", []string{"bbr", "reno"}} })
	f("congestion unknown", func(f *Facts) { f.Congestion = Congestion{} })
	f("slow clock", func(f *Facts) { f.ClockSource = "hpet" })
	f("clock unknown", func(f *Facts) { f.ClockSource = "" })
	f("no sendfile", func(f *Facts) { f.SendFile = errUnavailable })
	f("no splice", func(f *Facts) { f.Splice = errUnavailable })
	f("small pipes", func(f *Facts) { f.Pipe.MaxBytes, f.Pipe.Granted = 1<<16, 1<<16 })
	f("user's pipes used up", func(f *Facts) { f.Pipe.Granted = 8192 })
	f("no pipe", func(f *Facts) { f.Pipe = Pipe{Err: errors.New("pipe2: too many open files")} })
	f("no cachestat", func(f *Facts) { f.CacheStat = no })
	f("no dontcache", func(f *Facts) { f.DontCache = no })
	f("io_uring by sysctl", func(f *Facts) { f.IOUring, f.IOUringDisabled = syscall.EPERM, 2 })
	f("io_uring by group", func(f *Facts) { f.IOUring, f.IOUringDisabled = syscall.EPERM, 1 })
	f("io_uring by seccomp", func(f *Facts) { f.IOUring = syscall.EPERM })
	f("no io_uring", func(f *Facts) { f.IOUring = syscall.ENOSYS })
	f("io_uring without memory", func(f *Facts) { f.IOUring = os.NewSyscallError("io_uring_setup", syscall.ENOMEM) })
	f("topics that opted out", func(f *Facts) { f.Data.Topics = []UnsyncedTopic{{"clicks", "10000"}, {"logs", "1000"}} })
	f("topics unknown", func(f *Facts) { f.Data.TopicsErr = errors.New("permission denied") })
	golden.Check(t, "judge", out)

	if Failed(normal) || !Failed(Judge(Facts{})) {
		t.Error("Failed does not tell a good machine from one without anything")
	}
}

// The probes of a machine that runs tests find the essentials, and leave the directory as it was.
func TestProbe(t *testing.T) {
	dir := t.TempDir()
	f := Probe(dir)
	if _, _, ok := kernelVersion(f.Kernel); !ok || f.OpenFiles == 0 || !f.Data.Exists || f.Data.Err != nil || f.Data.Space.Total == 0 {
		t.Errorf("%+v", f)
	}
	if f.SendFile != nil || f.Splice != nil || f.Pipe.Granted < pageBytes {
		t.Errorf("sendfile %v, splice %v, pipe %+v; want all to work", f.SendFile, f.Splice, f.Pipe)
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind %v, %v", entries, err)
	}

	missing := Probe(filepath.Join(dir, "a", "b"))
	if missing.Data.Exists || missing.Data.Err != nil || missing.Data.Nearest != dir {
		t.Errorf("missing directory: %+v, want nearest %s", missing.Data, dir)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if d := Probe(file).Data; d.Err == nil {
		t.Errorf("file: %+v, want an error", d)
	}
	if d := Probe(filepath.Join(file, "below")).Data; d.Err == nil {
		t.Errorf("below a file: %+v, want an error", d)
	}
}

// The topics that opted out are those whose last setting says so, beside a running engine.
func TestUnsyncedTopics(t *testing.T) {
	dir := t.TempDir()
	if got, err := unsyncedTopics(dir); got != nil || err != nil {
		t.Errorf("new directory: %v, %v", got, err)
	}
	e, err := engine.Open(dir, engine.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	create := func(name, flush string) {
		t.Helper()
		if _, err := e.CreateTopic(engine.TopicSpec{Name: name, Configs: map[string]string{flushMessages: flush}}); err != nil {
			t.Fatal(err)
		}
	}
	alter := func(name string, change engine.TopicChange) {
		t.Helper()
		if _, err := e.AlterTopic(name, change); err != nil {
			t.Fatal(err)
		}
	}
	create("durable", "1")
	create("fast", "1000")
	create("again", "1000")
	create("later", "1")
	create("gone", "1000")
	alter("again", engine.TopicChange{Reset: []string{flushMessages}})
	alter("later", engine.TopicChange{Set: map[string]string{flushMessages: "7"}})
	if err := e.DeleteTopic("gone"); err != nil {
		t.Fatal(err)
	}
	got, err := unsyncedTopics(dir)
	want := []UnsyncedTopic{{"fast", "1000"}, {"later", "7"}}
	if err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
}
