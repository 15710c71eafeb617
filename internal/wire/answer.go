// Package wire is what goes over HTTP most: it reads the body of an event in one
// pass and writes answers by appending. The bytes are those that encoding/json
// would make of the documented members in their order.
package wire

import (
	"strconv"
	"time"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

// Instance adds an instance on the wire.
func Instance(b []byte, i *interlock.Instance) ([]byte, error) {
	b, err := members(b, i)
	return append(b, '}'), err
}

// InstanceWithEvents adds an instance with its menu as its last member.
func InstanceWithEvents(b []byte, i *interlock.Instance, options []interlock.Option) ([]byte, error) {
	b, err := members(b, i)
	if err != nil {
		return b, err
	}
	b, err = Server.Options(append(b, `,"events":`...), options, true)
	return append(b, '}'), err
}

// Available adds the answer to a question about many instances: of each, as it was
// asked for, its menu, or nulls where there is none or none that may be seen.
func Available(b []byte, asked []interlock.Ref, menus []*interlock.Menu) (_ []byte, err error) {
	b = append(b, `{"available":[`...)
	for i, ref := range asked {
		if i > 0 {
			b = append(b, ',')
		}
		b = text(b, `{"machine":`, ref.Machine)
		b = text(b, `,"id":`, ref.ID)
		found := menus[i]
		if found == nil {
			b = append(b, `,"state":null,"version":null,"events":null}`...)
			continue
		}
		b = text(b, `,"state":`, found.Instance.State)
		b = strconv.AppendInt(append(b, `,"version":`...), found.Instance.Version, 10)
		if b, err = Server.Options(append(b, `,"events":`...), found.Options, true); err != nil {
			return b, err
		}
		b = append(b, '}')
	}
	return append(b, "]}"...), nil
}

func members(b []byte, i *interlock.Instance) ([]byte, error) {
	b = text(b, `{"machine":`, i.Machine)
	b = text(b, `,"id":`, i.ID)
	b = text(b, `,"state":`, i.State)
	b = strconv.AppendInt(append(b, `,"version":`...), i.Version, 10)
	b, err := object(append(b, `,"facts":`...), i.Facts)
	if err != nil {
		return b, err
	}
	b = text(b, `,"created_by":`, i.CreatedBy)
	b = stamp(append(b, `,"created_at":`...), i.CreatedAt)
	b = stamp(append(b, `,"since":`...), i.Since)
	return stamp(append(b, `,"updated_at":`...), i.UpdatedAt), nil
}

// Side is who answers: a reason without params has none in the middleware's
// answers and an empty object in the server's.
type Side bool

const (
	Middleware Side = false
	Server     Side = true
)

// Options adds a menu as a list; what is denied only where it is asked for.
func (s Side) Options(b []byte, options []interlock.Option, denied bool) (_ []byte, err error) {
	b = append(b, '[')
	several := false
	for i := range options {
		o := &options[i]
		if !o.Allowed && !denied {
			continue
		}
		if several {
			b = append(b, ',')
		}
		several = true
		if b, err = s.option(b, o, denied); err != nil {
			return b, err
		}
	}
	return append(b, ']'), nil
}

func (s Side) option(b []byte, o *interlock.Option, denied bool) (_ []byte, err error) {
	b = text(b, `{"event":`, o.Event)
	b = text(b, `,"title":`, o.Title)
	b = strconv.AppendBool(append(b, `,"allowed":`...), o.Allowed)
	b = jsonvalue.AppendStrings(append(b, `,"needs":`...), o.Needs, jsonvalue.HTML)
	b = append(b, `,"to":[`...)
	several := false
	for i := range o.To {
		t := &o.To[i]
		if !t.Allowed && !denied {
			continue
		}
		if several {
			b = append(b, ',')
		}
		several = true
		if b, err = s.target(b, t); err != nil {
			return b, err
		}
	}
	b = text(b, `],"note":`, string(o.Note))
	b = strconv.AppendBool(append(b, `,"override":`...), o.Override)
	if b, err = jsonvalue.AppendRaw(append(b, `,"input_schema":`...), o.InputSchema, jsonvalue.HTML); err != nil {
		return b, err
	}
	b, err = object(append(b, `,"ui":`...), o.UI)
	return append(b, '}'), err
}

func (s Side) target(b []byte, t *interlock.Target) (_ []byte, err error) {
	b = text(b, `{"state":`, t.State)
	b = text(b, `,"title":`, t.Title)
	if t.Self {
		b = append(b, `,"self":true`...)
	}
	if t.Stay {
		b = append(b, `,"stay":true`...)
	}
	b = strconv.AppendBool(append(b, `,"allowed":`...), t.Allowed)
	b, err = s.Reasons(append(b, `,"reasons":`...), t.Reasons)
	return append(b, '}'), err
}

// Reasons adds reasons as a list.
func (s Side) Reasons(b []byte, reasons []interlock.Reason) (_ []byte, err error) {
	b = append(b, '[')
	for i := range reasons {
		r := &reasons[i]
		if i > 0 {
			b = append(b, ',')
		}
		b = text(b, `{"code":`, r.Code)
		b = text(b, `,"message":`, r.Message)
		if s == Server || len(r.Params) > 0 {
			if b, err = object(append(b, `,"params":`...), r.Params); err != nil {
				return b, err
			}
		}
		b = append(b, '}')
	}
	return append(b, ']'), nil
}

func text(b []byte, name, value string) []byte {
	return jsonvalue.AppendString(append(b, name...), value, jsonvalue.HTML)
}

// object adds a map; none is {}.
func object(b []byte, m map[string]any) ([]byte, error) {
	if m == nil {
		return append(b, "{}"...), nil
	}
	return jsonvalue.AppendAny(b, m, jsonvalue.HTML)
}

// stamp adds a time: RFC 3339, UTC, always six digits of a second.
func stamp(b []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return t.AppendFormat(b, `"2006-01-02T15:04:05.000000Z"`)
	}
	hour, minute, second := t.Clock()
	b = append(digits(append(b, '"'), year, 4), '-')
	b = append(digits(b, int(month), 2), '-')
	b = append(digits(b, day, 2), 'T')
	b = append(digits(b, hour, 2), ':')
	b = append(digits(b, minute, 2), ':')
	b = append(digits(b, second, 2), '.')
	return append(digits(b, t.Nanosecond()/1000, 6), 'Z', '"')
}

// digits adds the last count digits of n.
func digits(b []byte, n, count int) []byte {
	b = append(b, "000000"[:count]...)
	for i := len(b) - 1; n > 0; i, n = i-1, n/10 {
		b[i] = byte('0' + n%10)
	}
	return b
}
