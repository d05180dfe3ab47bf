package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rollway/rollway/internal/properties"
)

// brokerListeners returns the settings of a properties file with the listeners
// that are a controller's left out of listeners and advertised.listeners, as
// controller.listener.names says: there is no controller here. What it leaves
// out is in dropped. A listener whose security protocol is not there yet
// (listener.security.protocol.map) is an error.
func brokerListeners(list []properties.Property) (kept []properties.Property, dropped []string, err error) {
	controllers := listenerNames(list, "controller.listener.names")
	protocols := map[string]string{}
	for _, entry := range listenerNames(list, "listener.security.protocol.map") {
		name, protocol, _ := strings.Cut(entry, ":")
		protocols[name] = protocol
	}
	for _, p := range list {
		if p.Key != "listeners" && p.Key != "advertised.listeners" {
			kept = append(kept, p)
			continue
		}
		var addresses []string
		for _, text := range strings.Split(p.Value, ",") {
			text = strings.TrimSpace(text)
			name, _, found := strings.Cut(strings.ToUpper(text), "://")
			protocol := protocols[name]
			switch {
			case !found:
				return nil, nil, fmt.Errorf("line %d: %s: %q, want NAME://HOST:PORT", p.Line, p.Key, text)
			case slices.Contains(controllers, name):
				dropped = append(dropped, text)
			case protocol != "" && protocol != "PLAINTEXT":
				return nil, nil, fmt.Errorf("line %d: %s: %s has the security protocol %s, which is not there yet, want PLAINTEXT", p.Line, p.Key, text, protocol)
			default:
				addresses = append(addresses, text)
			}
		}
		if p.Value = strings.Join(addresses, ","); p.Value != "" {
			kept = append(kept, p)
		}
	}
	return kept, dropped, nil
}

// listenerNames returns the items of a list setting, in upper case: Kafka does
// not tell the cases of listeners' names apart.
func listenerNames(list []properties.Property, key string) (names []string) {
	for _, p := range list {
		if p.Key == key {
			names = nil
			for _, name := range strings.Split(strings.ToUpper(p.Value), ",") {
				names = append(names, strings.TrimSpace(name))
			}
		}
	}
	return names
}
