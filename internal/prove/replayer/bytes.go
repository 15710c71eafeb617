package replayer

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"maps"
	"slices"
	"time"
)

// logFields is how many fields a row's bytes have: the tag, epoch, tenant,
// machine, revision, instance, seq, from, to, event, override, actor, person, on
// behalf of, and of which person, id, time, the actor as seen, the request, the
// subject after it, the texts, and the row before.
const logFields = 22

// sheet is fields one behind the other, each after its length in four bytes, the
// highest first.
type sheet struct{ b []byte }

func (s *sheet) raw(v []byte) *sheet {
	n := len(v)
	s.b = append(s.b, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	s.b = append(s.b, v...)
	return s
}

func (s *sheet) text(vs ...string) *sheet {
	for _, v := range vs {
		s.raw([]byte(v))
	}
	return s
}

func (s *sheet) number(n int64) *sheet {
	b := make([]byte, 8)
	for i := range b {
		b[i] = byte(n >> (56 - 8*i))
	}
	return s.raw(b)
}

func (s *sheet) yes(v bool) *sheet {
	if v {
		return s.text("1")
	}
	return s.text("")
}

func (s *sheet) list(l []string) { s.number(int64(len(l))).text(l...) }

func (s *sheet) sets(m map[string][]string) *sheet {
	var names []string
	for name, set := range m {
		if len(set) > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	s.number(int64(len(names)))
	for _, name := range names {
		s.text(name).list(m[name])
	}
	return s
}

func (s *sheet) object(m map[string]any) *sheet { return s.raw([]byte(plain(m))) }

func (s *sheet) hash() []byte {
	h := sha256.New()
	h.Write(s.b)
	return h.Sum(nil)
}

// plain is a JSON object with sorted keys and nothing escaped for HTML.
func plain(m map[string]any) string {
	if len(m) == 0 {
		return "{}"
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if e.Encode(m) != nil {
		return ""
	}
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}

// split is the reverse of sheet; nil where the bytes don't come out.
func split(b []byte) [][]byte {
	var fields [][]byte
	for len(b) >= 4 {
		n := int(b[0])<<24 | int(b[1])<<16 | int(b[2])<<8 | int(b[3])
		if b = b[4:]; n > len(b) {
			return nil
		}
		fields, b = append(fields, b[:n]), b[n:]
	}
	if len(b) > 0 {
		return nil
	}
	return fields
}

// Instance is what a policy may know of one.
type Instance struct {
	Tenant, Machine, ID, State  string
	Version                     int64
	Facts                       map[string]any
	Entered, Did                map[string][]string
	Actors                      []string
	Last                        map[string]Last
	CreatedBy                   string
	CreatedAt, Since, UpdatedAt int64 // µs
}

// Last is an event's newest occurrence.
type Last struct {
	Person string    `json:"person"`
	At     time.Time `json:"at"`
	Count  int64     `json:"count"`
}

func (i *Instance) sum() []byte {
	var s sheet
	s.text("interlock/instance/v1", i.Tenant, i.Machine, i.ID, i.State).number(i.Version).object(i.Facts).sets(i.Entered).sets(i.Did).list(i.Actors)
	s.number(int64(len(i.Last)))
	for _, event := range slices.Sorted(maps.Keys(i.Last)) {
		l := i.Last[event]
		s.text(event, l.Person).number(l.At.UnixMicro()).number(l.Count)
	}
	return s.text(i.CreatedBy).number(i.CreatedAt).number(i.Since).number(i.UpdatedAt).hash()
}

// Actor is what a policy may know of one.
type Actor struct {
	Tenant, ID, Person string
	Active             bool
	Attrs              map[string]any
	Grants             []Grant
	Version            int64
}

// Grant is a role in a scope: tenant, machine:M or instance:M/ID.
type Grant struct {
	Role  string    `json:"role"`
	Scope string    `json:"scope"`
	Since time.Time `json:"since"`
	By    string    `json:"by"`
}

func (a *Actor) sum() []byte {
	var s sheet
	s.text("interlock/actor/v1", a.Tenant, a.ID, a.Person).yes(a.Active).object(a.Attrs).number(int64(len(a.Grants)))
	for _, g := range a.Grants {
		s.text(g.Role, g.Scope).number(g.Since.UnixMicro()).text(g.By)
	}
	return s.number(a.Version).hash()
}

// sealed compares a row with its bytes, its texts and the row before; wrong says
// what doesn't fit.
func (w *row) sealed(prev []byte) (wrong []string) {
	bad := func(ok bool, what string) {
		if !ok {
			wrong = append(wrong, what)
		}
	}
	if len(w.fields) != logFields {
		return []string{"its bytes can't be read"}
	}
	bad(w.texts, "its texts are gone")
	var texts, s sheet
	texts.text("interlock/text/v1").raw(w.salt).text(w.note).object(w.inputs).object(w.factsAfter)
	s.text("interlock/log/v1", w.epoch, w.tenant, w.machine, w.revision, w.instance).number(w.seq).text(w.from, w.to, w.event).yes(w.override)
	s.text(w.actor, w.person, w.behalf, w.behalfPerson, w.id).number(w.micros)
	s.raw(w.sawActor).raw(w.fingerprint).raw(w.after).raw(texts.hash()).raw(prev)
	bad(bytes.Equal(s.b, w.bytes), "its bytes don't say what the row, its texts and the row before say")
	bad(bytes.Equal(w.prev, prev), "it isn't chained to the row before")
	var own sheet
	own.b = w.bytes
	bad(bytes.Equal(own.hash(), w.hash), "its hash isn't that of its bytes")
	return wrong
}

func genesis(epoch, tenant, machine, id string) []byte {
	var s sheet
	return s.text("interlock/genesis/v1", epoch, tenant, machine, id).hash()
}
