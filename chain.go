package interlock

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/interlock-go/interlock/internal/jsonvalue"
)

// Everything that is hashed is a domain tag and length-prefixed fields: no two
// different contents have the same bytes.
const (
	tagInstance = "interlock/instance/v1"
	tagActor    = "interlock/actor/v1"
	tagLog      = "interlock/log/v1"
	tagGenesis  = "interlock/genesis/v1"
	tagText     = "interlock/text/v1"
	tagRequest  = "interlock/request/v1"
	tagRevision = "interlock/revision/v1"
)

type fields []byte

// room is what most contents find enough.
const room = 768

func (f *fields) bytes(b []byte) {
	*f = binary.BigEndian.AppendUint32(*f, uint32(len(b)))
	*f = append(*f, b...)
}

func (f *fields) str(s string) {
	*f = binary.BigEndian.AppendUint32(*f, uint32(len(s)))
	*f = append(*f, s...)
}

func (f *fields) num(n int64) {
	*f = binary.BigEndian.AppendUint32(*f, 8)
	*f = binary.BigEndian.AppendUint64(*f, uint64(n))
}

func (f *fields) time(t time.Time) { f.num(t.UnixMicro()) }

func (f *fields) json(v map[string]any) {
	at := len(*f)
	*f = appendCanonical(append(*f, 0, 0, 0, 0), v)
	binary.BigEndian.PutUint32((*f)[at:], uint32(len(*f)-at-4))
}

func (f *fields) flag(b bool) {
	if b {
		f.str("1")
		return
	}
	f.str("")
}

func (f *fields) sets(m map[string][]string) {
	var few [16]string
	n, keys := 0, jsonvalue.Names(few[:0], m)
	for _, list := range m {
		if len(list) > 0 {
			n++
		}
	}
	f.num(int64(n))
	for _, k := range keys {
		if list := m[k]; len(list) > 0 {
			f.str(k)
			f.list(list)
		}
	}
}

func (f *fields) list(l []string) {
	f.num(int64(len(l)))
	for _, s := range l {
		f.str(s)
	}
}

func (f fields) sum() []byte {
	h := sha256.Sum256(f)
	return h[:]
}

// canonicalJSON has sorted keys and no HTML escapes; nil is {}. Values come from
// normalize, so they always encode.
func canonicalJSON(v map[string]any) []byte { return appendCanonical(nil, v) }

func appendCanonical(dst []byte, v map[string]any) []byte {
	if out, ok := jsonvalue.AppendObject(dst, v, jsonvalue.Plain); ok {
		return out
	}
	return append(dst, encoded(v)...)
}

func encoded(v map[string]any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		// A value that JSON can't hold never equals one that it can.
		return []byte("!" + err.Error())
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// normalize copies v into plain JSON values with exact numbers (json.Number),
// so that what is decided on is what is stored and hashed.
func normalize(v map[string]any) (map[string]any, error) {
	if out, ok := jsonvalue.Copy(v); ok {
		return out, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("not a JSON value: %w", err)
	}
	dec := json.NewDecoder(&b)
	dec.UseNumber()
	var out map[string]any
	if err := dec.Decode(&out); err != nil {
		return nil, fmt.Errorf("not a JSON object: %w", err)
	}
	return out, nil
}

// digest covers all that a policy may read of the instance, and its version.
func (i *Instance) digest() []byte {
	f := make(fields, 0, room)
	f.str(tagInstance)
	f.str(i.Tenant)
	f.str(i.Machine)
	f.str(i.ID)
	f.str(i.State)
	f.num(i.Version)
	f.json(i.Facts)
	f.sets(i.Entered)
	f.sets(i.Did)
	f.list(i.Actors)
	var few [16]string
	f.num(int64(len(i.Last)))
	for _, k := range jsonvalue.Names(few[:0], i.Last) {
		l := i.Last[k]
		f.str(k)
		f.str(l.Person)
		f.time(l.At)
		f.num(l.Count)
	}
	f.str(i.CreatedBy)
	f.time(i.CreatedAt)
	f.time(i.Since)
	f.time(i.UpdatedAt)
	return f.sum()
}

// digest covers all that a policy may read of the actor, and its version. The
// zero version is the actor of whom nothing is stored.
func (a *ActorRecord) digest() []byte {
	f := make(fields, 0, room)
	f.str(tagActor)
	f.str(a.Tenant)
	f.str(a.ID)
	f.str(a.Person)
	f.flag(a.Active)
	f.json(a.Attrs)
	f.num(int64(len(a.Grants)))
	for _, g := range a.Grants {
		f.str(g.Role)
		f.str(g.Scope.String())
		f.time(g.Since)
		f.str(g.By)
	}
	f.num(a.Version)
	return f.sum()
}

// genesis is what the first row of a chain has as its predecessor.
func genesis(epoch, tenant, machine, id string) []byte {
	var f fields
	f.str(tagGenesis)
	f.str(epoch)
	f.str(tenant)
	f.str(machine)
	f.str(id)
	return f.sum()
}

// link is what the chain holds of a row besides the row's own columns.
type link struct {
	epoch       string
	actorDigest []byte // the acting actor's content, as the decision saw it
	nextDigest  []byte // of the instance (or actor) after it
	fingerprint []byte // of the request
}

// seal gives the record its salt, bytes and hash. Texts enter only as salted
// digests, so that they can be erased and the chain still verifies.
func (r *Record) seal(l link) {
	r.Salt = make([]byte, 16)
	rand.Read(r.Salt) // never fails (crypto/rand)
	f := make(fields, 0, room)
	f.str(tagLog)
	f.str(l.epoch)
	f.str(r.Tenant)
	f.str(r.Machine)
	f.str(r.Revision)
	f.str(r.Instance)
	f.num(r.Seq)
	f.str(r.From)
	f.str(r.To)
	f.str(r.Event)
	f.flag(r.Override)
	f.str(r.Actor)
	f.str(r.Person)
	f.str(r.OnBehalfOf)
	f.str(r.OnBehalfOfPerson)
	f.str(r.ID)
	f.time(r.Time)
	f.bytes(l.actorDigest)
	f.bytes(l.fingerprint)
	f.bytes(l.nextDigest)
	f.bytes(r.textDigest())
	f.bytes(r.Prev)
	r.Bytes = f
	r.Hash = f.sum()
}

func (r *Record) textDigest() []byte {
	f := make(fields, 0, room)
	f.str(tagText)
	f.bytes(r.Salt)
	f.str(r.Note)
	f.json(r.Input)
	f.json(r.Facts)
	return f.sum()
}

// parsed is a row as its chain bytes tell it.
type parsed struct {
	epoch, tenant, machine, revision, instance string
	seq                                        int64
	from, to, event, override                  string
	actor, person, onBehalfOf, onBehalfPerson  string
	id                                         string
	micros                                     int64
	next, text, prev                           []byte
}

func parseChain(b []byte) (*parsed, error) {
	var list [][]byte
	for len(b) > 0 {
		if len(b) < 4 {
			return nil, fmt.Errorf("cut off within a length")
		}
		n := binary.BigEndian.Uint32(b)
		b = b[4:]
		if uint64(n) > uint64(len(b)) {
			return nil, fmt.Errorf("a field of %d bytes, where %d are left", n, len(b))
		}
		list = append(list, b[:n])
		b = b[n:]
	}
	if len(list) != 22 {
		return nil, fmt.Errorf("%d fields, want 22", len(list))
	}
	if string(list[0]) != tagLog {
		return nil, fmt.Errorf("tag %q, want %q", list[0], tagLog)
	}
	if len(list[6]) != 8 || len(list[16]) != 8 {
		return nil, fmt.Errorf("a number that isn't 8 bytes long")
	}
	s := func(i int) string { return string(list[i]) }
	return &parsed{
		epoch: s(1), tenant: s(2), machine: s(3), revision: s(4), instance: s(5),
		seq:  int64(binary.BigEndian.Uint64(list[6])),
		from: s(7), to: s(8), event: s(9), override: s(10),
		actor: s(11), person: s(12), onBehalfOf: s(13), onBehalfPerson: s(14), id: s(15),
		micros: int64(binary.BigEndian.Uint64(list[16])),
		next:   list[19], text: list[20], prev: list[21],
	}, nil
}

// newID is a UUIDv7 (RFC 9562 section 5.7): 48 bits of milliseconds, 74 random.
func newID(now time.Time) string {
	var u [16]byte
	rand.Read(u[:])
	ms := uint64(now.UnixMilli())
	binary.BigEndian.PutUint16(u[0:], uint16(ms>>32))
	binary.BigEndian.PutUint32(u[2:], uint32(ms))
	u[6] = u[6]&0x0f | 0x70
	u[8] = u[8]&0x3f | 0x80
	text := make([]byte, 0, 36)
	for i, part := range [][]byte{u[:4], u[4:6], u[6:8], u[8:10], u[10:]} {
		if i > 0 {
			text = append(text, '-')
		}
		text = hex.AppendEncode(text, part)
	}
	return string(text)
}
