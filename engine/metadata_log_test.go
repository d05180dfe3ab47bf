package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/golden"
)

// openLog opens the metadata log of fs and closes it when the test ends.
func openLog(t testing.TB, fs vfs.FS) *metadataLog {
	t.Helper()
	l, err := openMetadataLog(fs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// mustCommit commits records on top of what is there.
func mustCommit(t testing.TB, l *metadataLog, records ...MetadataRecord) *MetadataImage {
	t.Helper()
	image, err := l.Commit(l.Image().Version, records...)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// exampleLog returns the file with a commit for each of exampleGroups, the
// position where each frame ends (that of the header first), and the image
// after each (the empty one first).
func exampleLog(t testing.TB) (content []byte, ends []int, images []*MetadataImage) {
	t.Helper()
	content = appendMetadataHeader(nil, 0)
	ends, images = append(ends, len(content)), append(images, newMetadataImage(0))
	for i, records := range exampleGroups {
		content = appendMetadataFrame(content, uint64(i+1), records)
		ends, images = append(ends, len(content)), append(images, imageOf(t, exampleGroups[:i+1]...))
	}
	return content, ends, images
}

// rechecksum gives the header or frame p the checksum of its bytes.
func rechecksum(p []byte) []byte {
	binary.BigEndian.PutUint64(p[len(p)-8:], xxhash.Sum64(p[:len(p)-8]))
	return p
}

// Commits write the documented bytes, and an open reads the same image from them.
func TestMetadataLogGolden(t *testing.T) {
	fs := openDir(t)
	l := openLog(t, fs)
	for _, records := range exampleGroups {
		mustCommit(t, l, records...)
	}
	content, _, images := exampleLog(t)
	if got := getFile(t, fs, metadataLogFile); got != string(content) {
		t.Errorf("file holds %x, want %x", got, content)
	}
	if again := openLog(t, fs); !reflect.DeepEqual(again.Image(), images[3]) || again.torn != 0 {
		t.Errorf("read %s, %d bytes torn; want %s", again.Image().text(), again.torn, images[3].text())
	}

	example := appendMetadataHeader(nil, 0)
	example = appendMetadataFrame(example, 1, []MetadataRecord{TopicRecord{Name: "orders", ID: testID(1), Partitions: 3, Configs: map[string]string{"flush.ms": "5"}}})
	example = appendMetadataFrame(example, 2, []MetadataRecord{RemoveTopicRecord{testID(1)}})
	f := func(n int, name string) golden.Field { return golden.Field{Len: n, Name: name} }
	dump := golden.Hex(example,
		f(8, `magic "rollmeta"`), f(4, "version 1"), f(8, "snapshot: none"), f(8, "checksum of bytes 0..19"),
		f(4, "length"), f(8, "commit 1"),
		f(1, "kind 1: topic"), f(1, "record version 1"), f(16, "topic id"), f(4, "partitions 3"),
		f(2, "length of name"), f(6, `name "orders"`), f(2, "1 config"),
		f(2, "length of key"), f(8, `key "flush.ms"`), f(2, "length of value"), f(1, `value "5"`),
		f(8, "checksum of bytes 28..84"),
		f(4, "length"), f(8, "commit 2"),
		f(1, "kind 4: remove topic"), f(1, "record version 1"), f(16, "topic id"),
		f(8, "checksum of bytes 93..122"))
	golden.Check(t, "metadata-log", dump)
	shownIn(t, "metadata-log.md", string(dump))
}

// Commit is compare-and-set, all or nothing, and empty commits are none.
func TestMetadataLogCommit(t *testing.T) {
	fs := openDir(t)
	l := openLog(t, fs)
	image := mustCommit(t, l, exampleGroups[0]...)
	if image.Version != 1 || l.Image() != image {
		t.Errorf("version %d, want 1", image.Version)
	}
	before := getFile(t, fs, metadataLogFile)

	_, err := l.Commit(0, TopicRecord{Name: "x", ID: testID(9), Partitions: 1})
	matchError(t, err, ErrMetadataConflict, "version 1, want 0")
	_, err = l.Commit(1, TopicRecord{Name: "x", ID: testID(9), Partitions: 1}, TopicRecord{Name: "x", ID: testID(8), Partitions: 1})
	matchError(t, err, ErrTopicExists, `"x"`)
	if again, err := l.Commit(1); again != image || err != nil {
		t.Errorf("empty commit: %v, %v; want the image as it is", again, err)
	}
	if l.Image() != image || getFile(t, fs, metadataLogFile) != before {
		t.Error("a refused commit changed something")
	}
	mustCommit(t, l, exampleGroups[1]...)

	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	_, err = l.Commit(2, exampleGroups[2]...)
	matchError(t, err, ErrClosed, "rollway-metadata.log")
	if got := l.Image().Version; got != 2 {
		t.Errorf("version %d after close, want 2", got)
	}
}

// Of many that commit at once each version has one winner, and watchers see each.
func TestMetadataLogConcurrent(t *testing.T) {
	fs := openDir(t)
	l := openLog(t, fs)
	const commits, writers = 40, 4
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for l.Image().Version < commits {
				image := l.Image()
				_, err := l.Commit(image.Version, TopicRecord{Name: fmt.Sprintf("t%d", image.Version), ID: NewTopicID(), Partitions: 1})
				if err != nil && !errors.Is(err, ErrMetadataConflict) && !errors.Is(err, ErrTopicExists) {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for seen := uint64(0); seen < commits; {
				<-l.Changed(seen)
				next := l.Image().Version
				if next <= seen {
					t.Errorf("woken at version %d, want above %d", next, seen)
					return
				}
				seen = next
			}
		})
	}
	wg.Wait()
	image := l.Image()
	if len(image.Topics) != int(image.Version) {
		t.Errorf("%d topics, want %d", len(image.Topics), image.Version)
	}
	if again := openLog(t, fs); !reflect.DeepEqual(again.Image(), image) {
		t.Errorf("read %s, want %s", again.Image().text(), image.text())
	}
}

// A channel closes at the first version above the one given, not before.
func TestMetadataLogChanged(t *testing.T) {
	isClosed := func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	}
	l := openLog(t, openDir(t))
	now, later := l.Changed(0), l.Changed(1)
	if isClosed(now) || l.Changed(0) != now {
		t.Error("version 0: closed, or not shared")
	}
	mustCommit(t, l, exampleGroups[0]...)
	if !isClosed(now) || isClosed(later) || !isClosed(l.Changed(0)) {
		t.Error("version 1: want above 0 closed, above 1 open")
	}
	mustCommit(t, l, exampleGroups[1]...)
	if !isClosed(later) || len(l.watchers) != 0 {
		t.Errorf("version 2: want above 1 closed and no watchers, have %d", len(l.watchers))
	}
}

// A file cut at any byte gives the commits that are whole, cuts the rest off,
// and takes the next commit; a cut header is no torn tail.
func TestMetadataLogTornAtEveryByte(t *testing.T) {
	content, ends, images := exampleLog(t)
	fs := &hookedFS{FS: openDir(t), noSync: true, hook: func(string, string) error { return nil }}
	check := func(tail string, size int) {
		t.Helper()
		putFile(t, fs, metadataLogFile, string(content[:size])+tail)
		l, err := openMetadataLog(fs)
		if size < metadataHeaderSize {
			var damage *CorruptionError
			if !errors.As(err, &damage) || damage.Position != 0 {
				t.Fatalf("%d bytes: %v, want damage at position 0", size, err)
			}
			return
		}
		if err != nil {
			t.Fatalf("%d bytes and %d zeros: %v", size, len(tail), err)
		}
		defer l.Close()
		whole := 0
		for whole+1 < len(ends) && ends[whole+1] <= size {
			whole++
		}
		if !reflect.DeepEqual(l.Image(), images[whole]) || l.torn != int64(size+len(tail)-ends[whole]) {
			t.Fatalf("%d bytes: %s with %d bytes torn, want %s", size, l.Image().text(), l.torn, images[whole].text())
		}
		if whole < len(exampleGroups) {
			mustCommit(t, l, exampleGroups[whole]...)
			if got := getFile(t, fs, metadataLogFile); got != string(content[:ends[whole+1]]) {
				t.Fatalf("%d bytes: after one more commit %x, want %x", size, got, content[:ends[whole+1]])
			}
		}
	}
	for size := range len(content) + 1 {
		check("", size)
		if size >= metadataHeaderSize {
			check(strings.Repeat("\x00", 1), size)
			check(strings.Repeat("\x00", 100), size)
		}
	}
}

// Each single flipped bit is refused, or costs the last commit and no more.
func TestMetadataLogBitFlips(t *testing.T) {
	content, ends, images := exampleLog(t)
	for at := range content {
		for bit := range 8 {
			content[at] ^= 1 << bit
			scan, err := scanMetadataLog("f", content)
			var damage *CorruptionError
			switch {
			case at >= ends[2]:
				if err != nil || int(scan.end) != ends[2] || !reflect.DeepEqual(scan.image, images[2]) {
					t.Errorf("bit %d of byte %d, in the last commit: %v, want %s", bit, at, err, images[2].text())
				}
			case !errors.As(err, &damage):
				t.Errorf("bit %d of byte %d: %v, want damage", bit, at, err)
			case at >= ends[0] && (int(damage.Position) > at || !strings.Contains(err.Error(), "a whole commit follows at position")):
				t.Errorf("bit %d of byte %d: %v, want the position of its frame", bit, at, err)
			}
			content[at] ^= 1 << bit
		}
	}
}

// A refused file stays as it is, for whoever repairs it.
func TestOpenMetadataLogKeepsDamage(t *testing.T) {
	content, ends, _ := exampleLog(t)
	fs := &hookedFS{FS: openDir(t)}
	fs.hook = func(op, name string) error { t.Errorf("%s %s", op, name); return nil }
	for _, at := range []int{0, 8, 12, ends[0], ends[0] + 20, ends[1] + 4} {
		damaged := append([]byte{}, content...)
		damaged[at] ^= 1
		putFile(t, fs.FS, metadataLogFile, string(damaged))
		var damage *CorruptionError
		if _, err := openMetadataLog(fs); !errors.As(err, &damage) {
			t.Errorf("byte %d: %v, want damage", at, err)
		}
	}
}

// Damage that no checksum shows is refused too, as is the next version, with
// the file, the position, what was found and wanted.
func TestScanMetadataLogRefusals(t *testing.T) {
	content, ends, _ := exampleLog(t)
	frame := func(version uint64, records ...MetadataRecord) string {
		return string(appendMetadataFrame(nil, version, records))
	}
	f := func(want string, parts ...string) error {
		t.Helper()
		_, err := scanMetadataLog("the-file", []byte(strings.Join(parts, "")))
		var damage *CorruptionError
		if !errors.As(err, &damage) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		return err
	}
	header, first := string(content[:ends[0]]), string(content[ends[0]:ends[1]])
	second, third := string(content[ends[1]:ends[2]]), string(content[ends[2]:])
	f("the-file: at position 0: 0 bytes, want a header of 28")
	f(`magic "ROLLMETA", want "rollmeta"`, "ROLLMETA", header[8:])
	f("header checksum", header[:12], "\x00\x00\x00\x00\x00\x00\x00\x01", header[20:])
	next := []byte(header)
	next[11] = 2
	matchError(t, f("the-file: at position 0: version 2, want 1; a newer program wrote it", string(rechecksum(next))), ErrUnknownVersion, "")

	f(fmt.Sprintf("the-file: at position %d: commit 3, want 2", ends[1]), header, first, third)
	f("commit 1, want 2", header, first, first)
	f("commit 2, want 1", header, second)
	f("commit 2: engine: unknown topic", header, first, frame(2, RemoveTopicRecord{testID(9)}))
	f("commit 2: engine: topic exists", header, first, frame(2, exampleGroups[0]...))
	newer := []byte(frame(2, RemoveTopicRecord{testID(1)}))
	newer[13] = 2
	matchError(t, f("commit 2: record 1: kind 4 version 2", header, first, string(rechecksum(newer))), ErrUnknownVersion, "")
	f("at position 28: snapshot: 0 bytes left, want a frame", string(appendMetadataHeader(nil, 7)))

	// A hole is damage where a whole commit follows it.
	f(fmt.Sprintf("at position %d: frame of 4 bytes, want 20 to", ends[0]), header, strings.Repeat("\x00", len(first)), second)
	f(fmt.Sprintf("a whole commit follows at position %d", ends[0]+len(first)+len(second)), header, strings.Repeat("\x00", len(first)+len(second)), third)
	f("a whole commit follows", header, first, "x", second)

	// The snapshot is no torn tail, in no place where it may be cut or flipped.
	image := imageOf(t, exampleGroups...)
	snapshot := string(appendMetadataFrame(appendMetadataHeader(nil, 3), 3, image.snapshot()))
	for size := range len(snapshot) {
		f("", snapshot[:size])
		flipped := []byte(snapshot)
		flipped[size] ^= 0x10
		f("", string(flipped))
	}
	f("commit 4, want 3", string(appendMetadataHeader(nil, 3)), frame(4, image.snapshot()...))
	if scan, err := scanMetadataLog("f", []byte(snapshot)); err != nil || !reflect.DeepEqual(scan.image, image) {
		t.Errorf("snapshot is %+v, %v; want %s", scan, err, image.text())
	}
}

// Made-up bytes cannot keep the search for whole commits busy for long.
func TestFindMetadataFrameBudget(t *testing.T) {
	// Every 20 bytes a possible frame that reaches to the end.
	const size = 20 << 10
	p := make([]byte, 0, size)
	for len(p) < size {
		p = binary.BigEndian.AppendUint32(p, uint32(size-len(p)-frameLengthSize))
		p = binary.BigEndian.AppendUint64(p, 2)
		p = append(p, "12345678"...)
	}
	if at := findMetadataFrame(p, 1); at < 0 || at > 50*minFrameSize {
		t.Errorf("stopped at position %d, want one of the first 50 candidates", at)
	}
	if at := findMetadataFrame(make([]byte, size), 1); at != -1 {
		t.Errorf("zeros: a frame at position %d", at)
	}
}

// A log of outdated records is rewritten when it is opened, keeps its version,
// and goes on; what goes wrong meanwhile leaves the old one.
func TestMetadataLogRewrite(t *testing.T) {
	fs := &hookedFS{FS: openDir(t), hook: func(string, string) error { return nil }}
	content := appendMetadataHeader(nil, 0)
	content = appendMetadataFrame(content, 1, exampleGroups[0])
	content = appendMetadataFrame(content, 2, []MetadataRecord{RemoveTopicRecord{testID(2)}})
	for version := uint64(3); version <= 999; version++ {
		content = appendMetadataFrame(content, version, []MetadataRecord{ConfigRecord{ID: testID(1), Key: "k", Value: fmt.Sprint(version)}})
	}
	putFile(t, fs, metadataLogFile, string(content)+"torn")
	want := openLog(t, fs).Image()
	if got := getFile(t, fs, metadataLogFile); want.Version != 999 || got != string(content) {
		t.Fatalf("version %d, %d bytes; want 999 and no rewrite of %d records", want.Version, len(got), rewriteMinRecords)
	}

	refuse := func(op string, fault error) {
		t.Helper()
		fs.hook = func(got, name string) error {
			if got == op && name == metadataLogFile+tempSuffix || got == op && op == "rename" {
				return fault
			}
			return nil
		}
		l, err := openMetadataLog(fs)
		if errors.Is(fault, syscall.EIO) && op != "rename" {
			matchError(t, err, ErrStorageFailed, "")
		} else if err != nil {
			t.Errorf("%s %v: %v", op, fault, err)
		} else {
			l.Close()
		}
		if got := getFile(t, fs, metadataLogFile); got != string(content) {
			t.Errorf("%s %v: file has %d bytes, want the old %d", op, fault, len(got), len(content))
		}
	}
	content = appendMetadataFrame(content, 1000, []MetadataRecord{ConfigRecord{ID: testID(1), Key: "k", Value: "last"}})
	putFile(t, fs, metadataLogFile, string(content))
	refuse("create", syscall.ENOSPC)
	refuse("write", syscall.ENOSPC)
	refuse("write", syscall.EIO)
	refuse("datasync", syscall.EIO)
	refuse("rename", syscall.EIO)

	fs.hook = func(string, string) error { return nil }
	putFile(t, fs, metadataLogFile, string(content)+"torn")
	l := openLog(t, fs)
	want = l.Image()
	if got := len(getFile(t, fs, metadataLogFile)); got > 300 || want.Version != 1000 || l.torn != 4 {
		t.Errorf("%d bytes after the rewrite, version %d, %d torn; want at most 300, 1000, 4", got, want.Version, l.torn)
	}
	if text := want.text(); text != "1000: a.b/2/1map[] removed orders/1/3map[flush.ms:5 k:last segment.bytes:1048576]" {
		t.Errorf("image %s", text)
	}
	if again := openLog(t, fs); !reflect.DeepEqual(again.Image(), want) {
		t.Errorf("read %s, want %s", again.Image().text(), want.text())
	}
	want = mustCommit(t, l, PurgeTopicRecord{testID(2)})
	if again := openLog(t, fs); !reflect.DeepEqual(again.Image(), want) || want.Version != 1001 {
		t.Errorf("read %s, want %s", again.Image().text(), want.text())
	}
}

// A failed write or sync is final: nothing is written or synced after it.
func TestMetadataLogFaults(t *testing.T) {
	f := func(op string, fault error, wantFinal bool) {
		t.Helper()
		fs := &hookedFS{FS: openDir(t), hook: func(string, string) error { return nil }}
		l := openLog(t, fs)
		image := mustCommit(t, l, exampleGroups[0]...)
		before := getFile(t, fs, metadataLogFile)
		calls := 0
		fs.hook = func(got, _ string) error {
			calls++
			if got == op {
				return fault
			}
			return nil
		}
		_, err := l.Commit(1, exampleGroups[1]...)
		if !errors.Is(err, fault) || errors.Is(err, ErrStorageFailed) != wantFinal || l.Image() != image {
			t.Errorf("%s %v: %v, want final %v", op, fault, err, wantFinal)
		}
		fs.hook = func(string, string) error { calls++; return nil }
		if !wantFinal {
			if got := getFile(t, fs, metadataLogFile); got != before {
				t.Errorf("%s %v: file has %d bytes, want %d", op, fault, len(got), len(before))
			}
			mustCommit(t, l, exampleGroups[1]...)
		} else {
			calls = 0
			_, err := l.Commit(1, exampleGroups[1]...)
			matchError(t, err, ErrStorageFailed, fault.Error())
			l.Close()
			if calls != 0 {
				t.Errorf("%s %v: %d calls after it", op, fault, calls)
			}
		}
		again := openLog(t, fs)
		if got := again.Image().Version; got != 2 && (got != 1 || !wantFinal) {
			t.Errorf("%s %v: version %d after opening again", op, fault, got)
		}
	}
	f("write", syscall.ENOSPC, false)
	f("write", syscall.EIO, true)
	f("datasync", syscall.EIO, true)
	f("datasync", syscall.ENOSPC, true)

	// No space, and the partial frame cannot be cut: the end is not known any more.
	fs := &hookedFS{FS: openDir(t), hook: func(string, string) error { return nil }}
	l := openLog(t, fs)
	fs.hook = func(op, _ string) error {
		return map[string]error{"write": syscall.ENOSPC, "truncate": syscall.EIO}[op]
	}
	_, err := l.Commit(0, exampleGroups[0]...)
	matchError(t, err, syscall.ENOSPC, "append 118 bytes to")
	_, err = l.Commit(0, exampleGroups[0]...)
	matchError(t, err, ErrStorageFailed, syscall.EIO.Error())
}

// Open makes durable what it believes, and fails when it cannot.
func TestOpenMetadataLogSettles(t *testing.T) {
	content, _, _ := exampleLog(t)
	fs := &hookedFS{FS: openDir(t), hook: func(string, string) error { return nil }}
	f := func(tail, want string) {
		t.Helper()
		putFile(t, fs, metadataLogFile, string(content)+tail)
		var ops []string
		fs.hook = func(op, _ string) error { ops = append(ops, op); return nil }
		openLog(t, fs)
		fs.hook = func(string, string) error { return nil }
		if got := strings.Join(ops, " "); got != want {
			t.Errorf("tail %q: calls %s, want %s", tail, got, want)
		}
	}
	f("", "datasync syncdir")
	f("\x00", "truncate datasync syncdir")

	for _, op := range []string{"truncate", "datasync", "syncdir"} {
		putFile(t, fs, metadataLogFile, string(content)+"\x00")
		fs.hook = func(got, _ string) error {
			if got == op {
				return syscall.EIO
			}
			return nil
		}
		_, err := openMetadataLog(fs)
		matchError(t, err, ErrStorageFailed, syscall.EIO.Error())
		fs.hook = func(string, string) error { return nil }
	}
}

// A commit above the bound of a frame or of the file is refused before it is written.
func TestMetadataLogBounds(t *testing.T) {
	fs := openDir(t)
	l := openLog(t, fs)
	mustCommit(t, l, exampleGroups[0]...)
	var records []MetadataRecord
	value := strings.Repeat("v", maxConfigValueLen)
	for range maxFrameSize/maxConfigValueLen + 1 {
		records = append(records, ConfigRecord{ID: testID(1), Key: "k", Value: value})
	}
	before := getFile(t, fs, metadataLogFile)
	_, err := l.Commit(1, records...)
	matchError(t, err, ErrInvalidMetadata, "want at most 67108864")

	end := l.end
	l.end = maxMetadataLogBytes - 10
	if _, err = l.Commit(1, exampleGroups[1]...); err == nil || !strings.Contains(err.Error(), "opening it again makes it smaller") {
		t.Errorf("%v, want what to do", err)
	}
	l.end = end
	if got := getFile(t, fs, metadataLogFile); got != before || l.Image().Version != 1 {
		t.Error("a refused commit changed something")
	}
	mustCommit(t, l, exampleGroups[1]...)
}

// No file makes the reader panic, and what it accepts is what commits write.
func FuzzScanMetadataLog(f *testing.F) {
	content, ends, _ := exampleLog(f)
	for _, end := range ends {
		f.Add(content[:end])
	}
	f.Add(append(content[:len(content):len(content)], 0, 0, 0))
	image := imageOf(f, exampleGroups...)
	f.Add(appendMetadataFrame(appendMetadataHeader(nil, 3), 3, image.snapshot()))
	f.Fuzz(func(t *testing.T, content []byte) {
		scan, err := scanMetadataLog("f", content)
		if err != nil {
			var damage *CorruptionError
			if !errors.As(err, &damage) {
				t.Error(err)
			}
			return
		}
		again, err := scanMetadataLog("f", content[:scan.end])
		if err != nil || !reflect.DeepEqual(again, scan) {
			t.Errorf("without its tail %+v, %v; want %+v", again, err, scan)
		}
	})
}

// BenchmarkMetadataCommit shows what a commit costs besides its write and sync
// when there are many topics: three maps are copied.
func BenchmarkMetadataCommit(b *testing.B) {
	for _, topics := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("topics=%d", topics), func(b *testing.B) {
			image := newMetadataImage(0)
			for i := range topics {
				if err := (TopicRecord{Name: fmt.Sprintf("topic-%d", i), ID: NewTopicID(), Partitions: 1}).apply(image); err != nil {
					b.Fatal(err)
				}
			}
			records := []MetadataRecord{ConfigRecord{ID: image.Topics["topic-0"].ID, Key: "k", Value: "v"}}
			b.ReportAllocs()
			for b.Loop() {
				next, err := image.with(records)
				if err != nil {
					b.Fatal(err)
				}
				io.Discard.Write(appendMetadataFrame(nil, next.Version, records))
			}
		})
	}
}
