// Command crosscheck repeats two of the lab's workloads by tools of others, and
// holds what they see against what the lab's own clients see, in the same session
// and in turns: Kafka's ProducerPerformance and ConsumerPerformance, kcat, which is
// librdkafka, and for a bare sendfile iperf3 -Z. It is run by scripts/crosscheck.
//
// What is compared is what a server uses for a GiB, and the ratio of rollway, over
// Kafka's protocol, to Kafka. A server that is asked for less than it can do is woken
// for each request, and takes more for a GiB; a tool that decodes what it gets asks for
// less. So each tool is followed by the lab's client at its pace, and with batches of
// its size. What the tool kept busy stands beside each figure, and tells whether it
// was the limit.
package main
