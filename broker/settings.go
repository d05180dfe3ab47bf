package broker

import (
	"maps"
	"strconv"
	"strings"
	"time"

	"github.com/rollway/rollway/internal/brokerconfig"
)

// withSettings returns o with those fields set that are not, and that Settings
// have a value for: the ones that no node knows. All settings are validated.
func (o Options) withSettings() (Options, error) {
	for name, value := range o.Settings {
		if err := brokerconfig.Validate(name, value); err != nil {
			return o, err
		}
	}
	static := brokerconfig.Layers{Static: o.Settings}
	given := func(name string) bool { _, ok := o.Settings[name]; return ok }
	if o.Kafka == "" && given("listeners") {
		o.Kafka = static.Value("listeners")
	}
	if o.KafkaAdvertised == "" && given("advertised.listeners") {
		o.KafkaAdvertised = static.Value("advertised.listeners")
	}
	if o.IdleTimeout == 0 && given("connections.max.idle.ms") {
		const most = int64((1<<63 - 1) / time.Millisecond)
		ms := min(static.Int("connections.max.idle.ms"), most)
		if ms < 0 {
			ms = -1
		}
		o.IdleTimeout = time.Duration(ms) * time.Millisecond
	}
	if o.SendBuffer == 0 && given("socket.send.buffer.bytes") {
		o.SendBuffer = int(max(0, static.Int("socket.send.buffer.bytes")))
	}
	return o, nil
}

// nodeSettings returns Settings with what the fields say that no node knows,
// unless that is the default: of listeners l, where they listen. o is what
// withSettings returned.
func (o Options) nodeSettings(l listeners) map[string]string {
	settings := map[string]string{}
	maps.Copy(settings, o.Settings)
	put := func(name, value string) {
		_, given := o.Settings[name]
		if k, _ := brokerconfig.Lookup(name); given || value != k.Default {
			settings[name] = value
		}
	}
	put("listeners", l.text())
	put("advertised.listeners", o.KafkaAdvertised)
	if o.IdleTimeout != 0 {
		put("connections.max.idle.ms", strconv.FormatInt(o.IdleTimeout.Milliseconds(), 10))
	}
	if o.SendBuffer != 0 {
		put("socket.send.buffer.bytes", strconv.Itoa(o.SendBuffer))
	}
	return settings
}

// text is where the Kafka listeners listen, in Kafka's syntax.
func (l listeners) text() string {
	texts := make([]string, len(l.kafka))
	for i, k := range l.kafka {
		texts[i] = k.name + "://" + k.socket.Addr().String()
	}
	return strings.Join(texts, ",")
}
