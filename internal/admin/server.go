package admin

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rollway/rollway/internal/node"
)

// MaxConnections is how many connections a Server has open at once: a few
// scrapers and probes, each with one, and some that look by hand.
const MaxConnections = 32

const (
	// headTimeout is for a request to be there, and answerTimeout for its answer to
	// be made and taken; profileTimeout is the same of a profile, which is made for
	// as long as its request says.
	headTimeout    = 10 * time.Second
	answerTimeout  = 30 * time.Second
	profileTimeout = 10 * time.Minute
	// idleTimeout is longer than the usual time between two scrapes, a minute.
	idleTimeout = 2 * time.Minute
	// maxHeadBytes is several times what scrapers and browsers send.
	maxHeadBytes = 16 << 10
	// maxScrapes is how many answers of /metrics are made at once.
	maxScrapes = 4
	// stopTimeout is how long Shutdown waits for requests that are being answered.
	stopTimeout = time.Second
)

// DefaultTopics is how many topics have series of their own by default.
const DefaultTopics = 1_000

// DefaultGroupPartitions is how many partitions of groups have series of their own
// by default: two each.
const DefaultGroupPartitions = 10_000

// Options of a Server.
type Options struct {
	// Listeners are those whose connections are counted.
	Listeners []Listener
	// Topics is how many topics have series of their own; those beyond are summed
	// up. Default DefaultTopics; negative: none has.
	Topics int
	// GroupPartitions is how many partitions have the lag of a group as series of
	// their own; those beyond are summed up. Default DefaultGroupPartitions;
	// negative: none has.
	GroupPartitions int
}

// Server serves HTTP on one listener.
type Server struct {
	node     *node.Node
	http     *http.Server
	listener *listener
	served   chan struct{} // closed when nothing is accepted any more
	stopping atomic.Bool

	answering sync.RWMutex // held for reading while a request is answered
	closed    bool         // +checklocks:answering — nothing is answered any more
}

// Serve begins to serve on ln, which it closes from now on, also on an error. It
// returns at once; end it with Shutdown or Close, before the node is closed.
func Serve(ln net.Listener, n *node.Node, o Options) (*Server, error) {
	if o.Topics == 0 {
		o.Topics = DefaultTopics
	}
	if o.GroupPartitions == 0 {
		o.GroupPartitions = DefaultGroupPartitions
	}
	s := &Server{
		node:     n,
		listener: &listener{Listener: ln, most: MaxConnections},
		served:   make(chan struct{}),
	}
	log := n.Log().With("listener", "http")
	metrics, err := s.metrics(o, log)
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	s.http = &http.Server{
		Handler:           s.routes(metrics),
		ReadHeaderTimeout: headTimeout,
		ReadTimeout:       headTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeadBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug), // what peers do wrong
	}
	go func() {
		defer close(s.served)
		if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("nothing is accepted any more", "error", err)
		}
	}()
	return s, nil
}

// metrics answers scrapes.
func (s *Server) metrics(o Options, log *slog.Logger) (http.Handler, error) {
	r := prometheus.NewPedanticRegistry()
	for _, c := range []prometheus.Collector{
		&collector{
			node: s.node, listeners: o.Listeners, http: s.listener,
			topics: newTopicSeries(max(o.Topics, 0)), lags: newGroupSeries(max(o.GroupPartitions, 0)),
		},
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		if err := r.Register(c); err != nil {
			return nil, fmt.Errorf("metrics: %w", err)
		}
	}
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(log.Handler(), slog.LevelError),
		MaxRequestsInFlight: maxScrapes,
	}), nil
}

const index = `rollway

/metrics        what the server counts, for Prometheus
/healthz        200 while the process answers
/readyz         200 while it takes and gives records, else 503; says why
/debug/pprof/   profiles of the process, on loopback only
`

func (s *Server) routes(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", s.within(answerTimeout, metrics))
	mux.Handle("GET /healthz", s.within(answerTimeout, http.HandlerFunc(s.healthz)))
	mux.Handle("GET /readyz", s.within(answerTimeout, http.HandlerFunc(s.readyz)))
	mux.Handle("GET /debug/pprof/", s.within(profileTimeout, s.profiles()))
	mux.Handle("GET /{$}", s.within(answerTimeout, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Write([]byte(index)) // an error is the peer's
	})))
	return mux
}

// within bounds how long an answer may take, and has Close wait for it. The timeout
// of http.Server would bound profiles too.
func (s *Server) within(timeout time.Duration, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.answering.RLock()
		defer s.answering.RUnlock()
		if s.closed {
			return
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(timeout)); err != nil {
			return // the connection is gone
		}
		h.ServeHTTP(w, r)
	})
}

// Addr is the address that is listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Drain has /readyz say from now on that the node stops.
func (s *Server) Drain() { s.stopping.Store(true) }

// Shutdown accepts nothing more and lets answers leave that are being made, for a
// second, then ends all connections. Nothing of the Server runs any more when it
// returns.
func (s *Server) Shutdown(ctx context.Context) error {
	s.Drain()
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	s.http.Shutdown(ctx) // who is not done then is cut off
	return s.Close()
}

// Close ends all connections at once, and with them what is being answered. Nothing
// of the Server runs any more when it returns. It may be called again.
func (s *Server) Close() error {
	err := s.http.Close()
	<-s.served
	s.answering.Lock()
	defer s.answering.Unlock()
	s.closed = true
	return err
}
