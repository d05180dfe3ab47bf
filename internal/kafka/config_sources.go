package kafka

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/engine/topicconfig"
)

// configSources are Kafka's words for where the value of a config comes from.
var configSources = map[topicconfig.Source]kmsg.ConfigSource{
	topicconfig.FromDefault:  kmsg.ConfigSourceDefaultConfig,
	topicconfig.FromStatic:   kmsg.ConfigSourceStaticBrokerConfig,
	topicconfig.FromAllNodes: kmsg.ConfigSourceDynamicDefaultBrokerConfig,
	topicconfig.FromNode:     kmsg.ConfigSourceDynamicBrokerConfig,
	topicconfig.FromTopic:    kmsg.ConfigSourceDynamicTopicConfig,
}
