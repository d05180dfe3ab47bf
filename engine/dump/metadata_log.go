package dump

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/cespare/xxhash/v2"
)

// The metadata log, docs/format/metadata-log.md. All integers are big-endian,
// checksums XXH64 with seed 0.
const (
	metadataMagic      = "rollmeta"
	metadataVersion    = 1
	metadataHeaderSize = 28 // magic 8, version 4, snapshot 8, checksum 8
	minFrameSize       = 20 // length 4, version 8, checksum 8
	maxFrameSize       = 64 << 20
	recordVersion      = 1
)

// metadataLog emits the commits of a metadata log.
func (d *dumper) metadataLog(content []byte) error {
	snapshot, wrong := metadataHeader(content)
	if wrong != nil {
		// The frames of another version may have another form, but one of this
		// version with a damaged header is worth reading.
		if err := d.problem(0, "%v", wrong); err != nil || len(content) < metadataHeaderSize {
			return err
		}
	}
	last := uint64(0)
	for at := metadataHeaderSize; at < len(content); {
		commit, size, wrong := metadataFrame(content[at:])
		if wrong != nil {
			next := nextFrame(content, at+1)
			if err := d.badFrame(content, at, next, wrong); err != nil {
				return err
			}
			at = next
			continue
		}
		commit.Position = int64(at)
		commit.Snapshot = at == metadataHeaderSize && snapshot != 0
		if err := d.emit(commit); err != nil {
			return err
		}
		if last != 0 && commit.Number != last+1 {
			if err := d.problem(int64(at), "commit %d, want %d", commit.Number, last+1); err != nil {
				return err
			}
		}
		last = commit.Number
		at += size
	}
	return nil
}

// badFrame reports a frame that is not whole; next is where one is.
func (d *dumper) badFrame(content []byte, at, next int, wrong error) error {
	if next < len(content) {
		return d.problem(int64(at), "%v; %d bytes skipped to the next whole commit", wrong, next-at)
	}
	d.problems++
	text := fmt.Sprintf("%v; no whole commit in the last %d bytes: an unfinished commit, which the next start cuts off", wrong, next-at)
	return d.emit(Problem{Position: int64(at), Text: text, Torn: true})
}

// metadataHeader checks the header and returns its snapshot field.
func metadataHeader(p []byte) (snapshot uint64, wrong error) {
	if len(p) < metadataHeaderSize {
		return 0, fmt.Errorf("%d bytes, want a header of %d", len(p), metadataHeaderSize)
	}
	if magic := string(p[:8]); magic != metadataMagic {
		return 0, fmt.Errorf("magic %q, want %q", magic, metadataMagic)
	}
	if version := binary.BigEndian.Uint32(p[8:]); version != metadataVersion {
		return 0, fmt.Errorf("version %d, want %d", version, metadataVersion)
	}
	if found, want := binary.BigEndian.Uint64(p[20:]), xxhash.Sum64(p[:20]); found != want {
		return 0, fmt.Errorf("header checksum %016x, want %016x", found, want)
	}
	return binary.BigEndian.Uint64(p[12:]), nil
}

// metadataFrame reads the frame at the beginning of p.
func metadataFrame(p []byte) (commit Commit, size int, wrong error) {
	if len(p) < minFrameSize {
		return Commit{}, 0, fmt.Errorf("%d bytes left, want a frame of at least %d", len(p), minFrameSize)
	}
	declared := 4 + int64(binary.BigEndian.Uint32(p))
	if most := min(int64(len(p)), maxFrameSize); declared < minFrameSize || declared > most {
		return Commit{}, 0, fmt.Errorf("frame of %d bytes, want %d to %d", declared, minFrameSize, most)
	}
	size = int(declared)
	if found, want := binary.BigEndian.Uint64(p[size-8:]), xxhash.Sum64(p[:size-8]); found != want {
		return Commit{}, 0, fmt.Errorf("frame checksum %016x, want %016x", found, want)
	}
	commit.Number = binary.BigEndian.Uint64(p[4:])
	commit.Changes, wrong = metadataChanges(p[12 : size-8])
	if wrong != nil {
		return Commit{}, 0, fmt.Errorf("commit %d: %w", commit.Number, wrong)
	}
	return commit, size, nil
}

// nextFrame returns where the next whole frame begins, from at on, or the end
// of content. It hashes at most searchFactor times the bytes of content.
func nextFrame(content []byte, at int) int {
	budget := searchFactor * int64(len(content))
	for ; len(content)-at >= minFrameSize && budget > 0; at++ {
		if size := 4 + int64(binary.BigEndian.Uint32(content[at:])); size >= minFrameSize && size <= int64(len(content)-at) {
			budget -= size
			if _, _, wrong := metadataFrame(content[at:]); wrong == nil {
				return at
			}
		}
	}
	return len(content)
}

// metadataChanges reads the records of a frame.
func metadataChanges(p []byte) ([]Change, error) {
	changes := []Change{}
	r := fieldReader{rest: p}
	for len(r.rest) > 0 {
		change := r.change()
		if r.err != nil {
			return nil, fmt.Errorf("record %d: %w", len(changes), r.err)
		}
		changes = append(changes, change)
	}
	return changes, nil
}

// fieldReader takes fields from the front of rest. After the first error it
// returns zero values only.
type fieldReader struct {
	rest []byte
	err  error
}

// change reads one record: kind, version, topic id if it is about a topic, and
// what the kind has.
func (r *fieldReader) change() Change {
	kind, version := r.uint(1), r.uint(1)
	if r.err == nil && (kind < 1 || kind > 7 || version != recordVersion) {
		r.err = fmt.Errorf("kind %d version %d, want kind 1 to 7 version %d", kind, version, recordVersion)
	}
	switch kind {
	case 6:
		return Change{Kind: ChangeProducerIDs, NextProducerID: r.int64()}
	case 7:
		return r.nodeConfig()
	}
	c := Change{TopicID: base64.RawURLEncoding.EncodeToString(r.take(16))}
	switch kind {
	case 1:
		c.Kind, c.Partitions, c.Name = ChangeTopic, int32(r.uint(4)), r.string()
		for range r.uint(2) {
			if r.err != nil {
				break
			}
			c.Configs = append(c.Configs, Property{r.string(), r.string()})
		}
	case 2:
		c.Kind, c.Partitions = ChangePartitions, int32(r.uint(4))
	case 3:
		c.Kind = ChangeSetConfig
		if r.uint(1) == 1 {
			c.Kind = ChangeRemoveConfig
		}
		c.Configs = []Property{{r.string(), r.string()}}
	case 4:
		c.Kind = ChangeRemoveTopic
	case 5:
		c.Kind = ChangePurgeTopic
	}
	return c
}

// nodeConfig reads what a record of kind 7 has.
func (r *fieldReader) nodeConfig() Change {
	c := Change{Kind: ChangeSetNodeConfig, Node: AllNodes}
	if node := int32(r.uint(4)); node != -1 {
		c.Node = strconv.Itoa(int(node))
	}
	if r.uint(1) == 1 {
		c.Kind = ChangeRemoveNodeConfig
	}
	c.Configs = []Property{{r.string(), r.string()}}
	return c
}

func (r *fieldReader) take(n int) []byte {
	if r.err == nil && n > len(r.rest) {
		r.err = fmt.Errorf("%d bytes left, want %d", len(r.rest), n)
	}
	if r.err != nil {
		return nil
	}
	p := r.rest[:n]
	r.rest = r.rest[n:]
	return p
}

// uint reads an unsigned integer of n bytes, at most 4.
func (r *fieldReader) uint(n int) (v uint32) {
	for _, b := range r.take(n) {
		v = v<<8 | uint32(b)
	}
	return v
}

func (r *fieldReader) int64() int64 { return int64(r.uint(4))<<32 | int64(r.uint(4)) }

func (r *fieldReader) string() string { return string(r.take(int(r.uint(2)))) }
