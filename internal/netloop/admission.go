package netloop

import (
	"fmt"
	"log/slog"
	"net/netip"
	"time"
)

// admission counts connections against their bounds. It is guarded by its
// owner's lock.
type admission struct {
	max, maxPerIP int
	open          int                // Invariant: 0 <= open <= max
	perIP         map[netip.Addr]int // loopback is not in it; each at least 1, at most maxPerIP
}

// enter counts a connection from ip, or says why it is refused.
func (a *admission) enter(ip netip.Addr) error {
	if a.open >= a.max {
		return fmt.Errorf("%d connections are open, the most allowed (MaxConnections)", a.open)
	}
	if !ip.IsLoopback() {
		if n := a.perIP[ip]; n >= a.maxPerIP {
			return fmt.Errorf("%d connections from %v are open, the most allowed (MaxConnectionsPerIP)", n, ip)
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
