package engine

import (
	"fmt"
	"math"
	"path"
	"path/filepath"
	"strings"

	"github.com/rollway/rollway/engine/vfs"
)

// partition.metadata, Kafka's format: two lines of text in each partition's
// directory, the last without a line end. A reader accepts one.
//
//	version: 0
//	topic_id: <TopicID.String>
const (
	partitionMetadataFile = "partition.metadata"
	// maxPartitionMetadataBytes bounds what is read; the file has 43 bytes.
	maxPartitionMetadataBytes = 4 << 10
)

// readPartitionMetadata returns the topic that the partition in dir belongs to.
//
// Errors: ErrBadCheckpoint, also with ErrUnknownVersion; fs.ErrNotExist.
func readPartitionMetadata(fs vfs.FS, dir string) (TopicID, error) {
	name := path.Join(dir, partitionMetadataFile)
	content, err := readCheckpointFile(fs, name, maxPartitionMetadataBytes)
	if err != nil {
		return TopicID{}, err
	}
	return parsePartitionMetadata(filepath.Join(fs.Path(), name), content)
}

// writePartitionMetadata makes the partition in dir one of the topic id,
// durably. Errors as writeFileAtomic.
func writePartitionMetadata(fs vfs.FS, dir string, id TopicID) error {
	return writeFileAtomic(fs, dir, partitionMetadataFile, encodePartitionMetadata(id))
}

func encodePartitionMetadata(id TopicID) []byte {
	return []byte("version: 0\ntopic_id: " + id.String())
}

// parsePartitionMetadata reads the file; file is for messages.
func parsePartitionMetadata(file string, content []byte) (TopicID, error) {
	first, second, _ := strings.Cut(string(content), "\n")
	version, isVersion := strings.CutPrefix(first, "version: ")
	if version != "0" || !isVersion {
		err := badCheckpointLine(file, 1, first, `"version: 0"`)
		if _, isNumber := parseDecimal(version, math.MaxInt32); isVersion && isNumber {
			err = fmt.Errorf("%w: %w", err, ErrUnknownVersion)
		}
		return TopicID{}, err
	}
	second = strings.TrimSuffix(second, "\n")
	text, isID := strings.CutPrefix(second, "topic_id: ")
	id, err := ParseTopicID(text)
	if !isID || err != nil || id.isReserved() {
		return TopicID{}, badCheckpointLine(file, 2, second, `"topic_id: " and a topic's id`)
	}
	return id, nil
}
