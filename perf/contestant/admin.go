package contestant

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/record"
)

// admin asks a server of Kafka's protocol for what is not measured: topics, and
// whether it is ready. It opens a connection for each question.
type admin struct {
	addr netip.AddrPort
	gone func() error // why the server's process has ended, nil while it runs
}

const (
	// retryPause is between two questions to a server that is not ready yet.
	retryPause = 5 * time.Millisecond
	// partitionsAtOnce is how many partitions one request asks for: Kafka's controller
	// refuses a change of 10,000 records and more (excessively large batch operation).
	partitionsAtOnce = 5000
	// answerBytes is the most that an answer may have: 10,000 partitions have some
	// 100 bytes each.
	answerBytes = 16 << 20
)

// ask sends one request and reads its answer into the response that the request
// has. It asks for the versions first, as every client does: a server may take no
// long request before one that is valid.
func (a admin) ask(ctx context.Context, request kmsg.Request) (kmsg.Response, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", a.addr.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	response, err := exchange(conn, kmsg.NewPtrApiVersionsRequest(), 1)
	if err != nil || request.Key() == response.Key() {
		return response, err
	}
	return exchange(conn, request, 2)
}

// exchange sends a request and reads its answer, which bears the same id.
func exchange(conn io.ReadWriter, request kmsg.Request, id int32) (kmsg.Response, error) {
	if _, err := conn.Write(kmsg.NewRequestFormatter(kmsg.FormatterClientID("rollway-lab")).AppendRequest(nil, request, id)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(conn, size[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(size[:])
	if n < 5 || n > answerBytes {
		return nil, fmt.Errorf("answer of %d bytes, want 5 to %d", n, answerBytes)
	}
	p := make([]byte, n)
	if _, err := io.ReadFull(conn, p); err != nil {
		return nil, err
	}
	if got := int32(binary.BigEndian.Uint32(p)); got != id {
		return nil, fmt.Errorf("answer to request %d, want %d", got, id)
	}
	p = p[4:]
	response := request.ResponseKind()
	response.SetVersion(request.GetVersion())
	if response.IsFlexible() && response.Key() != kmsg.ApiVersions.Int16() {
		p = p[1:] // no tagged fields
	}
	return response, response.ReadFrom(p)
}

// retry calls f until it succeeds, or fails by something that does not pass with
// time, for startLimit at most: then, when the process has ended or ctx has, that is
// the error.
func (a admin) retry(ctx context.Context, f func() error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startLimit, fmt.Errorf("not done within %v", startLimit))
	defer cancel()
	for {
		err := f()
		if err == nil || !passes(err) {
			return err
		}
		if gone := a.gone(); gone != nil {
			return gone
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(retryPause):
		}
	}
}

// passes tells whether err may be gone when the same is tried again: nobody
// listens yet, or the server has a topic or partition not ready. A broker that is
// fenced, as it is when it has just been started, has none to put a replica on.
func passes(err error) bool {
	var refused *kerr.Error
	if errors.As(err, &refused) {
		return refused.Retriable || refused == kerr.InvalidReplicationFactor || refused == kerr.UnknownServerError
	}
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

// answers waits until the server answers at all.
func (a admin) answers(ctx context.Context) error {
	return a.retry(ctx, func() error {
		r, err := a.ask(ctx, kmsg.NewPtrApiVersionsRequest())
		if err != nil {
			return err
		}
		return kerr.ErrorForCode(r.(*kmsg.ApiVersionsResponse).ErrorCode)
	})
}

// createTopic makes a topic and waits until its partitions are served. That it is
// there already is no error if existing may be taken.
func (a admin) createTopic(ctx context.Context, t Topic, configs map[string]string, existing bool) error {
	err := a.createInSteps(ctx, t, configs, existing, partitionsAtOnce)
	if err == nil {
		err = a.served(ctx, []Topic{t})
	}
	if err != nil {
		return fmt.Errorf("create topic %s of %d partitions: %w", t.Name, t.Partitions, err)
	}
	return nil
}

// createInSteps makes a topic with at most so many partitions by each request.
func (a admin) createInSteps(ctx context.Context, t Topic, configs map[string]string, existing bool, atOnce int) error {
	count := min(t.Partitions, atOnce)
	err := a.createFirst(ctx, Topic{t.Name, count}, configs, existing)
	for err == nil && count < t.Partitions {
		count = min(t.Partitions, count+atOnce)
		err = a.growTopic(ctx, Topic{t.Name, count})
	}
	return err
}

// createFirst makes a topic with all the partitions of t by one request.
func (a admin) createFirst(ctx context.Context, t Topic, configs map[string]string, existing bool) error {
	request := kmsg.NewPtrCreateTopicsRequest()
	request.Version, request.TimeoutMillis = 5, int32(time.Minute.Milliseconds())
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = t.Name, int32(t.Partitions), 1
	for key, value := range configs {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, kmsg.StringPtr(value)
		topic.Configs = append(topic.Configs, c)
	}
	request.Topics = append(request.Topics, topic)
	return a.change(ctx, request, kerr.TopicAlreadyExists, existing, func(r kmsg.Response) (refusals []error) {
		for _, t := range r.(*kmsg.CreateTopicsResponse).Topics {
			refusals = append(refusals, refusal(t.ErrorCode, t.ErrorMessage))
		}
		return refusals
	})
}

// growTopic gives a topic more partitions: t.Partitions in all.
func (a admin) growTopic(ctx context.Context, t Topic) error {
	request := kmsg.NewPtrCreatePartitionsRequest()
	request.Version, request.TimeoutMillis = 1, int32(time.Minute.Milliseconds())
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = t.Name, int32(t.Partitions)
	request.Topics = append(request.Topics, topic)
	return a.change(ctx, request, kerr.InvalidPartitions, false, func(r kmsg.Response) (refusals []error) {
		for _, t := range r.(*kmsg.CreatePartitionsResponse).Topics {
			refusals = append(refusals, refusal(t.ErrorCode, t.ErrorMessage))
		}
		return refusals
	})
}

// deleteTopic deletes a topic.
func (a admin) deleteTopic(ctx context.Context, name string) error {
	request := kmsg.NewPtrDeleteTopicsRequest()
	request.Version, request.TimeoutMillis, request.TopicNames = 5, int32(time.Minute.Milliseconds()), []string{name}
	err := a.change(ctx, request, kerr.UnknownTopicOrPartition, false, func(r kmsg.Response) (refusals []error) {
		for _, t := range r.(*kmsg.DeleteTopicsResponse).Topics {
			refusals = append(refusals, refusal(t.ErrorCode, t.ErrorMessage))
		}
		return refusals
	})
	if err != nil {
		return fmt.Errorf("delete topic %s: %w", name, err)
	}
	return nil
}

// change has the server change one topic; refusals are its answer's, nil for none.
// done is the refusal that says that it was changed before: it is none if that may be
// (existing), nor after the first try, whose answer may be what was lost.
func (a admin) change(ctx context.Context, request kmsg.Request, done *kerr.Error, existing bool, refusals func(kmsg.Response) []error) error {
	tries := 0
	return a.retry(ctx, func() error {
		tries++
		r, err := a.ask(ctx, request)
		if err != nil {
			return err
		}
		all := refusals(r)
		if len(all) != 1 {
			return fmt.Errorf("answer of %d topics, want 1", len(all))
		}
		if !errors.Is(all[0], done) {
			return all[0]
		}
		if existing || tries > 1 {
			return nil
		}
		return &finalError{all[0]}
	})
}

// finalError is a refusal that does not pass, though its code might.
type finalError struct{ error }

// served waits until each partition tells its end. It asks again only for those
// that did not.
func (a admin) served(ctx context.Context, topics []Topic) error {
	request := endsRequest(topics)
	return a.retry(ctx, func() error {
		r, err := a.ask(ctx, request)
		if err != nil {
			return err
		}
		rest, err := refusedEnds(r.(*kmsg.ListOffsetsResponse))
		request.Topics = rest
		return err
	})
}

// end returns the end of a partition: the offset that the next record gets.
func (a admin) end(ctx context.Context, topic string, partition int) (end int64, err error) {
	request := endsRequest(nil)
	request.Topics = []kmsg.ListOffsetsRequestTopic{endsTopic(topic, []int32{int32(partition)})}
	err = a.retry(ctx, func() error {
		r, err := a.ask(ctx, request)
		if err != nil {
			return err
		}
		answer := r.(*kmsg.ListOffsetsResponse)
		if _, err := refusedEnds(answer); err != nil {
			return err
		}
		if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
			return errors.New("answer of other partitions than the one asked for")
		}
		end = answer.Topics[0].Partitions[0].Offset
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("end of %s-%d: %w", topic, partition, err)
	}
	return end, nil
}

// batch fetches the batch that holds an offset, verified.
func (a admin) batch(ctx context.Context, topic string, partition int, offset int64, maxBytes int32) (b record.Batch, err error) {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = int32(partition), offset, maxBytes
	request := kmsg.NewPtrFetchRequest()
	request.Version, request.MaxBytes, request.SessionEpoch = 12, maxBytes, -1
	request.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	r, err := a.ask(ctx, request)
	if err != nil {
		return b, err
	}
	answer := r.(*kmsg.FetchResponse)
	if len(answer.Topics) != 1 || len(answer.Topics[0].Partitions) != 1 {
		return b, errors.New("answer of other partitions than the one asked for")
	}
	got := answer.Topics[0].Partitions[0]
	if err := kerr.ErrorForCode(got.ErrorCode); err != nil {
		return b, err
	}
	b, _, err = record.Next(got.RecordBatches)
	if err == nil {
		err = b.Verify()
	}
	return b, err
}

// endsRequest asks for the ends of all partitions.
func endsRequest(topics []Topic) *kmsg.ListOffsetsRequest {
	request := kmsg.NewPtrListOffsetsRequest()
	request.Version, request.ReplicaID = 5, -1
	for _, t := range topics {
		var partitions []int32
		for i := range t.Partitions {
			partitions = append(partitions, int32(i))
		}
		request.Topics = append(request.Topics, endsTopic(t.Name, partitions))
	}
	return request
}

func endsTopic(name string, partitions []int32) kmsg.ListOffsetsRequestTopic {
	topic := kmsg.NewListOffsetsRequestTopic()
	topic.Topic = name
	for _, i := range partitions {
		p := kmsg.NewListOffsetsRequestTopicPartition()
		p.Partition, p.Timestamp, p.CurrentLeaderEpoch = i, -1, -1 // -1 of a timestamp: the end
		topic.Partitions = append(topic.Partitions, p)
	}
	return topic
}

// refusedEnds returns the partitions that did not tell their ends, and the error
// of one of them: of one that does not pass, if there is such a one.
func refusedEnds(r *kmsg.ListOffsetsResponse) (rest []kmsg.ListOffsetsRequestTopic, err error) {
	for _, t := range r.Topics {
		var partitions []int32
		for _, p := range t.Partitions {
			refused := kerr.ErrorForCode(p.ErrorCode)
			if refused == nil {
				continue
			}
			partitions = append(partitions, p.Partition)
			if err == nil || passes(err) {
				err = fmt.Errorf("end of %s-%d: %w", t.Topic, p.Partition, refused)
			}
		}
		if partitions != nil {
			rest = append(rest, endsTopic(t.Topic, partitions))
		}
	}
	return rest, err
}

// refusal is the error of an answer.
func refusal(code int16, message *string) error {
	err := kerr.ErrorForCode(code)
	if err != nil && message != nil {
		return fmt.Errorf("%w: %s", err, *message)
	}
	return err
}
