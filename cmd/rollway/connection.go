package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/rollway/rollway/broker"
	"github.com/rollway/rollway/wire"
	"github.com/rollway/rollway/wire/client"
)

// connection are the flags of commands that talk to a server.
type connection struct {
	addr    string
	timeout time.Duration
}

// addFlags defines them on cmd.
func (c *connection) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.addr, "addr", broker.DefaultWire, "`address` of the server; the variable "+addrVariable+" gives another default")
	cmd.Flags().DurationVar(&c.timeout, "timeout", 30*time.Second, "how long to wait for a server that does not answer or is not ready")
}

// address is what --addr, or else ROLLWAY_ADDR, says.
func (c *connection) address(cmd *cobra.Command) string {
	if addr := os.Getenv(addrVariable); addr != "" && !cmd.Flags().Changed("addr") {
		return addr
	}
	return c.addr
}

// open connects. The caller closes the client.
func (c *connection) open(cmd *cobra.Command) (*client.Client, error) {
	addr := c.address(cmd)
	cl, err := client.Dial(cmd.Context(), addr, client.Options{
		ClientName:    "rollway " + cmd.Name(),
		ClientVersion: buildVersion().Version,
		DialTimeout:   c.timeout,
	})
	var refused *wire.Error
	switch {
	case err == nil:
		return cl, nil
	case errors.As(err, &refused):
		return nil, err
	}
	return nil, fmt.Errorf("%w: %w; start a server with: rollway serve, or name its address by --addr HOST:PORT", errUnreachable, err)
}

// with connects and calls f with the client and a context that ends after the
// timeout.
func (c *connection) with(cmd *cobra.Command, f func(ctx context.Context, cl *client.Client) error) error {
	cl, err := c.open(cmd)
	if err != nil {
		return err
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(cmd.Context(), c.timeout)
	defer cancel()
	return explain(f(ctx, cl), c.timeout)
}

// retry calls f until it succeeds, fails for good, or ctx ends: a partition
// that is being recovered asks to be asked again. The last error counts.
func retry[T any](ctx context.Context, f func() (T, error)) (T, error) {
	const pause = 100 * time.Millisecond
	for {
		v, err := f()
		var refused *wire.Error
		if err == nil || !errors.As(err, &refused) || !refused.Retryable() {
			return v, err
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return v, err
		}
	}
}

// explainedError is one that says already what to do about it.
type explainedError struct{ error }

func (e explainedError) Unwrap() error { return e.error }

// explain adds to what a server or a connection said what to do about it, once.
func explain(err error, timeout time.Duration) error {
	var done explainedError
	if err == nil || errors.As(err, &done) {
		return err
	}
	return explainedError{explanation(err, timeout)}
}

func explanation(err error, timeout time.Duration) error {
	var broken *client.ConnectionError
	switch code := wire.CodeOf(err); {
	case errors.As(err, &broken) && !errors.Is(err, client.ErrClosed):
		return fmt.Errorf("%w: %w", errUnreachable, err)
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w; no answer within --timeout %v", err, timeout)
	case code == wire.CodeTopicExists:
		return fmt.Errorf("%w; see: rollway topic list", err)
	case code == wire.CodeUnknownPartition:
		return fmt.Errorf("%w; see: rollway topic describe", err)
	case code == wire.CodeUnknownGroup:
		return fmt.Errorf("%w; see: rollway group list", err)
	case code == wire.CodeGroupNotEmpty:
		return fmt.Errorf("%w; see: rollway group describe", err)
	case code == wire.CodeStorageFailed:
		return fmt.Errorf("%w; the server's log says why; it takes writes again after a restart", err)
	case code == wire.CodeFileUnusable:
		return fmt.Errorf("%w; rollway check DIR says what is wrong, rollway repair DIR makes anew what can be, while the server is stopped", err)
	}
	return err
}

// explainTopic is explain for a command about one topic.
func explainTopic(err error, topic string, timeout time.Duration) error {
	return explain(unknownTopic(err, topic), timeout)
}

// unknownTopic is the part of explainTopic that concerns the topic: for what
// with returned, which is explained as far as it goes.
func unknownTopic(err error, topic string) error {
	if wire.CodeOf(err) == wire.CodeUnknownTopic {
		return fmt.Errorf("there is no topic %q; create it with: rollway topic create %s", topic, topic)
	}
	return err
}

// completeTopics is the shell completion of an argument that is a topic: the
// names that the server has, if it is reachable at once.
func (c *connection) completeTopics(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c.timeout = time.Second
	var names []string
	err := c.with(cmd, func(ctx context.Context, cl *client.Client) error {
		topics, err := cl.ListTopics(ctx)
		for _, t := range topics {
			names = append(names, t.Topic)
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeGroups is the shell completion of what is a group, as completeTopics is
// that of topics.
func (c *connection) completeGroups(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
	c.timeout = time.Second
	var names []string
	err := c.with(cmd, func(ctx context.Context, cl *client.Client) error {
		list, err := cl.ListGroups(ctx)
		for _, g := range list.Groups {
			names = append(names, g.Group)
		}
		return err
	})
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// completeGroup is completeGroups for a command whose first argument is one.
func (c *connection) completeGroup(cmd *cobra.Command, args []string, text string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	return c.completeGroups(cmd, args, text)
}
