package engine

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"

	"github.com/rollway/rollway/engine/vfs"
)

// Metadata log, big-endian: a header, then one frame per commit. Each checksum
// is XXH64 with seed 0 of all bytes before it in the header or the frame.
//
//	at  len  field
//	 0    8  magic               "rollmeta"
//	 8    4  version             1
//	12    8  snapshot            0, or the commit number of the first frame,
//	                             which then holds a whole image
//	20    8  checksum
//
//	at  len  field
//	 0    4  length              bytes after this field, at least 16
//	 4    8  version             commit number, one more than the frame before
//	12    .  records
//	 .    8  checksum
const (
	metadataLogFile    = "rollway-metadata.log"
	metadataMagic      = "rollmeta"
	metadataLogVersion = 1

	metadataHeaderSize = 28
	frameLengthSize    = 4  // the length field itself
	frameFixedSize     = 16 // version and checksum: the least that length counts
	minFrameSize       = frameLengthSize + frameFixedSize

	// maxFrameSize bounds a commit and a snapshot: 200,000 topics with the
	// longest names, or a million with usual ones.
	maxFrameSize = 64 << 20
	// maxMetadataLogBytes bounds the file, which is read as a whole: more than
	// two million commits of one topic each. Opening it makes it small again.
	maxMetadataLogBytes = 256 << 20

	// A log is rewritten as a snapshot when it holds more than rewriteFactor
	// records for each that the snapshot needs, and not before it holds
	// rewriteMinRecords: reading so few takes less than a millisecond.
	rewriteFactor     = 4
	rewriteMinRecords = 1000
)

// metadataLog is the MetadataStore of a node that is alone: one append-only
// file in the data directory, synced by each commit.
type metadataLog struct {
	image atomic.Pointer[MetadataImage]
	// torn is how many bytes of an unfinished commit openMetadataLog cut off.
	torn int64
	file vfs.File

	// mu serializes commits; it is held across their sync. Lock order: mu,
	// then watchMu.
	mu sync.Mutex
	// end is where the next frame goes. Invariant: all before it is valid and
	// durable. +checklocks:mu
	end Position
	// failed is why no commit is possible any more: the first fault of a write
	// or a sync, or ErrClosed. +checklocks:mu
	failed error

	watchMu sync.Mutex
	// watchers are the channels of Changed, by after. Invariant: each key is
	// at least the image's version. +checklocks:watchMu
	watchers map[uint64]chan struct{}
}

// openMetadataLog opens the metadata of the data directory fs, which the caller
// has locked, and makes the file if there is none. A commit that a crash left
// unfinished at the end is cut off; a log of mostly outdated records is
// rewritten, unless there is no space for that.
//
// Errors: *CorruptionError when bytes are damaged that are not such an end, or
// cannot be applied, also with ErrUnknownVersion; then the file is unchanged.
// ErrStorageFailed when cutting or rewriting went wrong.
func openMetadataLog(fs vfs.FS) (*metadataLog, error) {
	content, err := readFileBounded(fs, metadataLogFile, maxMetadataLogBytes)
	if errors.Is(err, os.ErrNotExist) {
		content = appendMetadataHeader(nil, 0)
		err = writeFileAtomic(fs, ".", metadataLogFile, content)
	}
	if err != nil {
		return nil, err
	}
	scan, err := scanMetadataLog(filepath.Join(fs.Path(), metadataLogFile), content)
	if err != nil {
		return nil, err
	}
	end := scan.end
	if snapshot := scan.image.snapshot(); scan.records > max(rewriteMinRecords, rewriteFactor*len(snapshot)) {
		if end, err = rewriteMetadataLog(fs, scan, snapshot); err != nil {
			return nil, err
		}
	}
	f, err := fs.OpenFile(metadataLogFile, 0)
	if err != nil {
		return nil, err
	}
	if err := settle(fs, f, end); err != nil {
		f.Close()
		return nil, err
	}
	l := &metadataLog{
		torn:     int64(len(content)) - int64(scan.end),
		file:     f,
		end:      end,
		watchers: make(map[uint64]chan struct{}),
	}
	l.image.Store(scan.image)
	return l, nil
}

// rewriteMetadataLog replaces the file by a snapshot of the image of scan and
// returns where the next frame goes. It leaves the file as it is when the
// snapshot is too large or cannot be written, for want of space most likely:
// the node can do without. Errors: ErrStorageFailed.
func rewriteMetadataLog(fs vfs.FS, scan metadataScan, snapshot []MetadataRecord) (Position, error) {
	content := appendMetadataHeader(nil, scan.image.Version)
	content = appendMetadataFrame(content, scan.image.Version, snapshot)
	if len(content)-metadataHeaderSize > maxFrameSize {
		return scan.end, nil
	}
	switch err := writeFileAtomic(fs, ".", metadataLogFile, content); {
	case errors.Is(err, ErrStorageFailed):
		return 0, err
	case err != nil:
		return scan.end, nil
	}
	return Position(len(content)), nil
}

// settle cuts the file at end and makes it durable, under its name. Also what
// was read whole may be in the page cache only: when a process is killed
// between the write and the sync of a commit, or between a rename and the sync
// of the directory, the next one sees what a power cut would still take back.
func settle(fs vfs.FS, f vfs.File, end Position) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	if size > int64(end) {
		if err := f.Truncate(int64(end)); err != nil {
			return writeFault(err)
		}
	}
	if err := f.Datasync(); err != nil {
		return syncFault(err)
	}
	if err := fs.SyncDir("."); err != nil {
		return syncFault(err)
	}
	return nil
}

// Image implements MetadataStore.
func (l *metadataLog) Image() *MetadataImage { return l.image.Load() }

// Commit implements MetadataStore.
func (l *metadataLog) Commit(expected uint64, records ...MetadataRecord) (*MetadataImage, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.failed != nil {
		return nil, l.failed
	}
	image := l.image.Load()
	if image.Version != expected {
		return nil, fmt.Errorf("%w: version %d, want %d", ErrMetadataConflict, image.Version, expected)
	}
	if len(records) == 0 {
		return image, nil
	}
	next, err := image.with(records)
	if err != nil {
		return nil, err
	}
	if err := l.append(next.Version, records); err != nil {
		return nil, err
	}
	l.publish(next)
	return next, nil
}

// append makes one more frame durable.
//
// +checklocks:l.mu
func (l *metadataLog) append(version uint64, records []MetadataRecord) error {
	frame := appendMetadataFrame(nil, version, records)
	size := Position(len(frame))
	if size > maxFrameSize {
		return invalidMetadata("commit of %d bytes, want at most %d", size, maxFrameSize)
	}
	if l.end+size > maxMetadataLogBytes {
		return fmt.Errorf("append %d bytes to %s at %d: want at most %d in the file; opening it again makes it smaller", size, l.file.Name(), l.end, maxMetadataLogBytes)
	}
	if n, err := l.file.WriteAt(int64(l.end), frame); err != nil {
		err = writeFault(fmt.Errorf("append %d bytes to %s at %d: %w", size, l.file.Name(), l.end, err))
		if errors.Is(err, ErrStorageFailed) {
			l.failed = err
		} else if n > 0 {
			l.cutPartialFrame()
		}
		return err
	}
	if err := l.file.Datasync(); err != nil {
		l.failed = syncFault(err)
		return l.failed
	}
	l.end += size
	return nil
}

// cutPartialFrame removes what a write without space has left behind. The cut
// needs no sync: until the next commit syncs it, the rest is a torn tail.
//
// +checklocks:l.mu
func (l *metadataLog) cutPartialFrame() {
	if err := l.file.Truncate(int64(l.end)); err != nil {
		l.failed = syncFault(err)
	}
}

// publish shows image to readers and wakes who waited for it.
func (l *metadataLog) publish(image *MetadataImage) {
	l.image.Store(image)
	l.watchMu.Lock()
	defer l.watchMu.Unlock()
	for after, changed := range l.watchers {
		if image.Version > after {
			close(changed)
			delete(l.watchers, after)
		}
	}
}

// Changed implements MetadataStore. Callers that wait for the same version
// share a channel, so there are as many as there are different versions.
func (l *metadataLog) Changed(after uint64) <-chan struct{} {
	l.watchMu.Lock()
	defer l.watchMu.Unlock()
	if changed := l.watchers[after]; changed != nil {
		return changed
	}
	changed := make(chan struct{})
	// publish stores the image before it takes watchMu: either it is seen
	// here, or publish will find the channel.
	if l.image.Load().Version > after {
		close(changed)
	} else {
		l.watchers[after] = changed
	}
	return changed
}

// Close implements MetadataStore. It syncs nothing: each commit did.
func (l *metadataLog) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if errors.Is(l.failed, ErrClosed) {
		return nil
	}
	l.failed = fmt.Errorf("%w: %s", ErrClosed, l.file.Name())
	return l.file.Close()
}

func appendMetadataHeader(p []byte, snapshot uint64) []byte {
	start := len(p)
	p = append(p, metadataMagic...)
	p = binary.BigEndian.AppendUint32(p, metadataLogVersion)
	p = binary.BigEndian.AppendUint64(p, snapshot)
	return binary.BigEndian.AppendUint64(p, xxhash.Sum64(p[start:]))
}

func appendMetadataFrame(p []byte, version uint64, records []MetadataRecord) []byte {
	start := len(p)
	p = append(p, 0, 0, 0, 0)
	p = binary.BigEndian.AppendUint64(p, version)
	p = appendMetadataRecords(p, records)
	length := len(p) + 8 - start - frameLengthSize
	binary.BigEndian.PutUint32(p[start:], uint32(length))
	return binary.BigEndian.AppendUint64(p, xxhash.Sum64(p[start:]))
}

// metadataScan is what a metadata log holds.
type metadataScan struct {
	image   *MetadataImage
	end     Position // where the last whole frame ends
	records int      // in all frames together
}

// scanMetadataLog reads a whole log. What follows the last whole frame is a torn
// tail, left by a commit that was never acknowledged, if no whole frame comes
// after it; else it is damage. The snapshot was durable before the file had its
// name, so it is never a torn tail. file is for messages.
func scanMetadataLog(file string, content []byte) (metadataScan, error) {
	var at Position
	damaged := func(err error) error {
		return &CorruptionError{Path: file, Offset: -1, Position: at, Err: err}
	}
	snapshot, err := parseMetadataHeader(content)
	if err != nil {
		return metadataScan{}, damaged(err)
	}
	scan := metadataScan{image: newMetadataImage(max(snapshot, 1) - 1), end: metadataHeaderSize}
	needSnapshot := snapshot != 0
	for at = scan.end; needSnapshot || int(at) < len(content); at = scan.end {
		frame, err := cutMetadataFrame(content[at:])
		if err != nil {
			if needSnapshot {
				return metadataScan{}, damaged(fmt.Errorf("snapshot: %w", err))
			}
			if whole := findMetadataFrame(content[at:], scan.image.Version); whole >= 0 {
				return metadataScan{}, damaged(fmt.Errorf("%w; a whole commit follows at position %d, so this is no unfinished end; restore %s from a backup", err, at+whole, metadataLogFile))
			}
			return scan, nil
		}
		if want := scan.image.Version + 1; frame.version != want {
			return metadataScan{}, damaged(fmt.Errorf("commit %d, want %d", frame.version, want))
		}
		records, err := parseMetadataRecords(frame.records)
		if err == nil {
			err = scan.image.commit(records)
		}
		if err != nil {
			return metadataScan{}, damaged(fmt.Errorf("commit %d: %w", frame.version, err))
		}
		scan.records += len(records)
		scan.end += frame.size
		needSnapshot = false
	}
	return scan, nil
}

// parseMetadataHeader checks the header and returns its snapshot field. The
// magic and the version come before the checksum: a later version may have
// another one.
func parseMetadataHeader(p []byte) (snapshot uint64, err error) {
	if len(p) < metadataHeaderSize {
		return 0, fmt.Errorf("%d bytes, want a header of %d", len(p), metadataHeaderSize)
	}
	if magic := string(p[:8]); magic != metadataMagic {
		return 0, fmt.Errorf("magic %q, want %q", magic, metadataMagic)
	}
	if version := binary.BigEndian.Uint32(p[8:]); version != metadataLogVersion {
		return 0, fmt.Errorf("version %d, want %d; a newer program wrote it: %w", version, metadataLogVersion, ErrUnknownVersion)
	}
	if found, want := binary.BigEndian.Uint64(p[20:]), xxhash.Sum64(p[:20]); found != want {
		return 0, fmt.Errorf("header checksum %016x, want %016x", found, want)
	}
	return binary.BigEndian.Uint64(p[12:]), nil
}

// metadataFrame is a view of one frame whose checksum is right.
type metadataFrame struct {
	version uint64
	records []byte
	size    Position // of the whole frame
}

// frameSize returns the size of the frame at the beginning of p by its length
// field, once that is known to be possible.
func frameSize(p []byte) (int64, error) {
	if len(p) < minFrameSize {
		return 0, fmt.Errorf("%d bytes left, want a frame of at least %d", len(p), minFrameSize)
	}
	size := frameLengthSize + int64(binary.BigEndian.Uint32(p))
	if most := min(int64(len(p)), maxFrameSize); size < minFrameSize || size > most {
		return 0, fmt.Errorf("frame of %d bytes, want %d to %d", size, minFrameSize, most)
	}
	return size, nil
}

// cutMetadataFrame returns the frame at the beginning of p.
func cutMetadataFrame(p []byte) (metadataFrame, error) {
	size, err := frameSize(p)
	if err != nil {
		return metadataFrame{}, err
	}
	body, sum := p[:size-8], p[size-8:size]
	if found, want := binary.BigEndian.Uint64(sum), xxhash.Sum64(body); found != want {
		return metadataFrame{}, fmt.Errorf("frame checksum %016x, want %016x", found, want)
	}
	return metadataFrame{
		version: binary.BigEndian.Uint64(body[frameLengthSize:]),
		records: body[frameLengthSize+8:],
		size:    Position(size),
	}, nil
}

// findMetadataFrame looks behind the first byte of p for a whole frame of a
// commit after last, and returns its position in p, -1 if there is none. It
// reads a checksum only where length and version are possible: next to nothing
// in the rest of a frame or in zeros. So that made-up bytes cannot keep it busy
// for long either, it hashes at most searchFactor times the bytes of p; what is
// then still a candidate is taken for a frame, which means damage: that keeps
// the file as it is.
func findMetadataFrame(p []byte, last uint64) Position {
	const searchFactor = 16
	budget := searchFactor * int64(len(p))
	mostCommits := uint64(len(p) / minFrameSize)
	for i := 1; i+minFrameSize <= len(p); i++ {
		version := binary.BigEndian.Uint64(p[i+frameLengthSize:])
		if version <= last || version-last > mostCommits+1 {
			continue
		}
		size, err := frameSize(p[i:])
		if err != nil {
			continue
		}
		if budget -= size; budget < 0 {
			return Position(i)
		}
		if _, err := cutMetadataFrame(p[i:]); err == nil {
			return Position(i)
		}
	}
	return -1
}
