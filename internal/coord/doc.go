// Package coord coordinates consumer groups: who is a member, which generation a
// group is in, who leads it, and which offsets it has committed. It is Kafka's
// classic group protocol as a state machine, without sockets, clock or
// goroutines: time comes in as an argument, and what is written goes to a Log.
//
// Coordinator is all of it. A frontend calls Join, Sync, Heartbeat, Leave, Commit,
// FetchOffsets, Describe, List, DeleteGroup and DeleteOffsets, each with what it
// has decoded, and encodes the answer; codes are Kafka's. The files follow the
// requests: join.go, sync.go, heartbeat.go, leave.go, commit.go, fetch.go,
// describe.go, delete.go, and topic_deleted.go for what nobody asks. Between them lies rebalance.go, which has what moves a
// group from one state to the next. record.go has the records of
// __consumer_offsets, load.go replays them.
//
// # How it is driven
//
//   - Start: New; then for each partition of the offsets log Replay of every
//     record in order, and Loaded. Partitions may be loaded one after the other
//     while others are served; a client of one that is not is told to try again.
//   - Time: Tick when it says, and earlier when Options.Wake says so. One
//     goroutine with one timer does that.
//   - Writing: Log.Append hands records over and returns; when they are durable,
//     which is when the high watermark of the partition has passed them, Settle is
//     called. Log is called under the coordinator's lock, so it queues and somebody
//     else appends, as the engine's appends may wait for a disk.
//   - Parked answers: a Pending. A netloop.Deferred holds one: its Poll calls
//     Pending.Poll with the wake that it was given, and encodes the answer when it
//     is there; its Cancel calls Pending.Cancel. It needs no deadline, since Tick
//     ends what takes too long. A session takes no other request of its connection
//     while one is parked, as Kafka's does not either.
//   - Stop: Close answers all that is parked.
//
// Requests belong to the coordinator once they are given to it: what they refer
// to must not be in a receive buffer.
//
// # What is promised
//
//   - An assignment is handed out when it is durable, so in one generation of a
//     group a partition has one owner, across crashes too.
//   - An offset is fetched, and its commit answered, when it is durable. It is
//     accepted from members of the generation only, or, in a group without
//     members, from anybody who names no generation. It goes with its topic: one
//     that is made anew, with the same name, begins without.
//   - Every parked answer is given: by the other members, by time, or by Close.
//   - A member is either waited for, because an answer to it is parked, or its
//     session runs. So who waits for the others is never taken for dead.
//   - A group that rebalances has a timer that ends what it waits for.
//   - What is kept is bounded by Settings.MaxBytes, about, but for what the log has.
//
// What is not written is lost in a crash and costs a rebalance at most: a join
// phase, that a member has left, member ids that were given out.
//
// # Where it differs from Kafka
//
// docs/decisions/0034 lists it, with reasons.
//
// # Locks
//
// Coordinator.mu, which guards everything. Log.Append, Options.Wake,
// Options.NewMemberID and the wake of a Pending are called with it held. Invariants
// of groups and members are checked after each step of the histories that the
// tests run (check_test.go).
package coord
