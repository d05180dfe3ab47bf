// Command crosscheck repeats workloads of the lab by tools of others, and holds what
// they see against what the lab's own clients see, in the same session and in turns:
// Kafka's ProducerPerformance and ConsumerPerformance, kcat, which is librdkafka, and for
// a bare sendfile iperf3 -Z. It is run by scripts/crosscheck.
//
// What is compared is what a server uses for a GiB, and the ratio of rollway, over
// Kafka's protocol, to Kafka. What a server uses depends on how it is asked: one that is
// asked for less than it can do is woken for each request, and a tool that decodes what
// it gets asks for less. So each turn of a tool is followed by turns of the lab's client
// as that tool: at its pace, in batches of its size, in bursts that have the server wait
// as often, and busy with what it reads. What the tool kept busy stands beside each
// figure, and tells whether it was the limit.
package main
