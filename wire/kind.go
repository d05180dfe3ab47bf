package wire

import "fmt"

// Kind says which message a frame carries. Kinds of the server have bit 7 set.
type Kind uint8

// Kinds of frames that a client sends.
const (
	KindHello         Kind = 0x01
	KindCreateTopic   Kind = 0x02
	KindDescribeTopic Kind = 0x03
	KindListTopics    Kind = 0x04
	KindAlterTopic    Kind = 0x05
	KindDeleteTopic   Kind = 0x06
	KindProduce       Kind = 0x07
	KindFetch         Kind = 0x08
	KindSubscribe     Kind = 0x09
	KindCredit        Kind = 0x0a
	KindUnsubscribe   Kind = 0x0b
	KindListOffsets   Kind = 0x0c
	KindInitProducer  Kind = 0x0d
	KindDeleteRecords Kind = 0x0e
	KindSkipDamage    Kind = 0x0f
	KindCommitOffset  Kind = 0x10
	KindFetchOffset   Kind = 0x11
	KindListGroups    Kind = 0x12
	KindDescribeGroup Kind = 0x13
	KindDeleteGroup   Kind = 0x14
)

// Kinds of frames that a server sends.
const (
	KindError            Kind = 0x80
	KindWelcome          Kind = 0x81
	KindDone             Kind = 0x82
	KindTopicDescription Kind = 0x83
	KindTopicList        Kind = 0x84
	KindProduced         Kind = 0x85
	KindData             Kind = 0x86
	KindOffsetFound      Kind = 0x87
	KindProducerAssigned Kind = 0x88
	KindRecordsDeleted   Kind = 0x89
	KindDamageSkipped    Kind = 0x8a
	KindOffsetsFetched   Kind = 0x8b
	KindGroupList        Kind = 0x8c
	KindGroupDescription Kind = 0x8d
)

// kindNames has the names of all kinds of version 1.
var kindNames = map[Kind]string{
	KindHello:         "Hello",
	KindCreateTopic:   "CreateTopic",
	KindDescribeTopic: "DescribeTopic",
	KindListTopics:    "ListTopics",
	KindAlterTopic:    "AlterTopic",
	KindDeleteTopic:   "DeleteTopic",
	KindProduce:       "Produce",
	KindFetch:         "Fetch",
	KindSubscribe:     "Subscribe",
	KindCredit:        "Credit",
	KindUnsubscribe:   "Unsubscribe",
	KindListOffsets:   "ListOffsets",
	KindInitProducer:  "InitProducer",
	KindDeleteRecords: "DeleteRecords",
	KindSkipDamage:    "SkipDamage",
	KindCommitOffset:  "CommitOffset",
	KindFetchOffset:   "FetchOffset",
	KindListGroups:    "ListGroups",
	KindDescribeGroup: "DescribeGroup",
	KindDeleteGroup:   "DeleteGroup",

	KindError:            "Error",
	KindWelcome:          "Welcome",
	KindDone:             "Done",
	KindTopicDescription: "TopicDescription",
	KindTopicList:        "TopicList",
	KindProduced:         "Produced",
	KindData:             "Data",
	KindOffsetFound:      "OffsetFound",
	KindProducerAssigned: "ProducerAssigned",
	KindRecordsDeleted:   "RecordsDeleted",
	KindDamageSkipped:    "DamageSkipped",
	KindOffsetsFetched:   "OffsetsFetched",
	KindGroupList:        "GroupList",
	KindGroupDescription: "GroupDescription",
}

// String returns the name of the kind as docs/protocol.md has it.
func (k Kind) String() string {
	if name, ok := kindNames[k]; ok {
		return name
	}
	return fmt.Sprintf("Kind(0x%02x)", uint8(k))
}

// Known tells whether version 1 has this kind.
func (k Kind) Known() bool {
	_, known := kindNames[k]
	return known
}

// FromServer tells whether frames of this kind are sent by the server. It
// holds for kinds of any version.
func (k Kind) FromServer() bool { return k&0x80 != 0 }

// UnknownKind returns the Error for a frame of a kind that the receiver does
// not take: one it does not know, or one that only the other side sends.
func UnknownKind(k Kind) *Error {
	if _, known := kindNames[k]; !known {
		return Errorf(CodeUnknownKind, "head: kind 0x%02x, want one of version %d", uint8(k), Version)
	}
	side := "client"
	if k.FromServer() {
		side = "server"
	}
	return Errorf(CodeUnknownKind, "head: kind 0x%02x (%s), which only a %s sends", uint8(k), k, side)
}
