package contestant

import (
	"testing"

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
