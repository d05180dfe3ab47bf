package netloop

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// ConnectionLimits bound the connections of a Server. A bound that is lowered
// ends none that is open: as long as there are more, none is added.
type ConnectionLimits struct {
	Open  int // at once; at least 1
	PerIP int // of one remote address, loopback excepted; at least 1
}

// defaultConnectionLimits are those of a Server that is told none.
func defaultConnectionLimits() ConnectionLimits { return ConnectionLimits{Open: 10_000, PerIP: 1_000} }

// admission counts connections. It is guarded by its owner's lock.
type admission struct {
	open  int
	perIP map[netip.Addr]int // loopback is not in it; each at least 1
}

// enter counts a connection from ip, or says why it is refused.
func (a *admission) enter(ip netip.Addr, limits ConnectionLimits) error {
	if a.open >= limits.Open {
		return fmt.Errorf("%d connections are open, at most %d are allowed (max.connections)", a.open, limits.Open)
	}
	if !ip.IsLoopback() {
		if n := a.perIP[ip]; n >= limits.PerIP {
			return fmt.Errorf("%d connections from %v are open, at most %d are allowed (max.connections.per.ip)", n, ip, limits.PerIP)
		}
		a.perIP[ip]++
	}
	a.open++
	return nil
}

// leave takes back an enter.
func (a *admission) leave(ip netip.Addr) {
	a.open--
	if ip.IsLoopback() {
		return
	}
	if a.perIP[ip]--; a.perIP[ip] == 0 {
		delete(a.perIP, ip)
	}
}

// refusals logs refused connections, at most one line a second, so that who
// floods the listener does not flood the log. It belongs to one goroutine.
type refusals struct {
	log    *slog.Logger
	since  int64 // refused and not yet logged
	logged time.Time
}

// add notes that peer was refused.
func (r *refusals) add(peer netip.AddrPort, reason error) {
	r.since++
	now := time.Now()
	if now.Sub(r.logged) < time.Second {
		return
	}
	r.log.Warn("connection refused", "peer", peer, "reason", reason, "refused", r.since)
	r.since, r.logged = 0, now
}
