package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/engine"
	"github.com/rollway/rollway/engine/topicconfig"
	"github.com/rollway/rollway/internal/node"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

func (p *program) newTopic() *cobra.Command {
	cmd := p.newGroup("topic", "Create, list, describe, alter and delete topics", "Create, list, describe, alter and delete topics, or the first of their records.")
	cmd.AddCommand(p.newTopicCreate(), p.newTopicList(), p.newTopicDescribe(), p.newTopicAlter(), p.newTopicDelete(), p.newTopicDeleteRecords())
	return cmd
}

const topicCreateHelp = `Create a topic. It is durable when the command ends.

Topic configs are Kafka's, by Kafka's names; "rollway topic describe NAME --all"
lists them with their meaning.`

func (p *program) newTopicCreate() *cobra.Command {
	var c connection
	var partitions int32
	var configs []string
	cmd := &cobra.Command{
		Use:               "create NAME",
		Short:             "Create a topic",
		Long:              topicCreateHelp,
		Example:           "  rollway topic create orders --partitions 8 --config segment.bytes=1048576",
		Args:              arguments("NAME"),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, args []string) error {
			m := wire.CreateTopic{Topic: args[0], Partitions: wire.ServerDefault}
			if cmd.Flags().Changed("partitions") {
				if partitions < 1 {
					return usagef("--partitions %d, want at least 1", partitions)
				}
				m.Partitions = partitions
			}
			var err error
			if m.Configs, err = wireConfigs(configs); err != nil {
				return err
			}
			return c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				if err := cl.CreateTopic(ctx, m); err != nil {
					return err
				}
				_, err := fmt.Fprintf(p.stdout, "created topic %s\n", m.Topic)
				return err
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().Int32Var(&partitions, "partitions", 0, "`number` of partitions; the server's default if it is not given")
	addConfigFlag(cmd, &configs, "config", "`KEY=VALUE`: a topic config (repeatable)")
	return cmd
}

// addConfigFlag adds a flag whose values begin with the key of a topic config.
func addConfigFlag(cmd *cobra.Command, configs *[]string, name, usage string) {
	cmd.Flags().StringArrayVar(configs, name, nil, usage)
	cmd.RegisterFlagCompletionFunc(name, func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		var keys []string
		for _, k := range topicconfig.Keys() {
			keys = append(keys, k.Name+"=")
		}
		return keys, cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	})
}

// wireConfigs reads --config flags. The server validates again; here a wrong
// one is wrong usage.
func wireConfigs(texts []string) ([]wire.Config, error) {
	configs, err := parseConfigs(texts)
	if err != nil {
		return nil, usagef("--config: %v", err)
	}
	var list []wire.Config
	for _, key := range slices.Sorted(maps.Keys(configs)) {
		if err := topicconfig.Validate(key, configs[key]); err != nil {
			return nil, usagef("--config: %v", err)
		}
		list = append(list, wire.Config{Key: key, Value: configs[key]})
	}
	return list, nil
}

const topicListHelp = `List the topics, but for those that the server keeps for itself: __consumer_offsets,
which holds consumer groups and what they have committed.`

func (p *program) newTopicList() *cobra.Command {
	var c connection
	var json, internal bool
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List the topics",
		Long:              topicListHelp,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				topics, err := cl.ListTopics(ctx)
				if err != nil {
					return err
				}
				if !internal {
					// By name, as Kafka's tools know them.
					topics = slices.DeleteFunc(topics, func(t wire.TopicEntry) bool { return t.Topic == node.OffsetsTopic })
				}
				return p.printTopics(topics, json)
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&internal, "internal", false, "also list the topics that the server keeps for itself")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

// topicJSON is a topic in a list.
type topicJSON struct {
	Name       string `json:"name"`
	ID         string `json:"id"`
	Partitions int32  `json:"partitions"`
}

func (p *program) printTopics(topics []wire.TopicEntry, json bool) error {
	if json {
		list := []topicJSON{}
		for _, t := range topics {
			list = append(list, topicJSON{t.Topic, engine.TopicID(t.TopicID).String(), t.Partitions})
		}
		return writeJSON(p.stdout, list)
	}
	t := newTable("TOPIC", ">PARTITIONS", "ID")
	for _, topic := range topics {
		t.add(topic.Topic, number(topic.Partitions), engine.TopicID(topic.TopicID).String())
	}
	return t.write(p.stdout)
}

const topicDescribeHelp = `Describe a topic: its partitions, and the configs that have another value than
their default.

Damage that the server knows of is listed where there is any: offsets whose records
are lost, with what readers get there. See rollway partition skip.`

func (p *program) newTopicDescribe() *cobra.Command {
	var c connection
	var json, all bool
	cmd := &cobra.Command{
		Use:               "describe NAME",
		Short:             "Describe a topic: its partitions and configs",
		Long:              topicDescribeHelp,
		Args:              arguments("NAME"),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				d, err := cl.DescribeTopic(ctx, args[0])
				if err != nil {
					return err
				}
				damage, err := listDamage(ctx, cl, d)
				if err != nil {
					return err
				}
				return p.printTopic(d, damage, all, json)
			})
			return unknownTopic(err, args[0])
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&all, "all", false, "also print the configs that have their default, and what each means")
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

// topicDescriptionJSON is a described topic.
type topicDescriptionJSON struct {
	Name       string          `json:"name"`
	ID         string          `json:"id"`
	Partitions []partitionJSON `json:"partitions"`
	Configs    []configJSON    `json:"configs"`
}

type partitionJSON struct {
	Partition     int32  `json:"partition"`
	State         string `json:"state"`
	LeaderEpoch   int32  `json:"leader_epoch"`
	LogStart      int64  `json:"log_start"`
	HighWatermark int64  `json:"high_watermark"`
	LogEnd        int64  `json:"log_end"`

	Damage []damageJSON `json:"damage,omitempty"`
}

// damageJSON is a range of offsets that are lost; To is the first behind it.
type damageJSON struct {
	From    int64 `json:"from"`
	To      int64 `json:"to"`
	Skipped bool  `json:"skipped"`
}

type configJSON struct {
	Key           string `json:"key"`
	Value         string `json:"value"`
	Source        string `json:"source"`
	InForce       bool   `json:"in_force"`
	Documentation string `json:"documentation,omitempty"`
}

// listDamage asks for the damage that is known of each partition, by its index.
func listDamage(ctx context.Context, cl *client.Client, d wire.TopicDescription) (map[int32][]wire.DamagedRange, error) {
	damage := map[int32][]wire.DamagedRange{}
	for _, part := range d.Partitions {
		if part.LogEnd < 0 {
			continue // what is not known of it includes its damage
		}
		ranges, err := cl.SkipDamage(ctx, wire.SkipDamage{Topic: []byte(d.Topic), Partition: part.Index, Offset: wire.AllDamage, DryRun: true})
		if err != nil {
			return nil, err
		}
		if len(ranges) > 0 {
			damage[part.Index] = ranges
		}
	}
	return damage, nil
}

func (p *program) printTopic(d wire.TopicDescription, damage map[int32][]wire.DamagedRange, all, json bool) error {
	if !all {
		d.Configs = slices.DeleteFunc(d.Configs, func(c wire.ConfigDescription) bool { return c.Source == wire.SourceDefault })
	}
	if json {
		return writeJSON(p.stdout, topicDescription(d, damage, all))
	}
	if _, err := fmt.Fprintf(p.stdout, "topic %s, id %s\n\n", d.Topic, engine.TopicID(d.TopicID)); err != nil {
		return err
	}
	t := newTable(">PARTITION", "STATE", ">EPOCH", ">LOG START", ">HIGH WATERMARK", ">LOG END")
	for _, part := range d.Partitions {
		t.add(number(part.Index), part.State.String(), number(part.LeaderEpoch), number(part.LogStart), number(part.HighWatermark), number(part.LogEnd))
	}
	if err := errors.Join(t.write(p.stdout), p.printDamage(damage)); err != nil || len(d.Configs) == 0 {
		return err
	}
	return p.printConfigs(d.Configs, all)
}

func (p *program) printDamage(damage map[int32][]wire.DamagedRange) error {
	if len(damage) == 0 {
		return nil
	}
	if _, err := fmt.Fprintln(p.stdout); err != nil {
		return err
	}
	t := newTable(">DAMAGED PARTITION", ">LOST FROM", ">GOES ON AT", "READERS")
	for _, partition := range slices.Sorted(maps.Keys(damage)) {
		for _, r := range damage[partition] {
			readers := "get an error"
			if r.Skipped {
				readers = "are let past"
			}
			t.add(number(partition), number(r.From), number(r.To), readers)
		}
	}
	return t.write(p.stdout)
}

func (p *program) printConfigs(configs []wire.ConfigDescription, all bool) error {
	if _, err := fmt.Fprintln(p.stdout); err != nil {
		return err
	}
	if !all {
		t := newTable("CONFIG", "VALUE", "FROM")
		for _, c := range configs {
			t.add(c.Key, c.Value, c.Source.String())
		}
		return t.write(p.stdout)
	}
	for _, c := range configs {
		if _, err := fmt.Fprintf(p.stdout, "%s=%s (%s)\n    %s\n", c.Key, c.Value, c.Source, wrap(c.Documentation, 76, "    ")); err != nil {
			return err
		}
	}
	return nil
}

// wrap breaks text into lines of at most width characters, those behind the
// first with indent before them.
func wrap(text string, width int, indent string) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteString("\n" + indent)
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

func topicDescription(d wire.TopicDescription, damage map[int32][]wire.DamagedRange, all bool) topicDescriptionJSON {
	out := topicDescriptionJSON{Name: d.Topic, ID: engine.TopicID(d.TopicID).String(), Partitions: []partitionJSON{}, Configs: []configJSON{}}
	for _, part := range d.Partitions {
		partition := partitionJSON{part.Index, part.State.String(), part.LeaderEpoch, part.LogStart, part.HighWatermark, part.LogEnd, nil}
		for _, r := range damage[part.Index] {
			partition.Damage = append(partition.Damage, damageJSON{r.From, r.To, r.Skipped})
		}
		out.Partitions = append(out.Partitions, partition)
	}
	for _, c := range d.Configs {
		config := configJSON{Key: c.Key, Value: c.Value, Source: c.Source.String(), InForce: c.InForce}
		if all {
			config.Documentation = c.Documentation
		}
		out.Configs = append(out.Configs, config)
	}
	return out
}

const topicAlterHelp = `Alter a topic: set configs, put them back to their default, add partitions; all of
it or, when anything is refused, nothing. It is durable when the command ends.`

func (p *program) newTopicAlter() *cobra.Command {
	var c connection
	var partitions int32
	var configs, reset []string
	cmd := &cobra.Command{
		Use:               "alter NAME",
		Short:             "Alter the configs of a topic, or add partitions",
		Long:              topicAlterHelp,
		Example:           "  rollway topic alter orders --config segment.bytes=1048576 --reset flush.messages",
		Args:              arguments("NAME"),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			m, err := alteration(args[0], configs, reset, partitions, cmd.Flags().Changed("partitions"))
			if err != nil {
				return err
			}
			err = c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				if err := cl.AlterTopic(ctx, m); err != nil {
					return err
				}
				_, err := fmt.Fprintf(p.stdout, "altered topic %s\n", m.Topic)
				return err
			})
			return unknownTopic(err, args[0])
		},
	}
	c.addFlags(cmd)
	addConfigFlag(cmd, &configs, "config", "`KEY=VALUE`: set a topic config (repeatable)")
	cmd.Flags().StringArrayVar(&reset, "reset", nil, "`KEY`: put a topic config back to its default (repeatable)")
	cmd.Flags().Int32Var(&partitions, "partitions", 0, "`number` of partitions that the topic has then, more than now")
	return cmd
}

func alteration(topic string, configs, reset []string, partitions int32, grow bool) (wire.AlterTopic, error) {
	m := wire.AlterTopic{Topic: topic, Reset: reset}
	var err error
	if m.Set, err = wireConfigs(configs); err != nil {
		return m, err
	}
	for _, key := range reset {
		if _, ok := topicconfig.Lookup(key); !ok {
			return m, usagef("--reset: %v", topicconfig.Validate(key, ""))
		}
	}
	if grow {
		if partitions < 1 {
			return m, usagef("--partitions %s, want at least 1", strconv.Itoa(int(partitions)))
		}
		m.Partitions = partitions
	}
	if len(m.Set)+len(m.Reset) == 0 && !grow {
		return m, usagef("nothing to alter: give --config, --reset or --partitions")
	}
	return m, nil
}

func (p *program) newTopicDelete() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:               "delete NAME",
		Short:             "Delete a topic with all its records",
		Args:              arguments("NAME"),
		ValidArgsFunction: c.completeTopics,
		RunE: func(cmd *cobra.Command, args []string) error {
			err := c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				if err := cl.DeleteTopic(ctx, args[0]); err != nil {
					return err
				}
				_, err := fmt.Fprintf(p.stdout, "deleted topic %s\n", args[0])
				return err
			})
			return unknownTopic(err, args[0])
		},
	}
	c.addFlags(cmd)
	return cmd
}
