package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

const groupHelp = `List, describe, reset and delete consumer groups: what readers have committed about
how far they are, by Kafka's protocol or by rollway consume --group.`

func (p *program) newConsumerGroup() *cobra.Command {
	cmd := p.newGroup("group", "List, describe, reset and delete consumer groups", groupHelp)
	cmd.AddCommand(p.newGroupList(), p.newGroupDescribe(), p.newGroupReset(), p.newGroupDelete())
	return cmd
}

func (p *program) newGroupList() *cobra.Command {
	var c connection
	var json bool
	cmd := &cobra.Command{
		Use:               "list",
		Short:             "List the groups",
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				list, err := retry(ctx, func() (wire.GroupList, error) { return cl.ListGroups(ctx) })
				if err != nil {
					return err
				}
				return errors.Join(p.printGroups(list.Groups, json), missingGroups(list.Missing))
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

// groupJSON is a group in a list.
type groupJSON struct {
	Group        string `json:"group"`
	State        string `json:"state"`
	ProtocolType string `json:"protocol_type"`
}

func (p *program) printGroups(groups []wire.GroupEntry, json bool) error {
	if json {
		list := []groupJSON{}
		for _, g := range groups {
			list = append(list, groupJSON{g.Group, g.State.String(), g.ProtocolType})
		}
		return writeJSON(p.stdout, list)
	}
	t := newTable("GROUP", "STATE", "PROTOCOL TYPE")
	for _, g := range groups {
		t.add(g.Group, g.State.String(), orDash(g.ProtocolType))
	}
	return t.write(p.stdout)
}

// missingGroups says which partitions of the offsets log have groups that are not
// in a list; nil: none has.
func missingGroups(partitions []int32) error {
	if len(partitions) == 0 {
		return nil
	}
	return fmt.Errorf("list groups: those in partition %s of the offsets log are missing: the server cannot read it and has logged why; mend it and start the server again",
		strings.Trim(strings.ReplaceAll(fmt.Sprint(partitions), " ", ", "), "[]"))
}

// orDash writes a dash for nothing.
func orDash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

const groupDescribeHelp = `Describe a group: its members, and how far it is in each partition for which it has
committed something or that a member has.

COMMITTED is the next record that the group reads, END the one that the partition
gets next, LAG how many records are between them. LAG AGE is the age of the first
of those, by the time that its producer gave the first record of its batch: how far
the group is behind. A dash is for what is not known: nothing is committed, or the
partition is gone or being recovered.`

func (p *program) newGroupDescribe() *cobra.Command {
	var c connection
	var json bool
	cmd := &cobra.Command{
		Use:               "describe GROUP",
		Short:             "Describe a group: its members, offsets and lag",
		Long:              groupDescribeHelp,
		Args:              arguments("GROUP"),
		ValidArgsFunction: c.completeGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				d, err := retry(ctx, func() (wire.GroupDescription, error) { return cl.DescribeGroup(ctx, args[0]) })
				if err != nil {
					return err
				}
				return p.printGroup(d, json)
			})
		},
	}
	c.addFlags(cmd)
	cmd.Flags().BoolVar(&json, "json", false, "print JSON")
	return cmd
}

// groupDescriptionJSON is a described group.
type groupDescriptionJSON struct {
	Group        string            `json:"group"`
	State        string            `json:"state"`
	ProtocolType string            `json:"protocol_type"`
	Protocol     string            `json:"protocol"`
	Generation   int32             `json:"generation"`
	Members      []memberJSON      `json:"members"`
	Offsets      []groupOffsetJSON `json:"offsets"`
}

type memberJSON struct {
	Member   string         `json:"member"`
	Instance string         `json:"instance,omitempty"`
	ClientID string         `json:"client_id"`
	Host     string         `json:"host"`
	Assigned []assignedJSON `json:"assigned"`
}

type assignedJSON struct {
	Topic      string  `json:"topic"`
	Partitions []int32 `json:"partitions"`
}

// groupOffsetJSON is how far a group is in a partition; what is not known is -1.
type groupOffsetJSON struct {
	Topic       string `json:"topic"`
	Partition   int32  `json:"partition"`
	Committed   int64  `json:"committed"`
	LeaderEpoch int32  `json:"leader_epoch"`
	LogStart    int64  `json:"log_start"`
	End         int64  `json:"end"`
	Lag         int64  `json:"lag"`
	LagMs       int64  `json:"lag_ms"`
	Member      string `json:"member,omitempty"`
}

func (p *program) printGroup(d wire.GroupDescription, json bool) error {
	owners := ownersOf(d.Members)
	if json {
		return writeJSON(p.stdout, groupDescription(d, owners))
	}
	var b strings.Builder
	fmt.Fprintf(&b, "group %s, %s", d.Group, d.State)
	if d.ProtocolType != "" {
		fmt.Fprintf(&b, ", protocol type %s, generation %d", d.ProtocolType, d.Generation)
	}
	if d.Protocol != "" {
		fmt.Fprintf(&b, ", protocol %s", d.Protocol)
	}
	b.WriteString("\n")
	if len(d.Members) > 0 {
		b.WriteString("\n")
		t := newTable("MEMBER", "INSTANCE", "CLIENT", "HOST", ">PARTITIONS")
		for _, m := range d.Members {
			count := 0
			for _, a := range m.Assigned {
				count += len(a.Partitions)
			}
			t.add(m.Member, orDash(m.Instance), orDash(m.ClientID), orDash(m.Host), strconv.Itoa(count))
		}
		t.write(&b)
	}
	if len(d.Offsets) > 0 {
		b.WriteString("\n")
		t := newTable("TOPIC", ">PARTITION", ">COMMITTED", ">END", ">LAG", ">LAG AGE", "MEMBER")
		for _, o := range d.Offsets {
			t.add(o.Topic, number(o.Partition), number(o.Committed), number(o.HighWatermark), number(o.Lag), age(o.LagMs),
				orDash(owners[topicPartition{o.Topic, o.Partition}]))
		}
		t.write(&b)
	}
	_, err := p.stdout.Write([]byte(b.String()))
	return err
}

// age writes ms as a duration, to the second where it is a minute and more; -1,
// which stands for unknown, as a dash.
func age(ms int64) string {
	d := time.Duration(min(ms, int64(1<<63-1)/int64(time.Millisecond))) * time.Millisecond
	switch {
	case ms == -1:
		return "-"
	case d >= time.Minute:
		return d.Round(time.Second).String()
	}
	return d.String()
}

// topicPartition names a partition.
type topicPartition struct {
	topic     string
	partition int32
}

// ownersOf returns the member that has a partition.
func ownersOf(members []wire.GroupMember) map[topicPartition]string {
	owners := map[topicPartition]string{}
	for _, m := range members {
		for _, a := range m.Assigned {
			for _, partition := range a.Partitions {
				owners[topicPartition{a.Topic, partition}] = m.Member
			}
		}
	}
	return owners
}

func groupDescription(d wire.GroupDescription, owners map[topicPartition]string) groupDescriptionJSON {
	out := groupDescriptionJSON{
		Group: d.Group, State: d.State.String(), ProtocolType: d.ProtocolType, Protocol: d.Protocol, Generation: d.Generation,
		Members: []memberJSON{}, Offsets: []groupOffsetJSON{},
	}
	for _, m := range d.Members {
		member := memberJSON{Member: m.Member, Instance: m.Instance, ClientID: m.ClientID, Host: m.Host, Assigned: []assignedJSON{}}
		for _, a := range m.Assigned {
			member.Assigned = append(member.Assigned, assignedJSON{a.Topic, append([]int32{}, a.Partitions...)})
		}
		out.Members = append(out.Members, member)
	}
	for _, o := range d.Offsets {
		out.Offsets = append(out.Offsets, groupOffsetJSON{
			o.Topic, o.Partition, o.Committed, o.LeaderEpoch, o.LogStart, o.HighWatermark, o.Lag, o.LagMs,
			owners[topicPartition{o.Topic, o.Partition}],
		})
	}
	return out
}

func (p *program) newGroupDelete() *cobra.Command {
	var c connection
	cmd := &cobra.Command{
		Use:               "delete GROUP",
		Short:             "Delete a group that has no members, with its offsets",
		Args:              arguments("GROUP"),
		ValidArgsFunction: c.completeGroup,
		RunE: func(cmd *cobra.Command, args []string) error {
			return c.with(cmd, func(ctx context.Context, cl *client.Client) error {
				_, err := retry(ctx, func() (struct{}, error) { return struct{}{}, cl.DeleteGroup(ctx, args[0]) })
				if err != nil {
					return err
				}
				_, err = fmt.Fprintf(p.stdout, "deleted group %s\n", args[0])
				return err
			})
		},
	}
	c.addFlags(cmd)
	return cmd
}
