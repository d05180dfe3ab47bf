package generator

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rollway/rollway/engine/record"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// nativeDriver is rollway's own protocol, by wire/client.
type nativeDriver struct {
	workload Workload
	addr     string
	options  client.Options
	timeout  time.Duration

	mu    sync.Mutex     // held while it connects
	admin *client.Client // +checklocks:mu
}

func newNativeDriver(ctx context.Context, w Workload, addr string, o Options) (*nativeDriver, error) {
	d := &nativeDriver{
		workload: w, addr: addr, timeout: o.Timeout,
		options: client.Options{
			ClientName: clientID, ClientVersion: "1", DialTimeout: o.Timeout,
			MaxRequests: max(4096, w.PartitionsPerTopic+1), // each partition is a subscription
		},
	}
	c, err := client.Dial(ctx, addr, d.options)
	if err != nil {
		return nil, &UnreachableError{Target: Target{Native: addr}, Err: err}
	}
	d.admin = c
	return d, nil
}

func (d *nativeDriver) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.admin.Close()
}

// connection returns one for calls about topics: a new one if the server was started
// again since.
func (d *nativeDriver) connection(ctx context.Context) (*client.Client, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.admin.Err() == nil {
		return d.admin, nil
	}
	c, err := client.Dial(ctx, d.addr, d.options)
	if err != nil {
		return nil, err
	}
	d.admin.Close()
	d.admin = c
	return c, nil
}

func (d *nativeDriver) createTopic(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	m := wire.CreateTopic{Topic: topic, Partitions: int32(d.workload.PartitionsPerTopic)}
	for name, value := range d.workload.TopicConfigs {
		m.Configs = append(m.Configs, wire.Config{Key: name, Value: value})
	}
	slices.SortFunc(m.Configs, func(a, b wire.Config) int { return strings.Compare(a.Key, b.Key) })
	c, err := d.connection(ctx)
	if err != nil {
		return err
	}
	return c.CreateTopic(ctx, m) // its partitions are ready then
}

func (d *nativeDriver) deleteTopic(ctx context.Context, topic string) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	c, err := d.connection(ctx)
	if err != nil {
		return err
	}
	return c.DeleteTopic(ctx, topic)
}

func (d *nativeDriver) ends(ctx context.Context, topic string) ([]int64, error) {
	c, err := d.connection(ctx)
	if err != nil {
		return nil, err
	}
	ends := make([]int64, d.workload.PartitionsPerTopic)
	for p := range ends {
		found, err := c.ListOffsets(ctx, topic, int32(p), wire.QueryLatest, 0)
		if err != nil {
			return nil, err
		}
		ends[p] = found.Offset
	}
	return ends, nil
}

// nativeSender is a producer on a connection of its own.
type nativeSender struct {
	client   *client.Client
	producer *client.Producer
	tell     func(partition int32, sequence int64, dues []int64, err error)

	mu sync.Mutex
	// dues are those of what was taken, by partition, from sequence first on.
	// +checklocks:mu
	dues []dueQueue
}

// dueQueue are times when messages of a partition were due, in the order of their
// sequences.
type dueQueue struct {
	first int64
	times []int64
}

func (d *nativeDriver) newSender(ctx context.Context, topic string, delivered func(int32, int64, []int64, error)) (sender, error) {
	w := d.workload
	codec, err := record.ParseCodec(w.Compression)
	if err != nil {
		return nil, err
	}
	s := &nativeSender{tell: delivered, dues: make([]dueQueue, w.PartitionsPerTopic)}
	options := client.ProducerOptions{
		Partitioner: client.ByRecord, Codec: codec, BatchBytes: w.BatchBytes, Linger: w.linger(),
		DisableIdempotence: !w.Idempotence, RetryFor: d.timeout, OnBatch: s.settled,
		// The worker's room is the bound; a record takes some bytes beside its value.
		MaxInFlightBytes: max(32<<20, 2*int64(w.inFlight())*int64(w.MessageSize+64)),
	}
	if options.Linger == 0 {
		options.Linger = -1 // at once; 0 is its default
	}
	switch w.Acks {
	case "1":
		options.Acks = client.AcksLeader
	case "0":
		options.Acks = client.AcksNone
	}
	if s.client, err = client.Dial(ctx, d.addr, d.options); err != nil {
		return nil, err
	}
	if s.producer, err = client.NewProducer(ctx, s.client, topic, options); err != nil {
		s.client.Close()
		return nil, err
	}
	return s, nil
}

func (s *nativeSender) send(ctx context.Context, m *message, key, value []byte) error {
	s.mu.Lock()
	q := &s.dues[m.partition]
	q.times = append(q.times, m.due)
	s.mu.Unlock()
	return s.producer.Produce(ctx, client.Record{Key: key, Value: value, Partition: m.partition})
}

// settled is told the fate of a batch, in the order of its partition unless one that
// was sent again was refused in the end.
func (s *nativeSender) settled(r client.BatchResult) {
	s.mu.Lock()
	dues := s.dues[r.Partition].of(r.Sequence, r.Records)
	s.mu.Unlock()
	s.tell(r.Partition, r.Sequence, dues, r.Err)
	s.mu.Lock()
	s.dues[r.Partition].drop(r.Sequence, r.Records)
	s.mu.Unlock()
}

// of returns the times of count messages from sequence on. Until they are dropped
// nobody writes there.
func (q *dueQueue) of(sequence int64, count int) []int64 {
	at := sequence - q.first
	return q.times[at : at+int64(count) : at+int64(count)]
}

// drop forgets them, as soon as all before them are.
func (q *dueQueue) drop(sequence int64, count int) {
	clear(q.of(sequence, count)) // no message is due in 1970
	dropped := 0
	for dropped < len(q.times) && q.times[dropped] == 0 {
		dropped++
	}
	q.first += int64(dropped)
	q.times = q.times[dropped:]
}

func (s *nativeSender) flush(ctx context.Context) error {
	err := s.producer.Close(ctx)
	if ctx.Err() == nil {
		return nil // what went wrong with a batch was told
	}
	return err
}

func (s *nativeSender) close() {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	s.producer.Close(ended) // gives up what is not done; told by OnBatch
	s.client.Close()
}
