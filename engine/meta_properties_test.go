package engine

import (
	"errors"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

const kafkaMetaProperties = "#\n" +
	"#Mon Nov 17 10:00:00 UTC 2025\n" +
	"cluster.id=q1Sh-9_ISia_zwGINzRvyQ\n" +
	"directory.id=S7eq0F2dSkqV7RUfNM8BHQ\n" +
	"node.id=1\n" +
	"version=1\n"

// The file is one that Kafka reads; each value is where it belongs.
func TestMetaPropertiesGolden(t *testing.T) {
	id, err := ParseTopicID("S7eq0F2dSkqV7RUfNM8BHQ")
	if err != nil {
		t.Fatal(err)
	}
	m := metaProperties{clusterID: "q1Sh-9_ISia_zwGINzRvyQ", nodeID: 1, directoryID: id}
	golden.Check(t, "meta.properties", m.encode())
	shownIn(t, "data-directory.md", string(m.encode()))
	for _, content := range []string{string(m.encode()), kafkaMetaProperties} {
		if got, err := parseMetaProperties([]byte(content)); got != m || err != nil {
			t.Errorf("%q is %+v, %v; want %+v", content, got, err, m)
		}
	}
}

// A new directory gets ids that stay; the file of another node is refused.
func TestOpenMetaPropertiesNew(t *testing.T) {
	fs := openDir(t)
	if err := fs.Mkdir("lost+found"); err != nil { // an ext4 root
		t.Fatal(err)
	}
	putFile(t, fs, ".lock", "")
	first, err := openMetaProperties(fs, 3)
	if err != nil || first.nodeID != 3 || len(first.clusterID) != 22 || first.directoryID == (TopicID{}) {
		t.Fatalf("%+v, %v", first, err)
	}
	if again, err := openMetaProperties(fs, 3); again != first || err != nil {
		t.Errorf("%+v, %v; want %+v", again, err, first)
	}
	_, err = openMetaProperties(fs, 4)
	matchError(t, err, ErrDirectoryRefused, "node.id 3, want 4")
}

// A directory of Kafka is taken as it is, and gets the id that an old one lacks.
func TestOpenMetaPropertiesOfKafka(t *testing.T) {
	fs := openDir(t)
	if err := fs.Mkdir("orders-0"); err != nil {
		t.Fatal(err)
	}
	putFile(t, fs, metaPropertiesFile, kafkaMetaProperties)
	if _, err := openMetaProperties(fs, 1); err != nil {
		t.Error(err)
	}
	if got := getFile(t, fs, metaPropertiesFile); got != kafkaMetaProperties {
		t.Errorf("file became %q", got)
	}

	putFile(t, fs, metaPropertiesFile, "version=1\nnode.id=1\ncluster.id=c\n")
	first, err := openMetaProperties(fs, 1)
	if err != nil || first.clusterID != "c" || first.directoryID == (TopicID{}) {
		t.Errorf("%+v, %v; want a directory id", first, err)
	}
	if again, err := openMetaProperties(fs, 1); again != first || err != nil {
		t.Errorf("%+v, %v; want %+v", again, err, first)
	}
}

// Data without meta.properties are somebody's: nothing is made there.
func TestOpenMetaPropertiesLost(t *testing.T) {
	f := func(what string, isDir bool) {
		t.Helper()
		fs := openDir(t)
		if !isDir {
			putFile(t, fs, what, "x")
		} else if err := fs.Mkdir(what); err != nil {
			t.Fatal(err)
		}
		_, err := openMetaProperties(fs, 5)
		matchError(t, err, ErrDirectoryRefused, "holds "+what+" but no meta.properties")
		matchError(t, err, ErrDirectoryRefused, "version=1, cluster.id=<any name>, node.id=5")
		if got := getFile(t, fs, metaPropertiesFile); got != "" {
			t.Errorf("%s: file with %q was made", what, got)
		}
	}
	f("orders-0", true)
	f(deletedDirName("orders", 0, NewTopicID()), true)
	f(metadataLogFile, false)

	fs := openDir(t)
	putFile(t, fs, "orders-0", "a file, no partition")
	if _, err := openMetaProperties(fs, 5); err != nil {
		t.Error(err)
	}
}

// What is not there or not valid is named.
func TestParseMetaProperties(t *testing.T) {
	f := func(content, want string) {
		t.Helper()
		_, err := parseMetaProperties([]byte(content))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", content, err, want)
		}
	}
	f("version=1\ncluster.id=c\nnode.id=0\nother=x", "")
	f("version=1\ncluster.id=c\nnode.id=2147483647\n", "")
	f("", "version 0, want 1; a Kafka with ZooKeeper wrote it")
	f("version=0\nbroker.id=1\n", "version 0, want 1")
	f("version=2\ncluster.id=c\nnode.id=0\n", `version "2", want 1; a newer program wrote it`)
	f("version=1\nnode.id=0\n", "no cluster.id")
	f("version=1\ncluster.id=\nnode.id=0\n", "no cluster.id")
	f("version=1\ncluster.id=c\n", `node.id "", want 0 to 2147483647`)
	f("version=1\ncluster.id=c\nnode.id=-1\n", `node.id "-1"`)
	f("version=1\ncluster.id=c\nnode.id=2147483648\n", `node.id "2147483648"`)
	f("version=1\ncluster.id=c\nnode.id=0\ndirectory.id=x\n", `directory.id: topic id "x": 1 characters`)
	f("version=1\ncluster.id=c\nnode.id=0\ndirectory.id=AAAAAAAAAAAAAAAAAAAAAQ\n", "want one that Kafka does not reserve")
	f(`version=\u00`, `line 1: "\u00", want \u and 4 hex digits`)

	fs := openDir(t)
	for _, version := range []string{"0", "2"} {
		putFile(t, fs, metaPropertiesFile, "version="+version+"\n")
		_, err := openMetaProperties(fs, 0)
		matchError(t, err, ErrDirectoryRefused, "meta.properties: version")
		matchError(t, err, ErrUnknownVersion, "")
	}
}

// No content makes the parser panic, and what it accepts comes back as it went.
func FuzzParseMetaProperties(f *testing.F) {
	f.Add(kafkaMetaProperties)
	f.Add("version=1\ncluster.id= \\u00e9\\\n x\nnode.id=0\n")
	f.Fuzz(func(t *testing.T, content string) {
		m, err := parseMetaProperties([]byte(content))
		if err != nil {
			return
		}
		if again, err := parseMetaProperties(m.encode()); again != m || err != nil {
			t.Errorf("%+v becomes %+v, %v", m, again, err)
		}
	})
}

// Each way to fail leaves no file that a later open would take for whole.
func TestCreateMetaPropertiesFault(t *testing.T) {
	fault := errors.New("fault")
	for _, op := range []string{"create", "write", "datasync", "rename"} {
		fs := &hookedFS{FS: openDir(t)}
		fs.hook = func(got, _ string) error {
			if got == op {
				return fault
			}
			return nil
		}
		if _, err := openMetaProperties(fs, 0); !errors.Is(err, fault) {
			t.Errorf("%s: %v, want %v", op, err, fault)
		}
		if got := getFile(t, fs, metaPropertiesFile); got != "" {
			t.Errorf("%s: file holds %q", op, got)
		}
	}
}
