package kafka

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sys/unix"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/node"
)

// The data directory is described in every version with the sizes of the logs
// that are asked for, each once, and the file system's.
func TestDescribeLogDirs(t *testing.T) {
	f := openFrontend(t, node.Options{})
	c := dial(t, f)
	a := createTopic(t, f, "a", 3)
	createTopic(t, f, "b", 1)
	log := appendAll(t, a.Partitions()[1], batchOf(t, "a", "b", "c"))
	describe := func(version int16, topics []kmsg.DescribeLogDirsRequestTopic) kmsg.DescribeLogDirsResponseDir {
		t.Helper()
		m := kmsg.NewPtrDescribeLogDirsRequest()
		m.Topics = topics
		answer := c.ask(m, version).(*kmsg.DescribeLogDirsResponse)
		if answer.ErrorCode != 0 || len(answer.Dirs) != 1 {
			t.Fatalf("version %d: %+v", version, answer)
		}
		return answer.Dirs[0]
	}
	for version := int16(1); version <= 4; version++ {
		d := describe(version, nil)
		if !filepath.IsAbs(d.Dir) || d.Dir != f.engine.Path() || d.ErrorCode != 0 || len(d.Topics) != 2 || len(d.Topics[0].Partitions) != 3 || len(d.Topics[1].Partitions) != 1 {
			t.Fatalf("version %d: %+v", version, d)
		}
		if p := d.Topics[0].Partitions[1]; p.Partition != 1 || p.Size != int64(len(log)) || p.OffsetLag != 0 || p.IsFuture {
			t.Errorf("version %d: %+v, want %d bytes", version, p, len(log))
		}
		if version >= 4 && (d.UsableBytes <= 0 || d.TotalBytes < d.UsableBytes) {
			t.Errorf("version %d: %d of %d bytes usable", version, d.UsableBytes, d.TotalBytes)
		}
		d = describe(version, []kmsg.DescribeLogDirsRequestTopic{
			{Topic: "b", Partitions: []int32{0, 1}}, {Topic: "u", Partitions: []int32{0}}, {Topic: "a", Partitions: []int32{2, 2}}, {Topic: "a", Partitions: []int32{0, 2}},
		})
		if len(d.Topics) != 2 || len(d.Topics[0].Partitions) != 2 || d.Topics[0].Partitions[1].Partition != 2 || len(d.Topics[1].Partitions) != 1 {
			t.Errorf("version %d, some: %+v", version, d.Topics)
		}
		if d = describe(version, []kmsg.DescribeLogDirsRequestTopic{}); len(d.Topics) != 0 {
			t.Errorf("version %d, none: %+v", version, d.Topics)
		}
	}
}

// A directory that has stopped says so.
func TestDescribeLogDirsFailed(t *testing.T) {
	disk := vfs.NewFailing(vfs.NewMem("/data"))
	f := openFrontend(t, node.Options{Engine: engine.Options{FS: disk}})
	createTopic(t, f, "t", 1)
	disk.Arm(vfs.Fault{Op: vfs.OpDatasync, N: 1, Err: unix.EIO, Stay: true})
	if _, err := f.engine.CreateTopic(engine.TopicSpec{Name: "u"}); !errors.Is(err, engine.ErrStorageFailed) {
		t.Fatalf("creation on a failing disk: %v", err)
	}
	answer := dial(t, f).ask(kmsg.NewPtrDescribeLogDirsRequest(), 4).(*kmsg.DescribeLogDirsResponse)
	if d := answer.Dirs[0]; d.Dir != "/data" || code(d.ErrorCode) != codeKafkaStorageError || len(d.Topics) != 0 {
		t.Errorf("%+v", d)
	}
}
