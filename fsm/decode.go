package fsm

import (
	"maps"
	"slices"
	"strings"
)

// decoder reads the syntax of a definition into a [declaration]. Names are
// resolved later, by the compiler.
type decoder struct{ *report }

// metadataKeys are accepted on machine, state, event and edge, beside x-….
var metadataKeys = []string{"title", "description", "color", "order", "confirm", "destructive", "activity", "tags"}

// fields reads a map whose keys are known; with metadata, those keys too.
func (d *decoder) fields(n *node, what string, metadata bool, known ...string) (map[string]*node, Metadata) {
	if n.kind != mapNode {
		d.errorf(n.at, "type", "%s is a map ({key: value}), not %s", what, n.describe())
		return map[string]*node{}, nil
	}
	values, meta := make(map[string]*node, len(n.fields)), Metadata(nil)
	for _, f := range n.fields {
		key := f.key.text
		switch {
		case f.key.kind != stringNode:
			d.errorf(f.key.at, "unknown_key", "%s is no key of %s; it takes %s", f.key.describe(), what, listed(known))
		case slices.Contains(known, key):
			values[key] = f.value
		case metadata && d.metadata(key, f.value):
			if meta == nil {
				meta = Metadata{}
			}
			meta[key] = f.value.value()
		case metadata && (slices.Contains(metadataKeys, key) || extension(key)):
		default:
			all := known
			if metadata {
				all = slices.Concat(known, metadataKeys)
			}
			hint := suggest(key, all)
			if hint == "" {
				hint = "; it takes " + listed(all)
				if metadata {
					hint += ", and x-… for what is your own"
				}
			}
			d.errorf(f.key.at, "unknown_key", "%s is no key of %s%s", quote(key), what, hint)
		}
	}
	return values, meta
}

func extension(key string) bool { return strings.HasPrefix(key, "x-") && len(key) > 2 }

// listed is "a, b and c".
func listed(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// metadata reports whether a key is metadata with a fitting value; an unfitting
// one is an error.
func (d *decoder) metadata(key string, n *node) bool {
	want := ""
	switch key {
	case "title", "description", "color", "activity":
		if n.kind != stringNode || n.text == "" {
			want = "a text (numbers and booleans in quotes)"
		}
	case "order":
		if n.kind != numberNode {
			want = "a number"
		}
	case "destructive":
		if n.kind != boolNode {
			want = "true or false"
		}
	case "confirm":
		if n.kind != boolNode && n.kind != stringNode {
			want = "true, false or the question to ask"
		}
	case "tags":
		if n.kind != listNode || slices.ContainsFunc(n.list, func(item *node) bool { return item.kind != stringNode }) {
			want = "a list of texts"
		}
	default:
		return extension(key)
	}
	if want != "" {
		d.errorf(n.at, "type", "`%s` is %s, not %s", key, want, n.describe())
	}
	return want == ""
}

// truth reads true or false; absent is false.
func (d *decoder) truth(n *node, key string) bool {
	if n == nil {
		return false
	}
	if n.kind != boolNode {
		d.errorf(n.at, "type", "`%s` is true or false, not %s", key, n.describe())
		return false
	}
	return n.text == "true"
}

// names reads a list by one reader; with single, one value may stand for a list.
// A repeated name is an error.
func (d *decoder) names(n *node, key string, single bool, read func(*node) (ref, bool)) []ref {
	items := []*node{n}
	switch {
	case n.kind == listNode:
		items = n.list
	case !single || n.kind == mapNode:
		form := "a list ([a, b])"
		if single {
			form = "a name or a list of names"
		}
		d.errorf(n.at, "type", "`%s` is %s, not %s", key, form, n.describe())
		return nil
	}
	refs := make([]ref, 0, len(items))
	seen := map[string]bool{}
	for _, item := range items {
		r, ok := read(item)
		if !ok {
			continue
		}
		if seen[r.name] {
			d.errorf(r.at, "repeated", "%s stands twice in this list", quote(r.name))
			continue
		}
		seen[r.name] = true
		refs = append(refs, r)
	}
	return refs
}

// requires reads who may; nil when absent. An empty list is an error, since it
// may be meant as "nobody" or as "everybody".
func (d *decoder) requires(n *node) []ref {
	if n == nil {
		return nil
	}
	if n.kind == listNode && len(n.list) == 0 {
		d.errorf(n.at, "empty_list", "`requires` is empty; name who may, or `anyone` for every authenticated actor")
		return nil
	}
	return d.names(n, "requires", false, d.requirement)
}

func (d *decoder) checks(n *node, key string) []ref {
	if n == nil {
		return nil
	}
	return d.names(n, key, false, d.check)
}

func (d *decoder) stateRef(n *node) (ref, bool) { return d.name(n, "a state") }

// origin reads `from`: a state, a list, or {any: true, except: […]}.
func (d *decoder) origin(n *node, key string) origin {
	o := origin{at: n.at}
	if n.kind != mapNode {
		o.states = d.names(n, key, true, d.stateRef)
		if n.kind == listNode && len(n.list) == 0 {
			d.errorf(n.at, "empty_list", "`%s` is empty; name a state, or write {any: true}", key)
		}
		return o
	}
	f, _ := d.fields(n, "`"+key+"`", false, "any", "except")
	o.any = true
	if f["any"] == nil || !d.truth(f["any"], "any") {
		d.errorf(n.at, "wildcard", "a wildcard says {any: true}, and after `except` the states that it leaves out")
	}
	if f["except"] != nil {
		o.except = d.names(f["except"], "except", true, d.stateRef)
	}
	return o
}

// require reports a missing key and gives an empty node for it.
func (d *decoder) require(n *node, f map[string]*node, what string, keys ...string) bool {
	missing := []string{}
	for _, key := range keys {
		if f[key] == nil {
			missing = append(missing, "`"+key+"`")
		}
	}
	if len(missing) > 0 && n.kind == mapNode {
		d.errorf(n.at, "missing_key", "%s needs %s", what, listed(missing))
	}
	return len(missing) == 0
}

// sortedKeys are the keys of a map, sorted.
func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
