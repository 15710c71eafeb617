package interlock

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"time"

	"github.com/interlock-go/interlock/internal/jsonvalue"
)

// Entries of a cache are written as json.Marshal does and read as [decode] does,
// without reflection where nothing is out of the ordinary.

func (c *cachedInstance) entry() ([]byte, error) {
	if c.Bound == nil && c.Instance != nil {
		b, ok := appendInstance(append(make([]byte, 0, 1<<10), `{"instance":`...), c.Instance)
		if c.IsBound {
			b = append(b, `,"is_bound":true`...)
		}
		if ok {
			return append(b, '}'), nil
		}
	}
	return json.Marshal(c)
}

func appendInstance(b []byte, i *Instance) (_ []byte, ok bool) {
	b = appendText(b, `{"tenant":`, i.Tenant)
	b = appendText(b, `,"machine":`, i.Machine)
	b = appendText(b, `,"id":`, i.ID)
	b = appendText(b, `,"state":`, i.State)
	b = strconv.AppendInt(append(b, `,"version":`...), i.Version, 10)
	if b, ok = jsonvalue.Append(append(b, `,"facts":`...), i.Facts, jsonvalue.HTML); !ok {
		return b, false
	}
	b = appendSets(append(b, `,"entered":`...), i.Entered)
	b = appendSets(append(b, `,"did":`...), i.Did)
	b = appendTexts(append(b, `,"actors":`...), i.Actors)
	if b, ok = appendLast(append(b, `,"last":`...), i.Last); !ok {
		return b, false
	}
	b = appendText(b, `,"created_by":`, i.CreatedBy)
	for _, t := range [...]struct {
		name string
		at   time.Time
	}{{`,"created_at":`, i.CreatedAt}, {`,"since":`, i.Since}, {`,"updated_at":`, i.UpdatedAt}} {
		if b, ok = appendTime(append(b, t.name...), t.at); !ok {
			return b, false
		}
	}
	if len(i.Head) > 0 {
		b = appendBase64(append(b, `,"head":`...), i.Head)
	}
	return append(b, '}'), true
}

func (a *ActorRecord) entry() ([]byte, error) {
	b := appendText(make([]byte, 0, 512), `{"tenant":`, a.Tenant)
	b = appendText(b, `,"id":`, a.ID)
	b = appendText(b, `,"person":`, a.Person)
	b = strconv.AppendBool(append(b, `,"active":`...), a.Active)
	b, ok := jsonvalue.Append(append(b, `,"attrs":`...), a.Attrs, jsonvalue.HTML)
	if !ok || a.Grants == nil {
		return json.Marshal(a)
	}
	b = append(b, `,"grants":[`...)
	for i, g := range a.Grants {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(b, `{"role":`, g.Role)
		b = appendText(b, `,"scope":`, g.Scope.String())
		if b, ok = appendTime(append(b, `,"since":`...), g.Since); !ok {
			return json.Marshal(a)
		}
		b = append(appendText(b, `,"by":`, g.By), '}')
	}
	b = strconv.AppendInt(append(b, `],"version":`...), a.Version, 10)
	if len(a.Head) > 0 {
		b = appendBase64(append(b, `,"head":`...), a.Head)
	}
	return append(b, '}'), nil
}

func appendText(b []byte, name, value string) []byte {
	return jsonvalue.AppendString(append(b, name...), value, jsonvalue.HTML)
}

func appendTexts(b []byte, list []string) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	return jsonvalue.AppendStrings(b, list, jsonvalue.HTML)
}

func appendSets(b []byte, m map[string][]string) []byte {
	if m == nil {
		return append(b, "null"...)
	}
	var few [16]string
	b = append(b, '{')
	for i, name := range jsonvalue.Names(few[:0], m) {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendTexts(append(jsonvalue.AppendString(b, name, jsonvalue.HTML), ':'), m[name])
	}
	return append(b, '}')
}

func appendLast(b []byte, m map[string]Last) (_ []byte, ok bool) {
	if m == nil {
		return append(b, "null"...), true
	}
	var few [16]string
	b = append(b, '{')
	for i, event := range jsonvalue.Names(few[:0], m) {
		if i > 0 {
			b = append(b, ',')
		}
		l := m[event]
		b = appendText(append(jsonvalue.AppendString(b, event, jsonvalue.HTML), ':'), `{"person":`, l.Person)
		if b, ok = appendTime(append(b, `,"at":`...), l.At); !ok {
			return b, false
		}
		b = append(strconv.AppendInt(append(b, `,"count":`...), l.Count, 10), '}')
	}
	return append(b, '}'), true
}

// appendTime leaves what isn't in UTC, or in no year of four digits, to json.Marshal.
func appendTime(b []byte, t time.Time) ([]byte, bool) {
	if y := t.Year(); y < 0 || y > 9999 || t.Location() != time.UTC {
		return b, false
	}
	return append(t.AppendFormat(append(b, '"'), time.RFC3339Nano), '"'), true
}

func appendBase64(b, data []byte) []byte {
	if data == nil {
		return append(b, "null"...)
	}
	return append(base64.StdEncoding.AppendEncode(append(b, '"'), data), '"')
}

// once remembers which of a struct's members were read: one that stands twice is
// for others to judge.
type once uint32

func (o *once) first(bit int) bool {
	before := *o
	*o |= 1 << bit
	return *o != before
}

func (c *cachedInstance) readJSON(r *jsonvalue.Reader) bool {
	read := cachedInstance{Instance: &Instance{}}
	var seen once
	ok := r.Object(func(name string) bool {
		return name == "instance" && seen.first(0) && read.Instance.readMembers(r) // with columns it is for others
	})
	if !ok || seen == 0 || !r.End() {
		return false
	}
	*c = read
	return true
}

func (i *Instance) readMembers(r *jsonvalue.Reader) bool {
	var seen once
	return r.Object(func(name string) (ok bool) {
		bit := 0
		switch name {
		case "tenant":
			i.Tenant, ok = r.String()
		case "machine":
			bit = 1
			i.Machine, ok = r.String()
		case "id":
			bit = 2
			i.ID, ok = r.String()
		case "state":
			bit = 3
			i.State, ok = r.String()
		case "version":
			bit = 4
			i.Version, ok = r.Int()
		case "facts":
			bit = 5
			i.Facts, ok = r.Members()
		case "entered":
			bit = 6
			i.Entered, ok = r.Sets()
		case "did":
			bit = 7
			i.Did, ok = r.Sets()
		case "actors":
			bit = 8
			i.Actors, ok = r.Strings()
		case "last":
			bit = 9
			i.Last, ok = readLast(r)
		case "created_by":
			bit = 10
			i.CreatedBy, ok = r.String()
		case "created_at":
			bit = 11
			i.CreatedAt, ok = r.Time()
		case "since":
			bit = 12
			i.Since, ok = r.Time()
		case "updated_at":
			bit = 13
			i.UpdatedAt, ok = r.Time()
		case "head":
			bit = 14
			i.Head, ok = readBase64(r)
		}
		return ok && seen.first(bit)
	})
}

func (a *ActorRecord) readJSON(r *jsonvalue.Reader) bool {
	var read ActorRecord
	var seen once
	ok := r.Object(func(name string) (ok bool) {
		bit := 0
		switch name {
		case "tenant":
			read.Tenant, ok = r.String()
		case "id":
			bit = 1
			read.ID, ok = r.String()
		case "person":
			bit = 2
			read.Person, ok = r.String()
		case "active":
			bit = 3
			read.Active, ok = r.Bool()
		case "attrs":
			bit = 4
			read.Attrs, ok = r.Members()
		case "grants":
			bit = 5
			read.Grants, ok = readGrants(r)
		case "version":
			bit = 6
			read.Version, ok = r.Int()
		case "head":
			bit = 7
			read.Head, ok = readBase64(r)
		}
		return ok && seen.first(bit)
	})
	if !ok || !r.End() {
		return false
	}
	*a = read
	return true
}

func readLast(r *jsonvalue.Reader) (map[string]Last, bool) {
	m := map[string]Last{}
	ok := r.Object(func(event string) bool {
		var l Last
		var seen once
		ok := r.Object(func(name string) (ok bool) {
			bit := 0
			switch name {
			case "person":
				l.Person, ok = r.String()
			case "at":
				bit = 1
				l.At, ok = r.Time()
			case "count":
				bit = 2
				l.Count, ok = r.Int()
			}
			return ok && seen.first(bit)
		})
		_, twice := m[event]
		m[event] = l
		return ok && !twice
	})
	return m, ok
}

func readGrants(r *jsonvalue.Reader) ([]Grant, bool) {
	list := []Grant{}
	ok := r.Array(func() bool {
		var g Grant
		var seen once
		ok := r.Object(func(name string) (ok bool) {
			bit := 0
			switch name {
			case "role":
				g.Role, ok = r.String()
			case "scope":
				bit = 1
				var s string
				if s, ok = r.String(); ok {
					ok = g.Scope.UnmarshalText([]byte(s)) == nil
				}
			case "since":
				bit = 2
				g.Since, ok = r.Time()
			case "by":
				bit = 3
				g.By, ok = r.String()
			}
			return ok && seen.first(bit)
		})
		list = append(list, g)
		return ok
	})
	return list, ok
}

func readBase64(r *jsonvalue.Reader) ([]byte, bool) {
	s, ok := r.String()
	if !ok {
		return nil, false
	}
	b, err := base64.StdEncoding.Strict().DecodeString(s)
	return b, err == nil
}
