package kafka

import (
	"reflect"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/rollway/rollway/internal/metrics"
)

// requestsSpec names requests and error codes for who counts them.
func requestsSpec() metrics.FrontendSpec {
	var keys []int16
	for _, a := range apis {
		keys = append(keys, a.key)
	}
	return metrics.KafkaSpec(keys)
}

// count counts a request that is answered now, or needs no answer. first is the
// first code in the answer that is not success.
func (f *frontend) count(h *header, first code) {
	f.requests.Request(int(h.api.key), int(first), time.Since(h.started))
}

// firstError returns the first error code in an answer, in the order of its
// fields.
func firstError(m kmsg.Response) code {
	v := reflect.ValueOf(m).Elem()
	return placesOf(v.Type()).first(v)
}

// errorPlaces are where a type of answer has error codes.
type errorPlaces []errorPlace

// errorPlace is a field that is an error code or, if inner is not nil, a list of
// what has some.
type errorPlace struct {
	field int
	inner errorPlaces
}

// placesByType has the errorPlaces of each type of answer that was looked at.
var placesByType sync.Map // reflect.Type -> errorPlaces

func placesOf(t reflect.Type) errorPlaces {
	if places, ok := placesByType.Load(t); ok {
		return places.(errorPlaces)
	}
	var places errorPlaces
	for i := range t.NumField() {
		switch field := t.Field(i); {
		case field.Name == "ErrorCode" && field.Type.Kind() == reflect.Int16:
			places = append(places, errorPlace{field: i})
		case field.Type.Kind() == reflect.Slice && field.Type.Elem().Kind() == reflect.Struct:
			if inner := placesOf(field.Type.Elem()); inner != nil {
				places = append(places, errorPlace{i, inner})
			}
		}
	}
	placesByType.Store(t, places)
	return places
}

// first returns the first code in v that is not success.
func (places errorPlaces) first(v reflect.Value) code {
	for _, place := range places {
		field := v.Field(place.field)
		if place.inner == nil {
			if c := code(field.Int()); c != codeNone {
				return c
			}
			continue
		}
		for i := range field.Len() {
			if c := place.inner.first(field.Index(i)); c != codeNone {
				return c
			}
		}
	}
	return codeNone
}
