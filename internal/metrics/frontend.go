package metrics

import (
	"sync/atomic"
	"time"
)

// FrontendSpec says what the requests of a frontend are called.
type FrontendSpec struct {
	// Name is the frontend's own, such as "wire".
	Name string
	// APIs are the names of its requests by their numbers, "" for numbers that
	// are none. Requests that have no name are counted together, as Unknown.
	APIs []string
	// Codes are the names of what requests are answered with, the first that of
	// FirstCode, "" for codes that there are not; those are counted together, as
	// Unknown. Code 0 is success.
	Codes     []string
	FirstCode int
}

// Unknown is the name under which numbers without a name are counted, so that a
// peer who sends any makes no new series.
const Unknown = "unknown"

// Frontend counts the requests of one frontend. It may be used concurrently.
type Frontend struct {
	spec FrontendSpec
	apis []*api // by number; nil where there is no name
	rest *api   // all others
}

// api counts the requests of one API.
type api struct {
	name  string
	codes []atomic.Int64 // by code less FirstCode; the last counts those without a name
	took  *Histogram     // nanoseconds
}

// durationBounds are the buckets of durations: from what a request costs that finds
// all in memory, past a sync of a disk (0.1 to 10 ms), to a long poll.
var durationBounds = []int64{
	int64(50 * time.Microsecond),
	int64(100 * time.Microsecond),
	int64(250 * time.Microsecond),
	int64(500 * time.Microsecond),
	int64(1 * time.Millisecond),
	int64(2500 * time.Microsecond),
	int64(5 * time.Millisecond),
	int64(10 * time.Millisecond),
	int64(25 * time.Millisecond),
	int64(50 * time.Millisecond),
	int64(100 * time.Millisecond),
	int64(250 * time.Millisecond),
	int64(500 * time.Millisecond),
	int64(1 * time.Second),
	int64(5 * time.Second),
	int64(30 * time.Second),
}

// NewFrontend returns a Frontend that has counted nothing.
func NewFrontend(spec FrontendSpec) *Frontend {
	f := &Frontend{spec: spec, rest: newAPI(Unknown, spec), apis: make([]*api, len(spec.APIs))}
	for i, name := range spec.APIs {
		if name != "" {
			f.apis[i] = newAPI(name, spec)
		}
	}
	return f
}

func newAPI(name string, spec FrontendSpec) *api {
	return &api{name: name, codes: make([]atomic.Int64, len(spec.Codes)+1), took: NewHistogram(durationBounds)}
}

// Name is the frontend's.
func (f *Frontend) Name() string { return f.spec.Name }

// Request counts a request that was answered with a code, or needs no answer,
// and how long that took from when the frontend had all of it. One whose parts
// have codes of their own counts with the first that is not success. Requests whose
// connection ends before are not counted.
func (f *Frontend) Request(number, code int, took time.Duration) { f.Requests(number, code, 1, took) }

// Requests is Request for n requests that came and were answered together.
func (f *Frontend) Requests(number, code int, n int64, took time.Duration) {
	a := f.rest
	if number >= 0 && number < len(f.apis) && f.apis[number] != nil {
		a = f.apis[number]
	}
	i := code - f.spec.FirstCode
	if i < 0 || i >= len(f.spec.Codes) || f.spec.Codes[i] == "" {
		i = len(f.spec.Codes)
	}
	a.codes[i].Add(n)
	a.took.Observe(int64(took), n)
}

// APIRequests is what was counted of one API.
type APIRequests struct {
	API   string
	Codes []CodeRequests // success, and whatever else was counted
	Took  Distribution   // nanoseconds
}

// CodeRequests is how many requests were answered with a code.
type CodeRequests struct {
	Code     string
	Requests int64
}

// Counted returns the requests by API: each that has a name, in the order of their numbers, and at the
// end the others, if there were any.
func (f *Frontend) Counted() []APIRequests {
	var all []APIRequests
	for _, a := range f.apis {
		if a != nil {
			all = append(all, a.counted(f.spec))
		}
	}
	if rest := f.rest.counted(f.spec); rest.Took.Count() > 0 {
		all = append(all, rest)
	}
	return all
}

func (a *api) counted(spec FrontendSpec) APIRequests {
	c := APIRequests{API: a.name, Took: a.took.Distribution()}
	for i := range a.codes {
		n := a.codes[i].Load()
		name := Unknown
		if i < len(spec.Codes) {
			name = spec.Codes[i]
		}
		if n > 0 || i+spec.FirstCode == 0 {
			c.Codes = append(c.Codes, CodeRequests{Code: name, Requests: n})
		}
	}
	return c
}
