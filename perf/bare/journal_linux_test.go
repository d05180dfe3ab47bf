package bare

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"os"
	"path/filepath"
	"testing"
)

// What the journal's last records say is what the files have, also after it went
// round several times; records longer than a half can be are cut into some.
func TestJournal(t *testing.T) {
	dir := t.TempDir()
	s := newLoopSink(t, LoopSinkOptions{Dir: dir, Partitions: 3, JournalBytes: leastJournal})
	conn := sinkConn{send: func([]byte) {}}
	for turn := range 20 {
		for i := range 3 * (1 + turn%3) {
			f := s.files[i%3]
			if len(f.batches) == 0 {
				s.dirty = append(s.dirty, f)
			}
			batch := bytes.Repeat([]byte{byte(turn), byte(i)}, 5_000+20_000*(turn%7))
			f.batches = append(f.batches, batch)
			f.asked = append(f.asked, asked{&conn, 1})
			f.bytes += int64(len(batch))
		}
		if err := s.turned(); err != nil {
			t.Fatal(err)
		}
	}
	ring, err := os.ReadFile(filepath.Join(dir, "bare-journal"))
	if err != nil {
		t.Fatal(err)
	}
	if len(ring) != leastJournal {
		t.Errorf("journal of %d bytes, want %d", len(ring), leastJournal)
	}
	var files [3][]byte
	for i := range files {
		if files[i], err = os.ReadFile(SinkFile(dir, i)); err != nil {
			t.Fatal(err)
		}
	}
	last, records := s.journal.sequence, 0
	for at := 0; at < len(ring); at += journalBlock {
		sequence, ok := checkRecord(t, files[:], ring[at:])
		if !ok {
			continue
		}
		records++
		if sequence > last {
			t.Errorf("record %d, want none above %d", sequence, last)
		}
	}
	if records < 3 {
		t.Errorf("%d records, want some in each half", records)
	}
	if most := int64(20 + 3*20); s.Syncs() < 20 || s.Syncs() > most {
		t.Errorf("%d syncs of 20 turns, want 20 to %d", s.Syncs(), most)
	}
}

// checkRecord tells whether a record begins p, unless it was overwritten in
// part, and compares its batches with the files.
func checkRecord(t *testing.T, files [][]byte, p []byte) (sequence uint64, ok bool) {
	t.Helper()
	if string(p[:4]) != "BJ01" {
		return 0, false
	}
	count, size := binary.LittleEndian.Uint32(p[16:]), int(binary.LittleEndian.Uint32(p[20:]))
	head := p[:journalHead+journalEntry*int(count)]
	if crc32.Checksum(head[8:], castagnoli) != binary.LittleEndian.Uint32(p[4:]) {
		t.Errorf("record with a bad crc")
		return 0, false
	}
	batches := p[len(head):][:size]
	for entry := head[journalHead:]; len(entry) > 0; entry = entry[journalEntry:] {
		partition, length := binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint32(entry[4:])
		position := binary.LittleEndian.Uint64(entry[8:])
		if overwritten := bytes.Contains(batches[:length], []byte("BJ01")); overwritten {
			break // by a later record that is shorter
		}
		if !bytes.Equal(batches[:length], files[partition][position:][:length]) {
			t.Errorf("record %d: batch of partition %d at %d is not what its file has", binary.LittleEndian.Uint64(p[8:]), partition, position)
		}
		batches = batches[length:]
	}
	return binary.LittleEndian.Uint64(p[8:]), true
}
