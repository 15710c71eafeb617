package interlock

import (
	"encoding/json"
	"strconv"

	"github.com/interlock-go/interlock/internal/jsonvalue"
)

// message is the transition as json.Marshal writes it, for the outbox.
func message(t *Transition) ([]byte, error) {
	if b, ok := appendTransition(make([]byte, 0, 1<<10), t); ok {
		return b, nil
	}
	return json.Marshal(t)
}

func appendTransition(b []byte, t *Transition) ([]byte, bool) {
	text := func(name, value string) {
		b = append(b, name...)
		b = jsonvalue.AppendString(b, value, jsonvalue.HTML)
	}
	some := func(name, value string) {
		if value != "" {
			text(name, value)
		}
	}
	text(`{"id":`, t.ID)
	text(`,"tenant":`, t.Tenant)
	text(`,"machine":`, t.Machine)
	text(`,"instance":`, t.Instance)
	b = strconv.AppendInt(append(b, `,"seq":`...), t.Seq, 10)
	text(`,"event":`, t.Event)
	text(`,"from":`, t.From)
	text(`,"to":`, t.To)
	b = strconv.AppendBool(append(b, `,"override":`...), t.Override)
	text(`,"actor":`, t.Actor)
	text(`,"person":`, t.Person)
	some(`,"on_behalf_of":`, t.OnBehalfOf)
	some(`,"on_behalf_of_person":`, t.OnBehalfOfPerson)
	some(`,"note":`, t.Note)
	for _, m := range [...]struct {
		name  string
		value map[string]any
	}{{`,"input":`, t.Input}, {`,"facts":`, t.Facts}} {
		if len(m.value) == 0 {
			continue
		}
		var ok bool
		if b, ok = jsonvalue.AppendObject(append(b, m.name...), m.value, jsonvalue.HTML); !ok {
			return nil, false
		}
	}
	b, ok := appendTime(append(b, `,"time":`...), t.Time)
	if !ok {
		return nil, false
	}
	text(`,"revision":`, t.Revision)
	b = appendBase64(append(b, `,"hash":`...), t.Hash)
	b = appendBase64(append(b, `,"prev":`...), t.Prev)
	return append(b, '}'), true
}
