package main

import (
	"strings"
	"testing"

	"github.com/rollway/rollway/internal/properties"
)

// A controller's listeners are left out of a pasted file, and one with a
// protocol that is not there yet is refused.
func TestBrokerListeners(t *testing.T) {
	f := func(file, want, wantDropped, wantError string) {
		t.Helper()
		list, err := properties.Parse(file)
		if err != nil {
			t.Fatal(err)
		}
		kept, dropped, err := brokerListeners(list)
		if wantError != "" {
			if err == nil || !strings.Contains(err.Error(), wantError) {
				t.Errorf("%q: error %v, want %q in it", file, err, wantError)
			}
			return
		}
		var got []string
		for _, p := range kept {
			if strings.HasSuffix(p.Key, "listeners") {
				got = append(got, p.Key+"="+p.Value)
			}
		}
		if err != nil || strings.Join(got, " ") != want || strings.Join(dropped, " ") != wantDropped {
			t.Errorf("%q: %q, dropped %q, error %v; want %q, %q", file, got, dropped, err, want, wantDropped)
		}
	}
	f("listeners=PLAINTEXT://:9092,CONTROLLER://:9093\ncontroller.listener.names=CONTROLLER\n", "listeners=PLAINTEXT://:9092", "CONTROLLER://:9093", "")
	f("listeners=CONTROLLER://:9093\ncontroller.listener.names = controller\n", "", "CONTROLLER://:9093", "")
	f("listeners=A://:1, B://:2\nadvertised.listeners=B://h:3\nlistener.security.protocol.map=A:PLAINTEXT,B:PLAINTEXT\n", "listeners=A://:1,B://:2 advertised.listeners=B://h:3", "", "")
	f("listeners=A://:1\nlistener.security.protocol.map=A:SASL_SSL\n", "", "", "line 1: listeners: A://:1 has the security protocol SASL_SSL, which is not there yet")
	f("\nlisteners=localhost:9092\n", "", "", `line 2: listeners: "localhost:9092", want NAME://HOST:PORT`)
}
