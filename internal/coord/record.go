package coord

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"
)

// Records of __consumer_offsets, big-endian, with Apache Kafka's own schemas
// (LegacyOffsetCommitKey, OffsetCommitKey, OffsetCommitValue, GroupMetadataKey and
// GroupMetadataValue), so that its DumpLogSegments --offsets-decoder reads them.
// A value that is null deletes what its key names. Strings are int16 lengths and
// bytes, -1 is null; bytes and arrays have int32 lengths. Versions marked flexible
// have lengths as unsigned varints, plus one, and tagged fields at the end of each
// struct (KIP-482).
//
//	offset commit, key
//	at  len  field
//	 0    2  version                1; 0 has the same fields
//	 2    .  group                  string
//	 .    .  topic                  string
//	 .    4  partition              int32
//
//	offset commit, value
//	at  len  field
//	 0    2  version                4, flexible; 1 if the commit has a time to expire
//	 2    8  offset                 int64: of the next record to read
//	 .    4  leaderEpoch            int32, versions 3 and 4; -1 for none
//	 .    .  metadata               string
//	 .    8  commitTimestamp        int64, ms
//	 .    8  expireTimestamp        int64, version 1 only, ms; -1 for none
//	 .    .  tagged fields          version 4; 0 is the topic id, 16 bytes, if known
//
//	group metadata, key
//	at  len  field
//	 0    2  version                2
//	 2    .  group                  string
//
//	group metadata, value
//	at  len  field
//	 0    2  version                3; 4 is flexible and has the same fields
//	 2    .  protocolType           string
//	 .    4  generation             int32
//	 .    .  protocol               nullable string
//	 .    .  leader                 nullable string: a member id
//	 .    8  currentStateTimestamp  int64, versions 2 and later, ms; -1 for none
//	 .    .  members                array of
//	         memberId               string
//	         groupInstanceId        nullable string, versions 3 and later
//	         clientId               string
//	         clientHost             string
//	         rebalanceTimeout 4     int32, versions 1 and later, ms
//	         sessionTimeout 4       int32, ms
//	         subscription           bytes: metadata of the chosen protocol
//	         assignment             bytes
const (
	offsetKeyVersion      = 1
	groupKeyVersion       = 2
	offsetValueVersion    = 4
	expiringValueVersion  = 1
	groupValueVersion     = 3
	lastValueVersion      = 4 // of both kinds of values
	firstFlexibleValue    = 4
	topicIDTag            = 0
	leastGroupMemberBytes = 15 // of one member in a value
)

// ErrBadRecord means that a record is none of those above.
var ErrBadRecord = errors.New("coord: bad record of the offsets log")

// Record is one record of the offsets log. Its Value is nil when it deletes
// what its Key names.
type Record struct {
	Key, Value []byte
}

// offsetKey is what an offset is committed for.
type offsetKey struct {
	group, topic string
	partition    int32
}

// offsetValue is a committed offset.
type offsetValue struct {
	offset      int64
	leaderEpoch int32 // -1: none
	metadata    string
	committedMs int64    // wall clock
	expiresMs   int64    // wall clock; -1: as the group does
	topicID     [16]byte // zero: none
}

// groupValue is what is written of a group.
type groupValue struct {
	protocolType     string
	generation       int32
	protocol, leader string // "": none, null in the record
	stateSinceMs     int64  // wall clock; -1: not known
	members          []memberValue
}

// memberValue is what is written of a member.
type memberValue struct {
	id                                 string
	instance                           string // "": none, null in the record
	clientID, clientHost               string
	rebalanceTimeoutMs, sessionTimeout int32
	subscription, assignment           []byte
}

// PartitionOf returns the partition of the offsets log that a group's records go
// to, of so many: Java's String.hashCode, without its sign.
func PartitionOf(group string, partitions int32) int32 {
	var hash int32
	add := func(unit uint16) { hash = 31*hash + int32(unit) }
	for _, r := range group {
		if r1, r2 := utf16.EncodeRune(r); r1 != utf8.RuneError {
			add(uint16(r1))
			add(uint16(r2))
			continue
		}
		add(uint16(r))
	}
	if hash == math.MinInt32 {
		return 0 // as Kafka's Utils.abs has it
	}
	return max(hash, -hash) % partitions
}

// offsetRecord returns the record of a committed offset, or, if v is nil, of
// its deletion.
func offsetRecord(k offsetKey, v *offsetValue) Record {
	p := make([]byte, 0, 64+len(k.group)+len(k.topic))
	p = binary.BigEndian.AppendUint16(p, offsetKeyVersion)
	p = appendString(p, k.group)
	p = appendString(p, k.topic)
	p = binary.BigEndian.AppendUint32(p, uint32(k.partition))
	if v == nil {
		return Record{Key: p}
	}
	key := len(p)
	p = v.appendTo(p)
	return Record{Key: p[:key:key], Value: p[key:]}
}

func (v *offsetValue) appendTo(p []byte) []byte {
	if v.expiresMs >= 0 {
		p = binary.BigEndian.AppendUint16(p, expiringValueVersion)
		p = binary.BigEndian.AppendUint64(p, uint64(v.offset))
		p = appendString(p, v.metadata)
		p = binary.BigEndian.AppendUint64(p, uint64(v.committedMs))
		return binary.BigEndian.AppendUint64(p, uint64(v.expiresMs))
	}
	p = binary.BigEndian.AppendUint16(p, offsetValueVersion)
	p = binary.BigEndian.AppendUint64(p, uint64(v.offset))
	p = binary.BigEndian.AppendUint32(p, uint32(v.leaderEpoch))
	p = binary.AppendUvarint(p, uint64(len(v.metadata))+1)
	p = append(p, v.metadata...)
	p = binary.BigEndian.AppendUint64(p, uint64(v.committedMs))
	if v.topicID == ([16]byte{}) {
		return append(p, 0)
	}
	p = append(p, 1, topicIDTag, byte(len(v.topicID)))
	return append(p, v.topicID[:]...)
}

// groupRecord returns the record of a group, or, if v is nil, of its deletion.
func groupRecord(group string, v *groupValue) Record {
	key := binary.BigEndian.AppendUint16(make([]byte, 0, 4+len(group)), groupKeyVersion)
	key = appendString(key, group)
	if v == nil {
		return Record{Key: key}
	}
	size := 64 + len(v.protocolType) + len(v.protocol) + len(v.leader)
	for i := range v.members {
		m := &v.members[i]
		size += 32 + len(m.id) + len(m.instance) + len(m.clientID) + len(m.clientHost) + len(m.subscription) + len(m.assignment)
	}
	return Record{Key: key, Value: v.appendTo(make([]byte, 0, size))}
}

func (v *groupValue) appendTo(p []byte) []byte {
	p = binary.BigEndian.AppendUint16(p, groupValueVersion)
	p = appendString(p, v.protocolType)
	p = binary.BigEndian.AppendUint32(p, uint32(v.generation))
	p = appendNullable(p, v.protocol)
	p = appendNullable(p, v.leader)
	p = binary.BigEndian.AppendUint64(p, uint64(v.stateSinceMs))
	p = binary.BigEndian.AppendUint32(p, uint32(len(v.members)))
	for i := range v.members {
		m := &v.members[i]
		p = appendString(p, m.id)
		p = appendNullable(p, m.instance)
		p = appendString(p, m.clientID)
		p = appendString(p, m.clientHost)
		p = binary.BigEndian.AppendUint32(p, uint32(m.rebalanceTimeoutMs))
		p = binary.BigEndian.AppendUint32(p, uint32(m.sessionTimeout))
		p = appendBytes(p, m.subscription)
		p = appendBytes(p, m.assignment)
	}
	return p
}

// appendString appends a string of at most 32 KiB, which is the most that a
// request has room for where it is not compact; what is longer is cut, at the end
// of a character.
func appendString(p []byte, s string) []byte {
	s = cutString(s)
	p = binary.BigEndian.AppendUint16(p, uint16(len(s)))
	return append(p, s...)
}

// appendNullable is appendString, with "" as null.
func appendNullable(p []byte, s string) []byte {
	if s == "" {
		return binary.BigEndian.AppendUint16(p, math.MaxUint16)
	}
	return appendString(p, s)
}

func appendBytes(p, b []byte) []byte {
	p = binary.BigEndian.AppendUint32(p, uint32(len(b)))
	return append(p, b...)
}

// maxString is the longest string of a version that is not flexible, bytes.
const maxString = math.MaxInt16

func cutString(s string) string {
	if len(s) <= maxString {
		return s
	}
	n := maxString
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

func badRecord(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrBadRecord, fmt.Sprintf(format, args...))
}

// parseKey returns which of the two kinds of keys p is. known is false for a
// key of a later Kafka's other records, such as those of KIP-848, which have
// versions of their own.
//
// Errors: ErrBadRecord.
func parseKey(p []byte) (offset *offsetKey, group string, known bool, err error) {
	d := recordDecoder{rest: p}
	version := int16(d.uint16())
	switch {
	case d.err != nil:
	case version == 0 || version == offsetKeyVersion:
		offset = &offsetKey{group: d.string(), topic: d.string(), partition: int32(d.uint32())}
	case version == groupKeyVersion:
		group = d.string()
	case version > groupKeyVersion:
		return nil, "", false, nil
	default:
		d.fail("key version %d, want at least 0", version)
	}
	if err := d.end(); err != nil {
		return nil, "", false, err
	}
	return offset, group, true, nil
}

// parseOffsetValue reads the value of a committed offset.
//
// Errors: ErrBadRecord.
func parseOffsetValue(p []byte) (*offsetValue, error) {
	d := recordDecoder{rest: p}
	version := d.version()
	v := &offsetValue{leaderEpoch: -1, expiresMs: -1}
	v.offset = int64(d.uint64())
	if version >= 3 {
		v.leaderEpoch = int32(d.uint32())
	}
	v.metadata = d.string()
	v.committedMs = int64(d.uint64())
	if version == expiringValueVersion {
		v.expiresMs = int64(d.uint64())
	}
	d.tags(func(tag uint64, value []byte) {
		if tag == topicIDTag && len(value) != len(v.topicID) {
			d.fail("topic id of %d bytes, want %d", len(value), len(v.topicID))
		} else if tag == topicIDTag {
			copy(v.topicID[:], value)
		}
	})
	if err := d.end(); err != nil {
		return nil, err
	}
	return v, nil
}

// parseGroupValue reads the value of a group. Its bytes are views of p.
//
// Errors: ErrBadRecord.
func parseGroupValue(p []byte) (*groupValue, error) {
	d := recordDecoder{rest: p}
	version := d.version()
	v := &groupValue{stateSinceMs: -1}
	v.protocolType = d.string()
	v.generation = int32(d.uint32())
	v.protocol, v.leader = d.nullable(), d.nullable()
	if version >= 2 {
		v.stateSinceMs = int64(d.uint64())
	}
	count := d.length(true)
	if most := len(d.rest) / leastGroupMemberBytes; count > most {
		d.fail("%d members in %d bytes, want at most %d", count, len(d.rest), most)
	}
	for i := 0; i < count && d.err == nil; i++ {
		v.members = append(v.members, d.member(version))
	}
	d.tags(nil)
	if err := d.end(); err != nil {
		return nil, err
	}
	return v, nil
}

// recordDecoder takes fields from the front of rest. After the first error it
// returns zero values only. Every length is checked against what remains before
// anything is allocated.
type recordDecoder struct {
	rest     []byte
	flexible bool
	err      error
}

func (d *recordDecoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = badRecord(format, args...)
	}
	d.rest = nil
}

// version reads the version of a value.
func (d *recordDecoder) version() int16 {
	version := int16(d.uint16())
	if d.err == nil && (version < 0 || version > lastValueVersion) {
		d.fail("value version %d, want 0 to %d; a newer program wrote it", version, lastValueVersion)
	}
	d.flexible = version >= firstFlexibleValue
	return version
}

func (d *recordDecoder) member(version int16) memberValue {
	var m memberValue
	m.id = d.string()
	if version >= 3 {
		m.instance = d.nullable()
	}
	m.clientID, m.clientHost = d.string(), d.string()
	if version >= 1 {
		m.rebalanceTimeoutMs = int32(d.uint32())
	}
	m.sessionTimeout = int32(d.uint32())
	if version == 0 {
		m.rebalanceTimeoutMs = m.sessionTimeout
	}
	m.subscription, m.assignment = d.bytes(), d.bytes()
	d.tags(nil)
	return m
}

func (d *recordDecoder) take(n int) []byte {
	if n > len(d.rest) {
		d.fail("%d bytes wanted, %d remain", n, len(d.rest))
	}
	if d.err != nil {
		return nil
	}
	p := d.rest[:n:n]
	d.rest = d.rest[n:]
	return p
}

func (d *recordDecoder) uint16() uint16 {
	if p := d.take(2); p != nil {
		return binary.BigEndian.Uint16(p)
	}
	return 0
}

func (d *recordDecoder) uint32() uint32 {
	if p := d.take(4); p != nil {
		return binary.BigEndian.Uint32(p)
	}
	return 0
}

func (d *recordDecoder) uint64() uint64 {
	if p := d.take(8); p != nil {
		return binary.BigEndian.Uint64(p)
	}
	return 0
}

func (d *recordDecoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.rest)
	if n <= 0 || v > math.MaxUint32 {
		d.fail("a varint that does not end within 32 bits or the record")
		return 0
	}
	d.rest = d.rest[n:]
	return v
}

// length reads the length of a string, of bytes or of an array, at most what
// remains: -1 is null. wide tells that it has 32 bits where it is not compact.
func (d *recordDecoder) length(wide bool) int {
	var n int64
	switch {
	case d.flexible:
		n = int64(d.uvarint()) - 1
	case wide:
		n = int64(int32(d.uint32()))
	default:
		n = int64(int16(d.uint16()))
	}
	if d.err == nil && (n < -1 || n > int64(len(d.rest))) {
		d.fail("length %d, %d bytes remain", n, len(d.rest))
	}
	if d.err != nil {
		return 0
	}
	return int(n)
}

// nullable returns "" for null.
func (d *recordDecoder) nullable() string { return string(d.take(max(0, d.length(false)))) }

func (d *recordDecoder) string() string {
	n := d.length(false)
	if n < 0 {
		d.fail("null, want a string")
	}
	return string(d.take(max(0, n)))
}

// bytes returns a view of the record; null, which Kafka never writes, is empty.
func (d *recordDecoder) bytes() []byte { return d.take(max(0, d.length(true))) }

// tags reads the tagged fields of a flexible version.
func (d *recordDecoder) tags(field func(tag uint64, value []byte)) {
	if !d.flexible || d.err != nil {
		return
	}
	for n := d.uvarint(); n > 0 && d.err == nil; n-- {
		tag := d.uvarint()
		value := d.take(int(d.uvarint()))
		if d.err == nil && field != nil {
			field(tag, value)
		}
	}
}

// end returns the first error. What follows the fields is left unread, as Kafka
// leaves it.
func (d *recordDecoder) end() error { return d.err }
