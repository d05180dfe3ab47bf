package faultlab

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A Harm is a way to harm a file.
type Harm struct {
	Name string
	do   func(random *rand.Rand, kind, path string) error
}

// Do harms the file at path, which is of a kind of FileKinds.
func (h Harm) Do(random *rand.Rand, kind, path string) error { return h.do(random, kind, path) }

// Harms are all ways.
var Harms = []Harm{
	{"missing", func(_ *rand.Rand, _, path string) error { return os.Remove(path) }},
	{"empty", content(func(*rand.Rand, []byte) []byte { return nil })},
	{"truncated", content(func(r *rand.Rand, p []byte) []byte { return p[:r.IntN(max(len(p), 1))] })},
	{"one bit flipped", content(func(r *rand.Rand, p []byte) []byte {
		if len(p) > 0 {
			bit := r.IntN(len(p) * 8)
			p[bit/8] ^= 1 << (bit % 8)
		}
		return p
	})},
	{"zero-padded", content(func(r *rand.Rand, p []byte) []byte { return append(p, make([]byte, 1+r.IntN(9000))...) })},
	{"garbage tail", content(func(r *rand.Rand, p []byte) []byte {
		for range 1 + r.IntN(3000) {
			p = append(p, byte(r.Uint32()))
		}
		return p
	})},
	{"symlink", func(_ *rand.Rand, _, path string) error {
		aside := path + ".elsewhere"
		return errors.Join(os.Rename(path, aside), os.Symlink(filepath.Base(aside), path))
	}},
	{"directory", func(_ *rand.Rand, _, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }},
	{"future version", futureVersion},
}

// content is a harm that edits what the file holds.
func content(change func(*rand.Rand, []byte) []byte) func(*rand.Rand, string, string) error {
	return func(r *rand.Rand, _, path string) error {
		p, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(path, change(r, p), 0o600)
	}
}

// futureVersion writes into a file what a later program would: the next version,
// and garbage where this program has no version to read.
func futureVersion(r *rand.Rand, kind, path string) error {
	return content(func(r *rand.Rand, p []byte) []byte {
		switch {
		case len(p) < 20:
			return []byte("version 2\n")
		case kind == ".log":
			p[16] = 3
		case kind == ".snapshot":
			binary.BigEndian.PutUint16(p, 2)
		case kind == "partition.metadata":
			p = []byte(strings.Replace(string(p), "version: 0", "version: 1", 1))
		case kind == "meta.properties":
			p = []byte(strings.Replace(string(p), "version=1", "version=2", 1))
		case strings.HasSuffix(kind, "checkpoint"), kind == "rollway-producer-snapshots":
			p[0] = '1'
		case strings.HasPrefix(kind, "rollway-"):
			binary.BigEndian.PutUint32(p[8:], 2)
		default:
			p[0] ^= 0x40
		}
		return p
	})(r, kind, path)
}

// FileKinds are the kinds of files of a data directory, by their names or by what
// these end with.
var FileKinds = []string{
	".log", ".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint", "partition.metadata",
	"meta.properties", "rollway-metadata.log", "recovery-point-offset-checkpoint", "log-start-offset-checkpoint",
	".kafka_cleanshutdown", "rollway-producer-snapshots", "rollway-journal", "rollway-quarantine", "rollway-boot",
	"rollway-ballast", ".lock",
}

// FilesOf returns the files of a kind that the data directory and that of one of its
// partitions have, by their paths below dir.
func FilesOf(dir, partition, kind string) ([]string, error) {
	var found []string
	for _, pattern := range []string{kind, partition + "/" + kind, partition + "/*" + kind} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			rel, err := filepath.Rel(dir, name)
			if err != nil {
				return nil, err
			}
			found = append(found, rel)
		}
	}
	slices.Sort(found)
	return slices.Compact(found), nil
}
