package metrics

import (
	"slices"
	"sync"
)

// Registry holds the frontends of one node. The zero value is empty and ready. It
// may be used concurrently.
type Registry struct {
	mu        sync.Mutex
	frontends []*Frontend // +checklocks:mu — in the order of their first mention
}

// Frontend returns the frontend of that name, made if there is none: the
// listeners of one protocol count together.
func (r *Registry) Frontend(spec FrontendSpec) *Frontend {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range r.frontends {
		if f.spec.Name == spec.Name {
			return f
		}
	}
	f := NewFrontend(spec)
	r.frontends = append(r.frontends, f)
	return f
}

// Frontends are all that there are.
func (r *Registry) Frontends() []*Frontend {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.frontends)
}
