// Package wire is the codec of rollway's native protocol, version 1: frames
// and messages from bytes and to bytes. It knows no sockets, keeps no state
// and starts nothing. docs/protocol.md specifies the protocol so that another
// implementation can be written from it alone.
//
// # Types
//
//   - Head is the 16 bytes before every payload, Frame a head and its payload.
//     Split cuts the next Frame off what was received.
//   - Each message is a struct. Its AppendTo appends the whole frame, its
//     Parse function reads one, its Check says whether its fields are within
//     the limits of the protocol; Parse functions call it, and whoever fills a
//     message from what a user typed calls it before AppendTo.
//   - From the client: Hello, CreateTopic, DescribeTopic, ListTopics,
//     AlterTopic, DeleteTopic, Produce, Fetch, Subscribe, Credit, Unsubscribe,
//     ListOffsets, InitProducer, DeleteRecords, SkipDamage, CommitOffset,
//     FetchOffset, ListGroups, DescribeGroup, DeleteGroup.
//   - From the server: Welcome, Done, TopicDescription, TopicList, Produced,
//     Data, OffsetFound, ProducerAssigned, RecordsDeleted, DamageSkipped,
//     OffsetsFetched, GroupList, GroupDescription, Error.
//   - Error is also what Parse functions, Split and Check return: a server
//     answers it as it is. Its Code says whether to try again and whether a
//     Produce is in doubt.
//
// Offsets are plain int64 and batches opaque bytes here; engine/record knows
// what is in them.
//
// # Invariants
//
//   - Parse functions never panic, and allocate nothing in proportion to a
//     length or count before it was compared with the bytes that are there.
//   - What a Parse function accepts, AppendTo encodes to the same bytes.
//   - Produce, Produced, Fetch, Data, Subscribe and Credit are parsed and
//     appended without an allocation; their byte slices point into the frame.
//
// Everything here may be used concurrently; nothing holds a lock.
package wire
