package admin

// All families, as docs/metrics.md shows them.
var (
	requests = newFamily("requests_total", counter,
		"Requests that were answered, or need no answer, by the code of the answer.", "frontend", "api", "error")
	requestDuration = newFamily("request_duration_seconds", histogram,
		"Time from when a request was there until its answer was ready to be sent. A fetch that waits for records counts its wait.", "frontend", "api")

	receivedBytes = newFamily("received_bytes_total", counter,
		"Bytes received from clients.", "listener")
	sentBytes = newFamily("sent_bytes_total", counter,
		"Bytes sent to clients of the log protocols, by the way they went: from files by sendfile, by splice, or by copy through memory, and heads, which never were in a file.", "path")
	sendCalls = newFamily("send_calls_total", counter,
		"System calls spent on sending; heads that left together with something else took none.", "path")
	sendFallbacks = newFamily("send_fallbacks_total", counter,
		"Transfers that could not go the way they were meant to go, and were copied.")
	sendWaits = newFamily("send_waits_total", counter,
		"Times that a transfer had to wait for a client to read.")

	connectionsOpen = newFamily("connections_open", gauge,
		"Connections that are open.", "listener")
	connectionsAccepted = newFamily("connections_accepted_total", counter,
		"Connections that were accepted, without the refused ones.", "listener")
	connectionsRefused = newFamily("connections_refused_total", counter,
		"Connections that were closed at once because there are as many as may be, in all or from one address.", "listener")
	connectionsMalformed = newFamily("connections_malformed_total", counter,
		"Connections that were closed for a frame that is refused: malformed, too large, or of no known kind.", "listener")
	connectionsFailed = newFamily("connections_failed_total", counter,
		"Connections that were closed for another error, such as a peer that stopped reading; ordinary ends and resets are none.", "listener")

	budgetUsed = newFamily("receive_budget_used_bytes", gauge,
		"Memory that connections receive into at this moment.")
	budgetLimit = newFamily("receive_budget_limit_bytes", gauge,
		"The most memory that connections may receive into; beyond it reading from them waits.")
	budgetWaiting = newFamily("receive_budget_waiting_connections", gauge,
		"Connections that wait for receive memory.")

	commits = newFamily("commits_total", counter,
		"Group commits: each makes durable what was appended to any number of partitions since the last one.")
	journalCommits = newFamily("journal_commits_total", counter,
		"Group commits that made bytes of some partition durable in the commit journal.")
	directCommits = newFamily("direct_commits_total", counter,
		"Group commits that synced the files of some partition, because it had much or there is no journal.")
	commitSize = newFamily("commit_size_bytes", histogram,
		"Bytes of the batches that waited for a group commit.")
	journalBytes = newFamily("journal_written_bytes_total", counter,
		"Bytes written to the commit journal, padding included.")
	fsyncs = newFamily("fsyncs_total", counter,
		"Calls of fdatasync and fsync by what was synced: logs, the journal, other files, directories.", "kind")
	lagRecords = newFamily("high_watermark_lag_records", gauge,
		"Records that were appended and that readers do not see yet, of all partitions together. It returns to 0 when producers pause; if it stays up, commits are stuck.")
	lagMaxRecords = newFamily("high_watermark_lag_max_records", gauge,
		"The same of the partition that has most of them.")

	recovered = newFamily("recovered", gauge,
		"1 once the data directory has been recovered after the start, as /readyz tells.")
	partitions = newFamily("partitions", gauge,
		"Partitions by what they can do: ready, recovering after a start, failed because their files are damaged in a way that recovery does not mend.", "state")
	topics = newFamily("topics", gauge,
		"Topics.")
	producers = newFamily("producers", gauge,
		"Idempotent producers that partitions remember, each counted once a partition.")
	storageFailed = newFamily("storage_failed", gauge,
		"1 when a write or sync has failed: nothing is appended or acknowledged until the server is started again.")
	appendsRefused = newFamily("appends_refused_total", counter,
		"Appends and new partitions that were refused for want of disk space.")
	appendsRefusing = newFamily("appends_refusing", gauge,
		"1 while appends are refused for want of disk space.")
	diskFree = newFamily("disk_free_bytes", gauge,
		"Bytes of the data directory's file system that are available.")
	diskSize = newFamily("disk_size_bytes", gauge,
		"Size of the data directory's file system.")
	diskFloor = newFamily("disk_floor_bytes", gauge,
		"Available bytes below which appends are refused; 0 if there is no floor.")
	openFiles = newFamily("open_files", gauge,
		"Segment and index files that are open.")
	openFilesLimit = newFamily("open_files_limit", gauge,
		"The most segment and index files that may be open.")
	indexCache = newFamily("index_cache_bytes", gauge,
		"Memory that blocks of index files take.")

	topicAppendedBytes = newFamily("topic_appended_bytes_total", counter,
		"Bytes of batches appended to a topic, as they stand in its log.", "topic")
	topicAppendedRecords = newFamily("topic_appended_records_total", counter,
		"Records appended to a topic.", "topic")
	topicFetchedBytes = newFamily("topic_fetched_bytes_total", counter,
		"Bytes of batches sent to readers of a topic.", "topic")
	topicsFolded = newFamily("topics_without_series", gauge,
		"Topics that have no series of their own and are summed up under topic=\"other\".")

	consumerGroups = newFamily("groups", gauge,
		"Consumer groups by what they are doing.", "state")
	groupMembers = newFamily("group_members", gauge,
		"Members of all consumer groups.")
	groupLagRecords = newFamily("group_lag_records", gauge,
		"Records of a partition that a group has not read: from what it has committed to the high watermark.", "group", "topic", "partition")
	groupLagSeconds = newFamily("group_lag_seconds", gauge,
		"Age of the first of them, by the time that its producer gave the first record of its batch; 0 if there are none.", "group", "topic", "partition")
	groupsFolded = newFamily("group_partitions_without_series", gauge,
		"Partitions of groups that have no series of their own and are summed up under group=\"other\".")

	buildInfo = newFamily("build_info", gauge,
		"1; the labels say what is running.", "version", "go_version")
)

// groups are the families in the order of the page.
var groups = []group{
	{"Requests", "`frontend` is the protocol, `api` the name of the request (`Produce`, `Fetch`, ...), `error` the code of the answer in lower case, " +
		"`none` for success. What a client sends makes no series: requests and codes without a name are counted as `unknown`. " +
		"A request whose connection ended before its answer is not counted, and a subscription is counted when it is accepted or refused. " +
		"Durations have no `error` label, which would multiply their series by the codes.",
		[]*family{requests, requestDuration}},
	{"Bytes on the network", "`listener` is `wire`, `kafka` (`kafka-NAME` if there are several) or `http`; `path` is `sendfile`, `splice`, `copy` or `head`.",
		[]*family{receivedBytes, sentBytes, sendCalls, sendFallbacks, sendWaits}},
	{"Connections", "The HTTP listener has no frames to refuse, so it has no series of closed connections.",
		[]*family{connectionsOpen, connectionsAccepted, connectionsRefused, connectionsMalformed, connectionsFailed}},
	{"Receive memory", "", []*family{budgetUsed, budgetLimit, budgetWaiting}},
	{"Commits", "A group may go both ways, some partitions through the journal and others directly. Topics with `flush.messages` above 1 " +
		"join a commit when their time has come; their bytes are not in its size.",
		[]*family{commits, journalCommits, directCommits, commitSize, journalBytes, fsyncs, lagRecords, lagMaxRecords}},
	{"The data directory", "", []*family{recovered, topics, partitions, producers, storageFailed, appendsRefused, appendsRefusing,
		diskFree, diskSize, diskFloor, openFiles, openFilesLimit, indexCache}},
	{"Topics", "The first 1,000 topics (`--metrics-topics`) have series of their own, for as long as they exist; all others are summed up under " +
		"`topic=\"other\"`, and so is a topic of that name. Counters begin at 0 with each start of the server. There is no count of records that were " +
		"fetched: a range of a log is sent as it is, and nobody looks how many records are in it.",
		[]*family{topicAppendedBytes, topicAppendedRecords, topicFetchedBytes, topicsFolded}},
	{"Consumer groups", "The first 10,000 partitions for which groups have committed something (`--metrics-group-partitions`) have series of their own, " +
		"for as long as something is committed; the records of all others are summed up under `group=\"other\"`, without a topic and a partition, and their age is not " +
		"looked up. So are groups whose id is not UTF-8. What is not known, as of a topic that is gone, has no series. A scrape reads for a partition with a lag " +
		"the headers of a few batches, never records.",
		[]*family{consumerGroups, groupMembers, groupLagRecords, groupLagSeconds, groupsFolded}},
	{"The program", "Beside these there are the families `go_*` and `process_*` of the Prometheus client library for Go: goroutines, memory and garbage " +
		"collection; CPU time, resident memory, open descriptors and start time of the process.",
		[]*family{buildInfo}},
}
