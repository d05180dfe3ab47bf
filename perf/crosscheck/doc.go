// Command crosscheck repeats two of the lab's workloads by tools of others, and
// holds what they see against what the lab's own clients see, in the same session
// and in turns: Kafka's ProducerPerformance and ConsumerPerformance, kcat, which is
// librdkafka, and for a bare sendfile iperf3 -Z. It is run by scripts/crosscheck.
//
// What is compared is the ratio of rollway, over Kafka's protocol, to Kafka. A tool
// that takes more CPU than the server sees both servers as fast as itself, which is
// why the cores that the tool used stand beside each figure: the CPU that a server
// takes for a GiB is comparable then, and its throughput is not.
package main
