// Package child runs a contestant's server as a process of its own, so that
// what it uses can be told from what its client uses, and stops it by its pid.
//
// The two talk by the child's standard input and output: the child says that
// it is ready and where it listens, then answers each line of JSON with one.
// When its input ends the child exits: so no server outlives its benchmark,
// however that ends.
package child
