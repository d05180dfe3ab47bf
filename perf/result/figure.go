package result

// Better tells which of two values of a figure is the better one.
type Better string

const (
	Higher  Better = "higher"
	Lower   Better = "lower"
	Neither Better = "" // it explains others
)

// Figure is what a value of a Measure means.
type Figure struct {
	Name   string // ends in the unit
	Unit   string // as it is printed
	Title  string // heading of a column
	Better Better
	Text   string // how it is measured, for the page's notes
}

// Figures are all there are, in the order of columns.
//
// Bytes are those of record batches as they lie in the log, compressed if they
// are, without what protocols put around them. CPU is that of the contestant's
// process alone, all of its threads.
var Figures = []Figure{
	{"produce_mib_s", "MiB/s", "produced", Higher, "batches acknowledged in the counted part"},
	{"produce_req_s", "/s", "produce requests", Higher, "requests of one batch acknowledged"},
	{"produce_records_s", "/s", "records produced", Higher, ""},
	{"consume_mib_s", "MiB/s", "consumed", Higher, "all consumers together"},
	{"consume_req_s", "/s", "fetch answers", Higher, "all consumers together"},
	{"consume_records_s", "/s", "records consumed", Higher, ""},

	{"cpu_s_gib", "s/GiB", "CPU", Lower, "user and system, per GiB produced and consumed"},
	{"cpu_user_s_gib", "s/GiB", "user CPU", Lower, "without what the kernel takes for fresh pages"},
	{"cpu_system_s_gib", "s/GiB", "system CPU", Lower, ""},
	{"cpu_us_req", "us", "CPU a request", Lower, "user and system"},
	{"cpu_user_us_req", "us", "user CPU a request", Lower, ""},
	{"cpu_cores", "cores", "cores in use", Neither, "CPU seconds a second"},

	{"produce_p50_ms", "ms", "produce p50", Lower, "from when a record or batch was due to its acknowledgement"},
	{"produce_p99_ms", "ms", "produce p99", Lower, ""},
	{"produce_p999_ms", "ms", "produce p99.9", Lower, ""},
	{"produce_max_ms", "ms", "produce max", Lower, ""},
	{"e2e_p50_ms", "ms", "end to end p50", Lower, "from when a record was due to its arrival at a consumer"},
	{"e2e_p99_ms", "ms", "end to end p99", Lower, ""},
	{"e2e_p999_ms", "ms", "end to end p99.9", Lower, ""},
	{"e2e_max_ms", "ms", "end to end max", Lower, ""},
	{"offered_req_s", "/s", "offered", Neither, "the fixed rate of an open loop"},
	{"backlog_records", "", "left unread", Lower, "records produced and not consumed when the counted part ended"},

	{"syscalls_mib", "/MiB", "system calls", Lower, "per MiB, under strace in a run of its own"},
	{"syscalls_req", "", "system calls a request", Lower, "under strace in a run of its own"},
	{"switches_voluntary_req", "", "waits a request", Lower, "voluntary context switches of threads"},
	{"switches_voluntary_mib", "/MiB", "waits", Lower, "voluntary context switches of threads"},
	{"switches_involuntary_s", "/s", "preemptions", Neither, "involuntary context switches of threads"},
	{"threads", "", "threads", Neither, ""},
	{"rss_mib", "MiB", "RSS", Lower, "resident at the end of the counted part, without page cache that is not mapped"},
	{"pss_mib", "MiB", "PSS", Lower, "as RSS, shared pages by their share"},
	{"rss_idle_mib", "MiB", "RSS idle", Lower, "resident before the first request"},
	{"page_cache_mib", "MiB", "page cache", Neither, "of the files in its data directory"},
	{"disk_written_mib", "MiB", "written", Neither, "write_bytes of the process: pages that it dirtied, and what it wrote past the cache"},
	{"device_written_mib", "MiB", "written by the disk", Neither, "sectors that the whole machine wrote to the data disk"},
	{"write_amplification", "x", "written per byte", Lower, "disk_written_mib over what was produced"},

	{"ready_ms", "ms", "start to ready", Lower, "until it accepts connections and answers"},
	{"first_produce_ms", "ms", "start to first produce", Lower, "until a produce is acknowledged"},
	{"first_fetch_ms", "ms", "start to first fetch", Lower, "until a record is read"},
	{"create_ms", "ms", "create topics", Lower, "until all partitions are there and have a leader"},
	{"stop_ms", "ms", "clean stop", Lower, "SIGTERM to exit"},
	{"restart_ms", "ms", "restart", Lower, "start after a clean stop, to the first acknowledged produce"},
	{"recovery_ms", "ms", "recovery", Lower, "start after kill -9, to the first acknowledged produce"},
	{"connect_ms", "ms", "connect", Lower, "all connections, opened one after another"},
	{"cpu_idle_percent", "%", "CPU idle", Lower, "of one core, while nobody asks for anything"},
	{"rss_connection_kib", "KiB", "RSS a connection", Lower, "growth of RSS over connections that are idle"},

	{"client_cores", "cores", "clients' CPU", Neither, "that the lab's clients kept busy: one that has no core left is what was measured"},
	{"elapsed_s", "s", "counted", Neither, "length of the counted part"},
	{"stolen_percent", "%", "stolen", Neither, "of all cores' time, taken by the hypervisor meanwhile"},
	{"others_percent", "%", "others", Neither, "of all cores' time, used by neither the lab nor the contestant"},
	{"repeats", "", "repeats", Neither, "how often the turn was done again because others disturbed it; the least disturbed one counts"},
}

// Named returns the figure of that name.
func Named(name string) (Figure, bool) {
	for _, f := range Figures {
		if f.Name == name {
			return f, true
		}
	}
	return Figure{}, false
}
