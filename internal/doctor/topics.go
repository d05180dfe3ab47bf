package doctor

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rollway/rollway/engine/dump"
	"github.com/rollway/rollway/engine/topicconfig"
)

// unsyncedTopics returns the topics in the metadata log of dir that set
// flush.messages so that records are seen before they are durable, by name. A
// running server may have the directory open.
func unsyncedTopics(dir string) ([]UnsyncedTopic, error) {
	topics := map[string]UnsyncedTopic{} // by id
	_, err := dump.Path(filepath.Join(dir, "rollway-metadata.log"), dump.Options{}, func(item dump.Item) error {
		commit, ok := item.(dump.Commit)
		if !ok {
			return nil
		}
		for _, change := range commit.Changes {
			applyFlush(topics, change)
		}
		return nil
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // a directory of Kafka's, or a new one
	}
	var found []UnsyncedTopic
	for _, t := range topics {
		if config, err := topicconfig.Parse(map[string]string{flushMessages: t.FlushMessages}, topicconfig.Defaults{}); err == nil && !config.Durable() {
			found = append(found, t)
		}
	}
	slices.SortFunc(found, func(a, b UnsyncedTopic) int { return cmp.Compare(a.Name, b.Name) })
	return found, err
}

const flushMessages = "flush.messages"

// applyFlush follows the value of flush.messages through one change.
func applyFlush(topics map[string]UnsyncedTopic, change dump.Change) {
	t := topics[change.TopicID]
	switch change.Kind {
	case dump.ChangeTopic:
		t = UnsyncedTopic{Name: change.Name, FlushMessages: "1"}
	case dump.ChangeRemoveTopic, dump.ChangePurgeTopic:
		delete(topics, change.TopicID)
		return
	}
	for _, config := range change.Configs {
		switch {
		case config.Key != flushMessages:
		case change.Kind == dump.ChangeRemoveConfig:
			t.FlushMessages = "1"
		default:
			t.FlushMessages = strings.TrimSpace(config.Value)
		}
	}
	topics[change.TopicID] = t
}
