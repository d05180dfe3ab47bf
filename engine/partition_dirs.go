package engine

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"sync"
)

// makePartitionDirs makes the directories of partitions from first to end,
// exclusive, durably, or none of them.
func (e *Engine) makePartitionDirs(topic string, id TopicID, first, end int32) error {
	if err := e.forgetPoints(topic, first, end); err != nil {
		return forWantOfSpace(err)
	}
	if err := e.forgetSnapshots(topic, first, end); err != nil {
		return forWantOfSpace(err)
	}
	if err := e.forgetLogStarts(topic, first, end); err != nil {
		return forWantOfSpace(err)
	}
	var mu sync.Mutex
	var made []string
	err := forEach(partitionDirNames(topic, first, end), e.options.SyncParallelism, func(dir string) error {
		if err := e.fs.Mkdir(dir); err != nil {
			return err
		}
		mu.Lock()
		made = append(made, dir)
		mu.Unlock()
		return writePartitionMetadata(e.fs, dir, id)
	})
	if err == nil {
		if err = e.fs.SyncDir("."); err != nil {
			err = syncFault(err)
		}
	}
	if isFinal(err) {
		e.fail(err)
	}
	if err != nil {
		e.removePartitionDirs(made)
	}
	return forWantOfSpace(err)
}

func partitionDirNames(topic string, first, end int32) []string {
	var names []string
	for i := first; i < end; i++ {
		names = append(names, partitionDirName(topic, i))
	}
	return names
}

// abandonPartitionDirs removes the directories of partitions that could not be
// committed. After a final error it is not known whether they were: then the
// next start tells, and finds them or removes them.
func (e *Engine) abandonPartitionDirs(cause error, dirs []string) {
	if !isFinal(cause) {
		e.removePartitionDirs(dirs)
	}
}

// removePartitionDirs removes directories that hold no log: those of a creation
// that did not come about.
func (e *Engine) removePartitionDirs(dirs []string) {
	for _, dir := range dirs {
		if err := e.removeEmptyPartition(dir); err != nil {
			e.options.Log.Warn("directory of a topic that was not created stays until the next start", "dir", dir, "error", err)
		}
	}
}

func (e *Engine) removeEmptyPartition(dir string) error {
	for _, name := range []string{partitionMetadataFile, partitionMetadataFile + tempSuffix} {
		if err := e.fs.Remove(path.Join(dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return e.fs.Remove(dir)
}

// renameDeleted gives the directories of a deleted topic names that no
// partition has, and returns those.
func (e *Engine) renameDeleted(t *TopicImage) ([]string, error) {
	var dirs []string
	for i := range t.Partitions {
		from, to := partitionDirName(t.Name, i), deletedDirName(t.Name, i, t.ID)
		if err := e.withBallast(func() error { return e.fs.Rename(from, to) }); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		dirs = append(dirs, to)
	}
	if err := e.fs.SyncDir("."); err != nil {
		err = syncFault(err)
		e.fail(err)
		return nil, err
	}
	return dirs, nil
}

// removeTree removes a partition's directory, which holds files only.
func (e *Engine) removeTree(dir string) error {
	entries, err := e.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := e.fs.Remove(path.Join(dir, entry.Name())); err != nil {
			return err
		}
	}
	return e.fs.Remove(dir)
}

// sweep deals with the directories that no topic accounts for: those of deleted
// topics are removed in the background, those of a creation that was interrupted
// at once; all others are reported and left alone. It runs before anything is
// created.
func (e *Engine) sweep() error {
	image := e.metadata.Image()
	entries, err := e.fs.ReadDir(".")
	if err != nil {
		return err
	}
	var deleted []string
	for _, entry := range entries {
		dir := entry.Name()
		if !entry.IsDir() {
			if !isRootFile(dir) {
				e.options.Log.Warn("unknown file is ignored", "file", dir)
			}
			continue
		}
		if isDeletedDirName(dir) {
			// It was renamed after the removal of its topic was durable.
			deleted = append(deleted, dir)
			continue
		}
		topic, index, ok := parsePartitionDirName(dir)
		if !ok {
			e.options.Log.Warn("unknown directory is ignored", "dir", dir)
			continue
		}
		if t := image.Topics[topic]; t != nil && index < t.Partitions {
			continue
		}
		renamed, err := e.sweepOrphan(dir, topic, index)
		if err != nil {
			return err
		}
		if renamed != "" {
			deleted = append(deleted, renamed)
		}
	}
	if len(deleted)+len(image.Deleted) > 0 {
		e.removeLater(0, removal{dirs: deleted, topics: slices.Collect(maps.Keys(image.Deleted))})
	}
	return nil
}

// isRootFile tells the files that belong into a data directory: ours and Kafka's.
func isRootFile(name string) bool {
	switch strings.TrimSuffix(name, tempSuffix) {
	case lockFile, metaPropertiesFile, metadataLogFile, cleanShutdownFile, recoveryPointFile, logStartOffsetFile, producerSnapshotsFile,
		ballastFile, journalFile, bootFile, storageFailedFile,
		"replication-offset-checkpoint", "cleaner-offset-checkpoint", "bootstrap.checkpoint":
		return true
	}
	return false
}

// sweepOrphan deals with a partition's directory that belongs to no topic. It
// returns the new name of one that belongs to a deleted topic.
func (e *Engine) sweepOrphan(dir, topic string, index int32) (renamed string, err error) {
	id, idErr := readPartitionMetadata(e.fs, dir)
	if idErr == nil && e.metadata.Image().Deleted[id] != nil {
		renamed = deletedDirName(topic, index, id)
		if err := e.fs.Rename(dir, renamed); err != nil {
			return "", fmt.Errorf("rename the directory of a deleted topic: %w", err)
		}
		return renamed, nil
	}
	entries, err := e.fs.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, entry := range entries {
		if name := entry.Name(); name != partitionMetadataFile && name != partitionMetadataFile+tempSuffix {
			e.options.Log.Warn("directory of an unknown topic is ignored and stays as it is", "dir", dir, "topic_id", id, "error", idErr)
			return "", nil
		}
	}
	e.options.Log.Info("directory of a topic whose creation was interrupted is removed", "dir", dir)
	return "", e.removeEmptyPartition(dir)
}
