package engine

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/rollway/rollway/engine/vfs"
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
	p := fmt.Appendf(nil, "version=%s\ncluster.id=%s\nnode.id=%d\n", metaPropertiesVersion, escapeProperty(m.clusterID), m.nodeID)
	if m.directoryID != (TopicID{}) {
		p = fmt.Appendf(p, "directory.id=%s\n", m.directoryID)
	}
	return p
}

func parseMetaProperties(content []byte) (metaProperties, error) {
	props, err := parseProperties(string(content))
	if err != nil {
		return metaProperties{}, err
	}
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

// parseProperties reads text as java.util.Properties.load does: comments with #
// and !, keys ended by =, : or a space, lines continued by a backslash, \t \n
// \r \f \uXXXX and \ before any other character. Where a key comes twice the
// last one counts. Bytes are ISO 8859-1, so everything else is \uXXXX.
func parseProperties(text string) (map[string]string, error) {
	props := make(map[string]string)
	text = strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\r", "\n")
	for len(text) > 0 {
		var line string
		line, text = cutPropertyLine(text)
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		key, value := splitProperty(line)
		key, err := unescapeProperty(key)
		if err == nil {
			value, err = unescapeProperty(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", quoted(line), err)
		}
		props[key] = value
	}
	return props, nil
}

// propertySpace is what java.util.Properties takes for white space in a line.
const propertySpace = " \t\f"

// cutPropertyLine returns the first line, without white space before it, and
// joined with those that follow while it ends in an odd number of backslashes.
// A comment is never continued.
func cutPropertyLine(text string) (line, rest string) {
	var joined strings.Builder
	for {
		line, rest, _ = strings.Cut(text, "\n")
		line = strings.TrimLeft(line, propertySpace)
		isComment := joined.Len() == 0 && line != "" && (line[0] == '#' || line[0] == '!')
		slashes := len(line) - len(strings.TrimRight(line, `\`))
		if isComment || slashes%2 == 0 {
			joined.WriteString(line)
			return joined.String(), rest
		}
		joined.WriteString(line[:len(line)-1])
		if rest == "" {
			return joined.String(), ""
		}
		text = rest
	}
}

// splitProperty cuts a line behind its key, before anything is unescaped.
func splitProperty(line string) (key, value string) {
	end := len(line)
	for i := 0; i < len(line); i++ {
		if line[i] == '\\' {
			i++
		} else if strings.IndexByte("=:"+propertySpace, line[i]) >= 0 {
			end = i
			break
		}
	}
	value = strings.TrimLeft(line[end:], propertySpace)
	if value != "" && (value[0] == '=' || value[0] == ':') {
		value = strings.TrimLeft(value[1:], propertySpace)
	}
	return line[:end], value
}

func unescapeProperty(s string) (string, error) {
	units := make([]uint16, 0, len(s)) // as in Java: a character above U+FFFF is two escapes
	for i := 0; i < len(s); i++ {
		c := uint16(s[i])
		if c == '\\' && i+1 < len(s) {
			i++
			c = uint16(s[i])
			switch c {
			case 't':
				c = '\t'
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 'f':
				c = '\f'
			case 'u':
				digits := s[i+1 : min(i+5, len(s))]
				n, err := strconv.ParseUint(digits, 16, 16)
				if err != nil || len(digits) < 4 {
					return "", fmt.Errorf(`\u%s, want \u and 4 hex digits`, digits)
				}
				c = uint16(n)
				i += len(digits)
			}
		}
		units = append(units, c)
	}
	return string(utf16.Decode(units)), nil
}

// escapeProperty writes a value as java.util.Properties.store does.
func escapeProperty(s string) string {
	var b strings.Builder
	for i, c := range s {
		switch {
		case c == ' ' && i > 0:
			b.WriteByte(' ')
		case strings.ContainsRune(` \=:#!`, c):
			b.WriteByte('\\')
			b.WriteRune(c)
		case c < ' ' || c > '~':
			for _, unit := range utf16.AppendRune(nil, c) {
				fmt.Fprintf(&b, `\u%04X`, unit)
			}
		default:
			b.WriteRune(c)
		}
	}
	return b.String()
}
