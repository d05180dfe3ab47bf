package host

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Usage is how much CPU was used up to a moment, in all and by us.
type Usage struct {
	at                 time.Time
	busy, idle, stolen int64 // ticks of all cores
	own                time.Duration
}

// UsageNow returns the usage up to now. Our own is that of this process and of
// those children that have ended and been waited for.
func UsageNow() (Usage, error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return Usage{}, err
	}
	u := Usage{at: time.Now()}
	if u.busy, u.idle, u.stolen, err = parseCPUTicks(string(text)); err != nil {
		return Usage{}, err
	}
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var r unix.Rusage
		if err := unix.Getrusage(who, &r); err != nil {
			return Usage{}, fmt.Errorf("getrusage: %w", err)
		}
		u.own += time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	return u, nil
}

// Since returns which share of all cores' time since before was used by other
// processes and the kernel's own threads, and which was taken away by the
// hypervisor. A benchmark with a large one of either is worth little.
func (u Usage) Since(before Usage) (others, stolen float64) {
	ticks := float64(u.busy - before.busy + u.idle - before.idle + u.stolen - before.stolen)
	if ticks <= 0 {
		return 0, 0
	}
	own := (u.own - before.own).Seconds() * ticksPerSecond
	return max(0, float64(u.busy-before.busy)-own) / ticks, float64(u.stolen-before.stolen) / ticks
}

// Own is how many cores this process kept busy since before, with those of its
// children that have ended and been waited for meanwhile.
func (u Usage) Own(before Usage) float64 {
	return (u.own - before.own).Seconds() / u.at.Sub(before.at).Seconds()
}
