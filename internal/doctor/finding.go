package doctor

// Status is how a Finding was judged.
type Status string

// The statuses.
const (
	OK   Status = "ok"
	Warn Status = "warn" // it works, and costs speed, room or safety
	Fail Status = "fail" // a server will not start, or must not be run so
)

// Finding is one thing that was looked at.
type Finding struct {
	Status Status `json:"status"`
	Name   string `json:"name"`
	Found  string `json:"found"`
	// Remedy says what to do; "" when there is nothing to do.
	Remedy string `json:"remedy,omitempty"`
}

// Failed tells whether any of the findings is a Fail.
func Failed(findings []Finding) bool {
	for _, f := range findings {
		if f.Status == Fail {
			return true
		}
	}
	return false
}

// Examine probes the machine, with the data directory dir, and judges what it
// found; dir need not exist. It blocks for the disk.
func Examine(dir string) []Finding {
	return Judge(Probe(dir))
}
