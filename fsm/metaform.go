package fsm

import (
	"slices"
	"strings"
	"unicode/utf8"
)

var (
	metaformHead  = []string{"machine", "title", "initial", "create", "read", "facts", "attrs", "if_match"}
	metaformMarks = []string{"can_transition_to", "requires_moderator", "is_final"}
)

// moderators are those whom `requires_moderator: true` asks for.
var moderators = []string{"MODERATOR", "ADMIN", "SUPERUSER"}

const metaformEvent = "transition_to_"

// isMetadataForm reports whether the file describes its states by
// can_transition_to, requires_moderator and is_final, under `states` or at the
// top level.
func isMetadataForm(root *node) bool {
	marked := func(f field) bool {
		return f.value.kind == mapNode && slices.ContainsFunc(metaformMarks, func(mark string) bool { return f.value.get(mark) != nil })
	}
	if states := root.get("states"); states != nil {
		return slices.ContainsFunc(states.fields, marked)
	}
	return root.get("events") == nil && slices.ContainsFunc(root.fields, marked)
}

// declareMetadataForm reads the metadata form: each state says whereto it
// leads, and the events follow from that.
func (d *decoder) declareMetadataForm(root *node) *declaration {
	head, states := d.splitMetadataForm(root)
	f, meta := d.fields(head, "a machine in the metadata form (its events are made from can_transition_to)", true, append(metaformHead[:1:1], metaformHead[2:]...)...)
	decl := &declaration{meta: meta, metaform: true}
	if f["machine"] == nil {
		decl.name = ref{fileStem(d.file), place{1, 1}}
		if sentence := nameFault(&node{kind: stringNode, text: decl.name.name}, "the machine"); sentence != "" {
			d.errorf(place{1, 1}, "missing_key", "the machine needs `machine: NAME`, since the file's name can't be its name: %s", sentence)
		}
	}
	d.require(head, f, "a machine", "initial")
	d.head(decl, f)
	if states.kind != mapNode {
		d.errorf(states.at, "type", "`states` is a map, not %s", states.describe())
		return decl
	}
	moderated := map[string]*bool{}
	targets := make([][]ref, len(states.fields))
	for i, s := range states.fields {
		name, ok := d.name(s.key, "a state")
		v, stateMeta := d.fields(s.value, "the state "+quote(s.key.text)+" in the metadata form", true, metaformMarks...)
		if !ok {
			continue
		}
		if v["requires_moderator"] != nil {
			asks := d.truth(v["requires_moderator"], "requires_moderator")
			moderated[name.name] = &asks
		}
		if v["can_transition_to"] != nil {
			targets[i] = d.names(v["can_transition_to"], "can_transition_to", false, d.stateRef)
		}
		final := d.truth(v["is_final"], "is_final")
		if final && len(targets[i]) > 0 {
			d.errorf(targets[i][0].at, "leaves_final", "the state %s is final and leads on to %s; say `is_final: false` or empty its can_transition_to", quote(name.name), quote(targets[i][0].name))
		}
		decl.states = append(decl.states, stateDecl{ref: name, final: final, meta: stateMeta})
	}
	d.metadataEvents(decl, states.fields, targets, moderated)
	return decl
}

// splitMetadataForm separates the state map from what stands beside it.
func (d *decoder) splitMetadataForm(root *node) (head, states *node) {
	head = &node{kind: mapNode, at: root.at}
	states = root.get("states")
	bare := states == nil
	if bare {
		states = &node{kind: mapNode, at: root.at}
	}
	for _, f := range root.fields {
		known := slices.Contains(metaformHead, f.key.text) || slices.Contains(metadataKeys, f.key.text) || extension(f.key.text)
		switch {
		case !bare && f.key.text == "states":
		case bare && !known:
			states.fields = append(states.fields, f)
		default:
			head.fields = append(head.fields, f)
		}
	}
	return head, states
}

// metadataEvents makes an event for each state that another leads to, in the
// order of the states. It has the title of the state.
func (d *decoder) metadataEvents(decl *declaration, states []field, targets [][]ref, moderated map[string]*bool) {
	incoming := map[string][]transitionDecl{}
	for i, list := range targets {
		from := ref{states[i].key.text, states[i].key.at}
		for _, to := range list {
			t := transitionDecl{at: to.at, from: origin{at: to.at, states: []ref{{from.name, to.at}}}, to: []ref{to}}
			if asks := moderated[to.name]; asks == nil {
				// Nobody said who may: nobody may, and a finding says so.
			} else if *asks {
				for _, role := range moderators {
					t.requires = append(t.requires, ref{role, to.at})
				}
			} else {
				t.requires = []ref{{Anyone, to.at}}
			}
			incoming[to.name] = append(incoming[to.name], t)
		}
	}
	for _, s := range decl.states {
		transitions := incoming[s.name]
		delete(incoming, s.name)
		if len(transitions) == 0 {
			continue
		}
		name := metaformEvent + strings.ToLower(s.name)
		if utf8.RuneCountInString(name) > maxName-1 {
			d.errorf(s.at, "bad_name", "the state's name is too long for the metadata form: its event would be %s, of more than 63 characters", quote(name))
			continue
		}
		decl.events = append(decl.events, eventDecl{ref: ref{name, s.at}, note: NoteOptional, transitions: transitions, meta: arrival(s.meta)})
	}
	for _, name := range sortedKeys(incoming) { // targets that are no states
		for _, t := range incoming[name] {
			d.undeclaredState(t.to[0], decl)
		}
	}
}

// arrival is the metadata of the event that leads to a state: the state's title,
// which reads better in a menu than the name of the event.
func arrival(state Metadata) Metadata {
	if title, ok := state["title"]; ok {
		return Metadata{"title": title}
	}
	return nil
}

// fileStem is a file's name without folders and ending.
func fileStem(file string) string {
	if i := strings.LastIndexAny(file, `/\`); i >= 0 {
		file = file[i+1:]
	}
	if i := strings.LastIndexByte(file, '.'); i > 0 {
		file = file[:i]
	}
	return file
}
