package contestant

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describeConfig returns a config of a topic.
func describeConfig(t *testing.T, a admin, topic, key string) string {
	t.Helper()
	request := kmsg.NewPtrDescribeConfigsRequest()
	request.Version = 2
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName, resource.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{key}
	request.Resources = append(request.Resources, resource)
	r, err := a.ask(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	resources := r.(*kmsg.DescribeConfigsResponse).Resources
	if len(resources) != 1 || len(resources[0].Configs) != 1 || resources[0].Configs[0].Value == nil {
		t.Fatalf("configs of %s: %+v, want one", topic, resources)
	}
	return *resources[0].Configs[0].Value
}

// A refusal that passes is waited for until it has, one that does not is an error at
// once, and so is that the process has ended or the caller waits no longer.
func TestRetry(t *testing.T) {
	enough, left := errors.New("enough"), errors.New("left")
	f := func(what string, refusals []error, gone error, want error) {
		t.Helper()
		ctx, cancel := context.WithCancelCause(t.Context())
		defer cancel(nil)
		a := admin{gone: func() error { return gone }}
		tries := 0
		err := a.retry(ctx, func() error {
			tries++
			if tries > len(refusals) {
				return nil
			}
			if want == enough && tries == len(refusals) {
				cancel(enough)
			}
			return refusals[tries-1]
		})
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%s: %v after %d tries, want %v", what, err, tries, want)
		}
	}
	passing := []error{kerr.NotLeaderForPartition, fmt.Errorf("end: %w", kerr.UnknownTopicOrPartition), kerr.InvalidReplicationFactor, io.EOF}
	f("none", nil, nil, nil)
	f("refusals that pass", passing, nil, nil)
	f("a refusal that does not pass", append(passing, kerr.TopicAuthorizationFailed), nil, kerr.TopicAuthorizationFailed)
	f("a process that has ended", passing, left, left)
	f("a caller who has enough", passing, nil, enough)
}
