// Command crosscheck repeats two of the lab's workloads by tools of others, and
// holds what they see against what the lab's own clients see, in the same session
// and in turns: Kafka's ProducerPerformance and ConsumerPerformance, kcat, which is
// librdkafka, and for a bare sendfile iperf3 -Z. It is run by scripts/crosscheck.
//
// What is compared is the ratio of rollway, over Kafka's protocol, to Kafka. A tool
// that takes more CPU than the server would see both servers as fast as itself, so
// the servers are bound, by a control group each, to so little CPU that every tool
// waits for them. What a tool and a server kept busy stands beside each figure, and
// tells whether it was so.
package main
