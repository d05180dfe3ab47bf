package engine

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"

	"github.com/rollway/rollway/engine/vfs"
	"github.com/rollway/rollway/internal/properties"
)

// meta.properties, Kafka's format: a text file of java.util.Properties with
//
//	version       1
//	cluster.id    any text that is not empty; Kafka and we make a random UUID
//	node.id       0 to 2147483647
//	directory.id  UUID in Kafka's form; Kafka before 3.7 wrote none
//
// Other keys are ignored.
const (
	metaPropertiesFile    = "meta.properties"
	metaPropertiesVersion = "1"
	// maxMetaPropertiesBytes bounds what is read; Kafka's own has 150 bytes.
	maxMetaPropertiesBytes = 64 << 10
)

// metaProperties says whose data directory this is.
type metaProperties struct {
	clusterID   string
	nodeID      int32
	directoryID TopicID // a UUID like that of a topic; zero: the file has none
}

// openMetaProperties reads meta.properties and checks that the directory
// belongs to node nodeID. A new directory gets one, with random ids, and an old
// one without a directory id gets that, as Kafka does.
//
// Errors: ErrDirectoryRefused, with nothing changed, when the file is of
// another node, not readable as such a file, of an unknown version (then also
// ErrUnknownVersion), or missing although the directory holds partitions;
// those of writeFileAtomic.
func openMetaProperties(fs vfs.FS, nodeID int32) (metaProperties, error) {
	content, err := readFileBounded(fs, metaPropertiesFile, maxMetaPropertiesBytes)
	if errors.Is(err, os.ErrNotExist) {
		return createMetaProperties(fs, nodeID)
	}
	if err != nil {
		return metaProperties{}, err
	}
	file := filepath.Join(fs.Path(), metaPropertiesFile)
	m, err := parseMetaProperties(content)
	if err != nil {
		return metaProperties{}, fmt.Errorf("%w: %s: %w", ErrDirectoryRefused, file, err)
	}
	if m.nodeID != nodeID {
		return metaProperties{}, fmt.Errorf("%w: %s: node.id %d, want %d; this directory belongs to another node: check the data directory and the node id", ErrDirectoryRefused, file, m.nodeID, nodeID)
	}
	if m.directoryID == (TopicID{}) {
		m.directoryID = NewTopicID()
		err = writeFileAtomic(fs, ".", metaPropertiesFile, m.encode())
	}
	return m, err
}

// createMetaProperties makes the file unless something in the directory says
// that it was there before.
func createMetaProperties(fs vfs.FS, nodeID int32) (metaProperties, error) {
	entries, err := fs.ReadDir(".")
	if err != nil {
		return metaProperties{}, err
	}
	for _, e := range entries {
		_, _, isPartition := parsePartitionDirName(e.Name())
		isData := e.IsDir() && (isPartition || isDeletedDirName(e.Name())) || e.Name() == metadataLogFile
		if isData {
			return metaProperties{}, fmt.Errorf("%w: %s holds %s but no %s; take the right directory, or restore the file from a backup, or, if these data are this node's, write it with the lines version=%s, cluster.id=<any name>, node.id=%d",
				ErrDirectoryRefused, fs.Path(), e.Name(), metaPropertiesFile, metaPropertiesVersion, nodeID)
		}
	}
	m := metaProperties{clusterID: NewTopicID().String(), nodeID: nodeID, directoryID: NewTopicID()}
	return m, writeFileAtomic(fs, ".", metaPropertiesFile, m.encode())
}

// encode returns the file.
func (m metaProperties) encode() []byte {
	p := fmt.Appendf(nil, "version=%s\ncluster.id=%s\nnode.id=%d\n", metaPropertiesVersion, properties.Escape(m.clusterID), m.nodeID)
	if m.directoryID != (TopicID{}) {
		p = fmt.Appendf(p, "directory.id=%s\n", m.directoryID)
	}
	return p
}

func parseMetaProperties(content []byte) (metaProperties, error) {
	list, err := properties.Parse(string(content))
	if err != nil {
		return metaProperties{}, err
	}
	props := properties.Map(list)
	switch version, found := props["version"]; {
	case !found || version == "0":
		return metaProperties{}, fmt.Errorf("version 0, want %s; a Kafka with ZooKeeper wrote it: migrate that to KRaft first: %w", metaPropertiesVersion, ErrUnknownVersion)
	case version != metaPropertiesVersion:
		return metaProperties{}, fmt.Errorf("version %s, want %s; a newer program wrote it: %w", quoted(version), metaPropertiesVersion, ErrUnknownVersion)
	}
	m := metaProperties{clusterID: props["cluster.id"]}
	if m.clusterID == "" {
		return metaProperties{}, errors.New("no cluster.id, want one")
	}
	nodeID, ok := parseDecimal(props["node.id"], math.MaxInt32)
	if !ok {
		return metaProperties{}, fmt.Errorf("node.id %s, want 0 to %d", quoted(props["node.id"]), math.MaxInt32)
	}
	m.nodeID = int32(nodeID)
	if text, found := props["directory.id"]; found {
		if m.directoryID, err = ParseTopicID(text); err != nil {
			return metaProperties{}, fmt.Errorf("directory.id: %w", err)
		}
		if m.directoryID.isReserved() {
			return metaProperties{}, fmt.Errorf("directory.id %s, want one that Kafka does not reserve", m.directoryID)
		}
	}
	return m, nil
}
