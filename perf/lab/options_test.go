package main

import (
	"bytes"
	"flag"
	"reflect"
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/golden"
)

// Flags are read, and each that is wrong is named.
func TestParseOptions(t *testing.T) {
	names := []string{"kafka", "nats"}
	f := func(args string, change func(*options), wantErr string) {
		t.Helper()
		got, err := parseOptions(strings.Fields(args), names, new(bytes.Buffer))
		if wantErr != "" {
			if err == nil || !strings.Contains(err.Error(), wantErr) {
				t.Errorf("%q: %v, want %q", args, err, wantErr)
			}
			return
		}
		want := options{flags: strings.Fields(args), profile: "default", results: "perf/results", dir: "/d"}
		change(&want)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q = %+v, %v; want %+v", args, got, err, want)
		}
	}
	f("-dir /d", func(*options) {}, "")
	f("-dir /d -profile smoke -fresh -share-cores", func(o *options) { o.profile, o.fresh, o.shareCores = "smoke", true, true }, "")
	f("-dir /d -only a,e-1m-1 -contestants kafka -with nats", func(o *options) {
		o.only, o.contestants, o.with = []string{"a", "e-1m-1"}, []string{"kafka"}, []string{"nats"}
	}, "")
	f("-dir /d -kafka-endpoint h:9092 -kafka-pid 7", func(o *options) { o.kafkaEndpoint, o.kafkaPID = "h:9092", 7 }, "")

	f("-profile huge", nil, `-profile: "huge", want one of smoke, quick, default, full`)
	f("-contestants kafak", nil, `contestant "kafak", want some of kafka, nats`)
	f("-kafka-pid 7", nil, "-kafka-pid without -kafka-endpoint")
	f("smoke", nil, `argument "smoke", want flags only`)
	f("-rounds 3", nil, "not defined: -rounds")
}

// The help is what its golden file has.
func TestHelp(t *testing.T) {
	var out bytes.Buffer
	if _, err := parseOptions([]string{"-help"}, nil, &out); err != flag.ErrHelp {
		t.Fatalf("-help: %v, want %v", err, flag.ErrHelp)
	}
	golden.Check(t, "help", out.Bytes())
}

// The command that repeats a run is what its user types, without -fresh.
func TestCommandLine(t *testing.T) {
	f := func(args, want string) {
		t.Helper()
		o, err := parseOptions(strings.Fields(args), nil, new(bytes.Buffer))
		if got := commandLine(o); err != nil || got != want {
			t.Errorf("command of %q = %q, %v; want %q", args, got, err, want)
		}
	}
	f("", "LAB=default make lab")
	f("-profile full -fresh", "LAB=full make lab")
	f("--profile=quick -only a -heap 2g", "LAB=quick make lab LABFLAGS='-only a -heap 2g'")
}
