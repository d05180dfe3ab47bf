package generator

import (
	"fmt"
	"time"
)

// Options say how a run goes about it. The zero value works.
type Options struct {
	// Progress, if not nil, is called every ProgressInterval, by default 1 s, and at
	// the beginning of each phase; never concurrently.
	Progress         func(Progress)
	ProgressInterval time.Duration

	// Timeout is how long to wait for a server that does not answer, and how long a
	// message is sent again that was not acknowledged. Default 30 s.
	Timeout time.Duration

	// Quiet is how long nothing comes to consumers at the end, while something is
	// still to come, until it counts as lost. Default 10 s.
	Quiet time.Duration

	// TopicPrefix begins the names of topics; a time, a random number and the number
	// of the topic follow. Default "rollway-bench".
	TopicPrefix string

	// Keep leaves the topics when the run is over.
	Keep bool
}

// withDefaults returns o with its zero fields set.
func (o Options) withDefaults() Options {
	if o.ProgressInterval <= 0 {
		o.ProgressInterval = time.Second
	}
	if o.Timeout <= 0 {
		o.Timeout = 30 * time.Second
	}
	if o.Quiet <= 0 {
		o.Quiet = 10 * time.Second
	}
	if o.TopicPrefix == "" {
		o.TopicPrefix = "rollway-bench"
	}
	return o
}

// Phase is a part of a run.
type Phase string

// The phases of a run, in their order. Only a workload with a backlog has BuildBacklog
// and DrainBacklog.
const (
	SetUp        Phase = "set-up"
	WarmUp       Phase = "warm-up"
	BuildBacklog Phase = "build backlog"
	DrainBacklog Phase = "drain backlog"
	Test         Phase = "test"
	Verify       Phase = "verify" // until consumers have all
	TearDown     Phase = "tear-down"
)

// Progress is what has happened since the call before.
type Progress struct {
	Phase   Phase
	Elapsed time.Duration // since the run began
	Left    time.Duration // of the phase; -1: nobody knows

	Took                     time.Duration // since the call before
	Published, Received      int64
	PublishRate, ConsumeRate float64 // messages a second
	MessageSize              int

	// Latencies of what is measured; those of the warm-up are 0.
	PublishP50, PublishP99, EndToEndP50, EndToEndP99 time.Duration

	Backlog       int64 // messages acknowledged and not received
	PublishErrors int64 // in all
	Found         int64 // corrupt, duplicated or out of order, in all
}

// UnreachableError says that no server answered.
type UnreachableError struct {
	Target Target
	Err    error
}

func (e *UnreachableError) Error() string { return fmt.Sprintf("%v: %v", e.Target, e.Err) }
func (e *UnreachableError) Unwrap() error { return e.Err }
