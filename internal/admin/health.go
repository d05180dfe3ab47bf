package admin

import (
	"encoding/json"
	"net/http"

	"github.com/rollway/rollway/engine"
)

// Readiness is the answer of /readyz.
type Readiness struct {
	// Status is that of the worst directory, or stopping.
	Status      string               `json:"status"`
	Directories []DirectoryReadiness `json:"directories"`
}

// DirectoryReadiness is what one data directory can do.
type DirectoryReadiness struct {
	Path string `json:"path"`
	// Status is recovering after a start, ready, or failed when a write or sync has
	// gone wrong: then it gives what is visible, and takes nothing.
	Status     string             `json:"status"`
	Partitions PartitionReadiness `json:"partitions"`
	// StorageFailure is what went wrong.
	StorageFailure string `json:"storage_failure,omitempty"`
	// Refusing is why appends are refused at the moment; it is no failure, and ends
	// when there is room again.
	Refusing string `json:"refusing,omitempty"`
}

// PartitionReadiness counts partitions.
type PartitionReadiness struct {
	Total      int `json:"total"`
	Recovering int `json:"recovering"`
	Failed     int `json:"failed"`
}

const (
	statusRecovering = "recovering"
	statusReady      = "ready"
	statusFailed     = "failed"
	statusStopping   = "stopping"
)

// healthz answers as long as the process can: whoever restarts it otherwise should
// not do so because a disk is slow or a directory recovers.
func (s *Server) healthz(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, map[string]string{"status": "ok"})
}

// readyz is 200 while the node takes and gives records, else 503. Single partitions
// that have failed do not make it unready: the others work.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	d := readiness(s.node.Engine())
	r := Readiness{Status: d.Status, Directories: []DirectoryReadiness{d}}
	if s.stopping.Load() {
		r.Status = statusStopping
	}
	code := http.StatusOK
	if r.Status != statusReady {
		code = http.StatusServiceUnavailable
	}
	writeJSON(w, code, r)
}

// readiness looks at an engine. It waits for nothing.
func readiness(e *engine.Engine) DirectoryReadiness {
	d := DirectoryReadiness{Path: e.Path(), Status: statusReady}
	if !e.IsReady() {
		d.Status = statusRecovering
	}
	if why := e.Failure(); why != nil {
		d.Status, d.StorageFailure = statusFailed, why.Error()
	}
	if why := e.Refusing(); why != nil {
		d.Refusing = why.Error()
	}
	for _, t := range e.Topics() {
		for _, p := range t.Partitions() {
			d.Partitions.Total++
			switch state, _ := p.State(); state {
			case engine.Recovering:
				d.Partitions.Recovering++
			case engine.Failed:
				d.Partitions.Failed++
			}
		}
	}
	return d
}

// writeJSON answers with v, on one line.
func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(code)
	json.NewEncoder(w).Encode(v) // an error is the peer's: it has left
}
