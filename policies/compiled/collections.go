package compiled

import (
	"cmp"

	"github.com/open-policy-agent/opa/v1/ast"
)

// object keeps its keys and, at the same positions, their values.
type object struct {
	keys
	values []Value
	origin ast.Value // what it was made of, if of that
}

// set is its keys.
type set struct {
	keys
	origin ast.Value
}

func (*object) Kind() Kind { return Object }
func (*set) Kind() Kind    { return Set }

func (o *object) get(key Value) Value {
	if at := o.find(key); at >= 0 {
		return o.values[at]
	}
	return nil
}

// put overwrites.
func (o *object) put(a *arena, key, value Value) {
	o.origin = nil
	if at, isNew := o.add(a, key); isNew {
		o.values = a.grow(o.values, value)
	} else {
		o.values[at] = value
	}
}

// putOnce says false if the key has another value already.
func (o *object) putOnce(a *arena, key, value Value) bool {
	o.origin = nil
	at, isNew := o.add(a, key)
	if isNew {
		o.values = a.grow(o.values, value)
		return true
	}
	return equal(o.values[at], value)
}

func (o *object) hash() uint64 {
	var sum uint64
	for i, key := range o.list {
		sum += mix(key.hash(), o.values[i].hash())
	}
	return mix(sum, uint64(Object))
}

func (s *set) put(a *arena, v Value) {
	s.origin = nil
	s.add(a, v)
}

func (s *set) hash() uint64 { return mix(s.hashKeys(), uint64(Set)) }

func (o *object) equal(p *object) bool {
	if len(o.list) != len(p.list) {
		return false
	}
	for i, key := range o.list {
		other := p.get(key)
		if other == nil || !equal(o.values[i], other) {
			return false
		}
	}
	return true
}

func (s *set) equal(t *set) bool {
	if len(s.list) != len(t.list) {
		return false
	}
	for _, key := range s.list {
		if t.find(key) < 0 {
			return false
		}
	}
	return true
}

func (o *object) compare(p *object) int {
	a, b := o.order(), p.order()
	for i := 0; i < len(o.list) && i < len(p.list); i++ {
		if c := compare(at(o.list, a, i), at(p.list, b, i)); c != 0 {
			return c
		}
		if c := compare(at(o.values, a, i), at(p.values, b, i)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(o.list), len(p.list))
}

func (s *set) compare(t *set) int { return s.compareKeys(&t.keys) }

// weigh is for what was made as a whole.
func (o *object) weigh() { o.weight = weightOfAll(o.list).plus(weightOfAll(o.values)) }

// copyOf may be changed without a trace in o.
func (o *object) copyOf(a *arena) *object {
	c := a.object()
	c.list = a.clone(o.list)
	c.values = a.clone(o.values)
	c.ascending, c.weight = o.ascending, o.weight
	return c
}

// merge unites a document of data with what rules say about the same path; where
// both have something other than an object, the document stands.
func merge(a *arena, document, rules Value) Value {
	d, ok := document.(*object)
	r, isObject := rules.(*object)
	if !ok || !isObject {
		return document
	}
	m := d.copyOf(a)
	m.weight = m.weight.plus(r.weight)
	for i, key := range r.list {
		if at := m.find(key); at >= 0 {
			m.values[at] = merge(a, m.values[at], r.values[i])
		} else {
			m.put(a, key, r.values[i])
		}
	}
	return m
}

// upsert is v with the value at a path replaced; what isn't an object on the
// way there becomes one.
func upsert(a *arena, v Value, path []*text, value Value) Value {
	if len(path) == 0 {
		return value
	}
	var o *object
	if old, ok := v.(*object); ok {
		o = old.copyOf(a)
	} else {
		o = a.object()
	}
	inner := upsert(a, o.get(path[0]), path[1:], value)
	o.put(a, path[0], inner)
	if inner != nil {
		o.weight = o.weight.plus(1 + weightOf(inner))
	}
	return o
}
