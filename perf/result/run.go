package result

import "time"

// Run describes one run of the lab.
type Run struct {
	ID          string       `json:"id"` // also the name of its file
	Profile     string       `json:"profile"`
	Command     string       `json:"command"` // that repeats it
	Commit      string       `json:"commit"`
	Began       time.Time    `json:"began"`
	Workloads   []Workload   `json:"workloads"`   // in the order of the plan
	Contestants []Contestant `json:"contestants"` // in the order in which tables list them
	Conditions  []Condition  `json:"conditions,omitempty"`
}

// Workload says what the measures of one name are about.
type Workload struct {
	Name   string   `json:"name"`  // "a-16k": a section of the plan, a dash, a variant
	Title  string   `json:"title"` // "produce 100 B records in batches of 16 KiB"
	Note   string   `json:"note,omitempty"`
	Main   []string `json:"main"` // names of the figures that it is about, the first one is the heading
	Rounds int      `json:"rounds"`
}

// Contestant is who was measured.
type Contestant struct {
	Name  string `json:"name"`
	Title string `json:"title"`
}

// Condition is something that figures hold under and do not say by themselves.
type Condition struct {
	Name       string `json:"name"` // "kernel", "durability", "heap"
	Text       string `json:"text"`
	Contestant string `json:"contestant,omitempty"` // only of this one
	Warning    bool   `json:"warning,omitempty"`    // a reader must see it before the figures
}

// Phase says what a measure counts for.
type Phase string

const (
	Counted  Phase = ""         // medians are made of these
	WarmUp   Phase = "warmup"   // the same work before, until a JVM has compiled it and buffers have their sizes
	Cold     Phase = "cold"     // the first seconds after a start
	Syscalls Phase = "syscalls" // under strace, which slows what it counts: nothing else of it is worth anything
)

// Measure is one turn of one contestant in one round of one workload.
type Measure struct {
	Workload   string    `json:"workload"`
	Contestant string    `json:"contestant"`
	Phase      Phase     `json:"phase,omitempty"`
	Round      int       `json:"round"` // from 1 on; 0 when the phase has no rounds
	At         time.Time `json:"at"`
	// Figures are values by the names of the table Figures.
	Figures map[string]float64 `json:"figures,omitempty"`
	// Latencies are histograms of microseconds by the figures' names without the
	// percentile and unit ("produce", "e2e"), in HdrHistogram's V2 compressed
	// encoding, in base64.
	Latencies map[string]string `json:"latencies,omitempty"`
	// Skipped says why this contestant has no figures here though nothing went
	// wrong: what it cannot do, what the machine lacks.
	Skipped string `json:"skipped,omitempty"`
	// Error says what went wrong; then there are no figures.
	Error string `json:"error,omitempty"`
}
