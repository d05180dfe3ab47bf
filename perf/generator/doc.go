// Package generator is the load generator of the perf lab and of rollway bench: it
// produces and consumes messages at any broker of Kafka's protocol, or at a rollway
// server over its own, measures rates and latencies, and checks that every message
// arrived, once, whole and in order.
//
// # Types
//
//   - Workload is what to do: the keys of OpenMessaging Benchmark's workloads and some
//     of ours, read from YAML.
//   - Target is where.
//   - Run does it and returns a Result, which is written as OpenMessaging Benchmark's
//     result JSON with some keys of ours.
//   - A VerificationError says what was lost, corrupt or out of order.
//
// # What is measured
//
// In an open loop (producerRate above 0) each message is due at a moment that a
// schedule gives it beforehand (schedule.go), and everything counts from there: its
// publish latency ends when it is acknowledged, its end-to-end latency when a consumer
// has it. A server that stalls is charged for all messages that were due meanwhile,
// also for those that were sent late because of it. In a closed loop (producerRate 0)
// there is no schedule, and a message is due when there is room to send it. What is due
// from the end of the warm-up until the end of the test is measured, whenever its answer
// comes. Latencies are histograms of microseconds with three digits, up to an hour.
//
// # How it is built
//
// A worker (worker.go) is one producer: it numbers and writes messages (message.go) and
// gives them to a sender. Consumers (consumer.go) give what they receive to the
// verifier (verify.go). Sender and receiver are what a driver has for its protocol:
// kafka_driver.go and native_driver.go. run.go has the phases of a run. The clock can be
// a test's own (clock.go), and the machine's waits by alarms (alarm.go).
//
// # Invariants
//
//   - Numbers of a producer are without gaps in each partition, so a consumer knows what
//     comes next, and nothing grows with the number of messages.
//   - A message is written once and checked in full when it comes: crc, producer,
//     partition, number.
//   - Topics are the run's own: it makes them, and nothing else is written to or deleted.
package generator
