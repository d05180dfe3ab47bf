package engine

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// Kafka's rule, and the bound of a file name with the last partition.
func TestValidateTopicName(t *testing.T) {
	f := func(name string, partitions int, want string) {
		t.Helper()
		err := validateTopicName(name, partitions)
		if got, want := IsTopicName(name), validateTopicName(name, 1) == nil; got != want {
			t.Errorf("IsTopicName(%q) = %v", name, got)
		}
		if want == "" {
			if err != nil {
				t.Errorf("%q with %d partitions: %v", name, partitions, err)
			}
			return
		}
		if err == nil {
			t.Errorf("%q with %d partitions is valid, want %q", name, partitions, want)
			return
		}
		matchError(t, err, ErrInvalidTopicName, want)
	}
	f("a", 1, "")
	f("aZ09._-", 1, "")
	f("...", 1, "")
	f("-", 1, "")
	f("", 1, `"": empty, want 1 to 249`)
	f(".", 1, `".": that is a directory`)
	f("..", 1, `"..": that is a directory`)
	f("a/b", 1, `"a/b": holds '/', want only`)
	f("a b", 1, `holds ' '`)
	f("é", 1, `holds 'é'`)
	f("a\x00", 1, `holds '\x00'`)
	f("\xff", 1, `holds '�'`)
	f(strings.Repeat("x", 250), 1, "250 bytes, want at most 249")
	f(strings.Repeat("x", 249), 100_000, "") // -99999
	f(strings.Repeat("x", 249), 100_001, "its partition 100000 would be a directory with a name of 256 bytes, want at most 255")
	f(strings.Repeat("x", 244), math.MaxInt32, "")
	f(strings.Repeat("x", 249), 0, "")
}

// Names collide when Kafka's metrics would give them one name.
func TestTopicNamesCollide(t *testing.T) {
	f := func(a, b string, want bool) {
		t.Helper()
		if topicNamesCollide(a, b) != want || topicNamesCollide(b, a) != want {
			t.Errorf("%s and %s: want %v", a, b, want)
		}
	}
	f("a.b", "a_b", true)
	f("a.b_c", "a_b.c", true)
	f("a.b", "a.b", true)
	f("a.b", "a-b", false)
	f("a.b", "a_bc", false)
}

// A directory is a partition exactly when partitionDirName would give it that name.
func TestParsePartitionDirName(t *testing.T) {
	f := func(dir, wantTopic string, wantIndex int32, want bool) {
		t.Helper()
		topic, index, ok := parsePartitionDirName(dir)
		if topic != wantTopic || index != wantIndex || ok != want {
			t.Errorf("%q: %q, %d, %v; want %q, %d, %v", dir, topic, index, ok, wantTopic, wantIndex, want)
		}
		if ok && partitionDirName(topic, index) != dir {
			t.Errorf("%q becomes %q", dir, partitionDirName(topic, index))
		}
	}
	f("orders-0", "orders", 0, true)
	f("a-b-12", "a-b", 12, true)
	f("--1", "-", 1, true)
	f("x-2147483647", "x", math.MaxInt32, true)
	f("x-2147483648", "", 0, false)
	f("x-01", "", 0, false)
	f("x-+1", "", 0, false)
	f("x-", "", 0, false)
	f("x--", "", 0, false)
	f("-1", "", 0, false)
	f("..-1", "", 0, false)
	f("lost+found", "", 0, false)
	f("lost+found-1", "", 0, false)
	f("orders", "", 0, false)
	f("", "", 0, false)
	f("orders-0.0123456789abcdef0123456789abcdef-delete", "", 0, false)
}

// The name of a deleted partition fits a file name and is known again.
func TestDeletedDirName(t *testing.T) {
	id := TopicID{0: 0x01, 15: 0xfe}
	f := func(topic string, index int32, want string) {
		t.Helper()
		got := deletedDirName(topic, index, id)
		if got != want || len(got) > 255 || !isDeletedDirName(got) {
			t.Errorf("%s (%d bytes), want %s", got, len(got), want)
		}
	}
	const hex = "010000000000000000000000000000fe"
	f("a-b.c", 7, "a-b.c-7."+hex+"-delete")
	f(strings.Repeat("x", 249), 0, strings.Repeat("x", 213)+"-0."+hex+"-delete")
	f(strings.Repeat("x", 244), math.MaxInt32, strings.Repeat("x", 204)+"-2147483647."+hex+"-delete")

	not := func(dir string) {
		t.Helper()
		if isDeletedDirName(dir) {
			t.Errorf("%s is taken for a deleted partition", dir)
		}
	}
	not("a-7")
	not("a-7." + hex)
	not("a-7." + hex + "-stray")
	not("a-7." + hex[:30] + "-delete")
	not("a-7." + hex[:30] + "xx-delete")
	not("a." + hex + "-delete")
	not("-7." + hex + "-delete")
	not("a-7-delete")
	not("-delete")
}

// No name makes the parser panic, and what it accepts it can write again.
func FuzzParsePartitionDirName(f *testing.F) {
	f.Add("orders-0")
	f.Add("a-7.010000000000000000000000000000fe-delete")
	f.Fuzz(func(t *testing.T, dir string) {
		isDeletedDirName(dir)
		topic, index, ok := parsePartitionDirName(dir)
		if ok && partitionDirName(topic, index) != dir {
			t.Errorf("%q becomes %q", dir, partitionDirName(topic, index))
		}
		if err := validateTopicName(dir, 1); err != nil && !errors.Is(err, ErrInvalidTopicName) {
			t.Error(err)
		}
	})
}
