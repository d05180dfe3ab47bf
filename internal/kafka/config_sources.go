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

// configTypes are Kafka's numbers for the types of configs.
var configTypes = map[topicconfig.Type]kmsg.ConfigType{
	topicconfig.Boolean: kmsg.ConfigTypeBoolean,
	topicconfig.String:  kmsg.ConfigTypeString,
	topicconfig.Int:     kmsg.ConfigTypeInt,
	topicconfig.Short:   kmsg.ConfigTypeShort,
	topicconfig.Long:    kmsg.ConfigTypeLong,
	topicconfig.Double:  kmsg.ConfigTypeDouble,
	topicconfig.List:    kmsg.ConfigTypeList,
}
