package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/rollway/rollway/perf/host"
)

// settleTime is how long a server gets to go to sleep before its CPU clock is read,
// see host.CPUTime: about a thousand times what it takes.
const settleTime = 5 * time.Millisecond

// work is what was done in the counted part of a turn.
type work struct {
	requests, records float64
	produced          float64 // bytes
	consumed          float64 // bytes
	elapsed           time.Duration
}

// use is what was seen from outside meanwhile.
type use struct {
	traced  bool // then only calls is set
	calls   int64
	known   bool // whether the server's process is known at all
	process host.ProcessUse
	memory  host.Memory
	cached  int64 // page cache of the server's files
	device  int64 // written to the disk by everybody; 0: unknown

	others, stolen float64 // shares of all cores' time
	client         float64 // cores that the clients, this process, kept busy
}

// snapshot is a moment before or after.
type snapshot struct {
	process host.Process
	device  int64
	usage   host.Usage
}

// observe calls f, the counted part of a turn, and returns what the server used
// meanwhile. While system calls are traced they are all that it returns.
func (s *subject) observe(f func() error) (use, error) {
	pid := s.server.PID()
	if s.tracing {
		u := use{traced: true}
		calls, err := host.Syscalls(pid, f)
		for _, n := range calls {
			u.calls += n
		}
		return u, err
	}
	before, err := s.look()
	if err != nil {
		return use{}, err
	}
	if err := f(); err != nil {
		return use{}, err
	}
	return s.since(before)
}

// look takes a snapshot of the server, which is given time to go to sleep.
func (s *subject) look() (snapshot, error) {
	time.Sleep(settleTime)
	var at snapshot
	var errs [3]error
	if pid := s.server.PID(); pid > 0 {
		at.process, errs[0] = host.ProcessNow(pid)
	}
	at.device, _, errs[1] = host.DiskWritten(s.lab.dir)
	at.usage, errs[2] = host.UsageNow()
	return at, errors.Join(errs[:]...)
}

// since returns what was used since before.
func (s *subject) since(before snapshot) (use, error) {
	after, err := s.look()
	if err != nil {
		return use{}, err
	}
	u := use{device: after.device - before.device}
	u.others, u.stolen = after.usage.Since(before.usage)
	u.client = after.usage.Own(before.usage)
	pid := s.server.PID()
	if pid == 0 {
		return u, nil
	}
	u.known, u.process = true, after.process.Since(before.process)
	// The servers' use counts as others' to host.Usage until they have been waited for.
	share := u.process.CPU.Seconds() / u.process.Elapsed.Seconds() / float64(s.lab.cores.count)
	u.others = max(0, u.others-share)
	if u.memory, err = host.MemoryOf(pid); err != nil {
		return u, err
	}
	if dir := s.server.DataDir(); dir != "" {
		u.cached, err = host.PageCache(dir)
	}
	return u, err
}

// figures are what was done and what it took.
func (u use) figures(w work) map[string]float64 {
	f := map[string]float64{}
	mib := (w.produced + w.consumed) / (1 << 20)
	if u.traced {
		set(f, "syscalls_mib", float64(u.calls)/mib)
		set(f, "syscalls_req", float64(u.calls)/w.requests)
		return f
	}
	seconds := w.elapsed.Seconds()
	f["elapsed_s"] = seconds
	f["client_cores"] = u.client
	f["others_percent"], f["stolen_percent"] = u.others*100, u.stolen*100
	if w.produced > 0 {
		f["produce_mib_s"] = w.produced / (1 << 20) / seconds
		set(f, "produce_req_s", w.requests/seconds)
		set(f, "produce_records_s", w.records/seconds)
	}
	if w.consumed > 0 {
		f["consume_mib_s"] = w.consumed / (1 << 20) / seconds
		if w.produced == 0 {
			set(f, "consume_req_s", w.requests/seconds)
			set(f, "consume_records_s", w.records/seconds)
		}
	}
	set(f, "device_written_mib", mebibytes(u.device))
	if u.known {
		u.processFigures(f, w)
	}
	return f
}

// processFigures adds those of the server's process.
func (u use) processFigures(f map[string]float64, w work) {
	gib := (w.produced + w.consumed) / (1 << 30)
	cpu, user := u.process.CPU.Seconds(), u.process.User.Seconds()
	if gib > 0 {
		f["cpu_s_gib"], f["cpu_user_s_gib"], f["cpu_system_s_gib"] = cpu/gib, user/gib, (cpu-user)/gib
	}
	if w.requests > 0 {
		f["cpu_us_req"], f["cpu_user_us_req"] = cpu*1e6/w.requests, user*1e6/w.requests
		f["switches_voluntary_req"] = float64(u.process.Voluntary) / w.requests
	}
	f["cpu_cores"] = cpu / u.process.Elapsed.Seconds()
	f["switches_involuntary_s"] = float64(u.process.Involuntary) / u.process.Elapsed.Seconds()
	f["threads"] = float64(u.process.Threads)
	f["rss_mib"], f["pss_mib"] = mebibytes(u.memory.Resident), mebibytes(u.memory.Proportional)
	f["page_cache_mib"] = mebibytes(u.cached)
	f["disk_written_mib"] = mebibytes(u.process.Written)
	if w.produced > 0 {
		f["write_amplification"] = float64(u.process.Written) / w.produced
	}
}

// skipError says that a contestant cannot do a job here, which is nobody's fault.
type skipError struct{ why string }

func (e *skipError) Error() string { return e.why }

func skipf(format string, args ...any) error { return &skipError{fmt.Sprintf(format, args...)} }
