// Package embeddedbroker shows how the tests of a Kafka program run against a
// broker inside their own process: nothing to install, nothing left behind but
// a directory that the test removes. See its test.
package embeddedbroker
