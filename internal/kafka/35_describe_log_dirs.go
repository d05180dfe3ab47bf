package kafka

import (
	"maps"
	"path/filepath"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/internal/netloop"
)

// DescribeLogDirs (key 35), versions 1 to 4: the data directory, and how large
// the logs in it are.
//
// Version 2 is flexible, 3 has an error at the top, 4 the size of the file
// system. There is one directory, and no replica that lags or moves. A directory
// that has stopped after an error of the disk is listed with that error and no
// partitions, as with Kafka, although they can be read.
var describeLogDirsAPI = &api{
	key: 35, name: "DescribeLogDirs", min: 1, max: 4, flexible: 2,
	access: access{clusterResource, describeOperation},
	handle: (*session).describeLogDirs,
}

func (s *session) describeLogDirs(r *request, out *netloop.Out) error {
	m, err := readDescribeLogDirs(&r.body, r.version)
	if err != nil {
		return err
	}
	s.run(r, out, func() kmsg.Response { return s.describeLogDirsResponse(m) })
	return nil
}

// readDescribeLogDirs decodes a request; Topics is nil where all are meant.
func readDescribeLogDirs(r *reader, version int16) (*kmsg.DescribeLogDirsRequest, error) {
	m := kmsg.NewPtrDescribeLogDirsRequest()
	m.Version = version
	m.Topics = slice(r, 3, func(r *reader) kmsg.DescribeLogDirsRequestTopic {
		t := kmsg.NewDescribeLogDirsRequestTopic()
		t.Topic = r.string()
		t.Partitions = nonNull(r, slice(r, 4, (*reader).int32))
		r.tags()
		return t
	})
	r.tags()
	return m, r.end()
}

func (f *frontend) describeLogDirsResponse(m *kmsg.DescribeLogDirsRequest) kmsg.Response {
	dir := kmsg.NewDescribeLogDirsResponseDir()
	dir.Dir = f.engine.Path()
	if path, err := filepath.Abs(dir.Dir); err == nil {
		dir.Dir = path
	}
	dir.TotalBytes, dir.UsableBytes = -1, -1 // not known
	if space, err := f.engine.Space(); err == nil {
		dir.TotalBytes, dir.UsableBytes = space.Total, space.Available
	}
	if f.engine.Failure() != nil {
		dir.ErrorCode = int16(codeKafkaStorageError)
	} else {
		dir.Topics = f.logSizes(m.Topics)
	}
	response := kmsg.NewPtrDescribeLogDirsResponse()
	response.Dirs = []kmsg.DescribeLogDirsResponseDir{dir}
	return response
}

// logSizes lists the partitions that are asked for and that there are, each
// once; nil asks for all.
func (f *frontend) logSizes(asked []kmsg.DescribeLogDirsRequestTopic) []kmsg.DescribeLogDirsResponseDirTopic {
	topics := f.engine.Topics()
	var sizes []kmsg.DescribeLogDirsResponseDirTopic
	add := func(name string, partitions []*engine.Partition) {
		d := kmsg.NewDescribeLogDirsResponseDirTopic()
		d.Topic = name
		for _, p := range partitions {
			e := kmsg.NewDescribeLogDirsResponseDirTopicPartition()
			e.Partition, e.Size = p.Index(), p.Size()
			d.Partitions = append(d.Partitions, e)
		}
		sizes = append(sizes, d)
	}
	if asked == nil {
		for _, name := range slices.Sorted(maps.Keys(topics)) {
			add(name, topics[name].Partitions())
		}
		return sizes
	}
	wanted := map[string]map[int32]bool{}
	for _, t := range asked {
		if wanted[t.Topic] == nil {
			wanted[t.Topic] = map[int32]bool{}
		}
		for _, index := range t.Partitions {
			wanted[t.Topic][index] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if topics[name] == nil {
			continue
		}
		partitions := slices.DeleteFunc(slices.Clone(topics[name].Partitions()), func(p *engine.Partition) bool { return !wanted[name][p.Index()] })
		if len(partitions) > 0 {
			add(name, partitions)
		}
	}
	return sizes
}
