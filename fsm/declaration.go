package fsm

// declaration is what a file says, names not yet resolved. Both forms of the
// format end here.
type declaration struct {
	name        ref
	title       string
	meta        Metadata
	initial     ref
	roles       []roleDecl
	rolesGiven  bool // `roles` stands in the file: then every role must be in it
	checks      []ref
	create      *accessDecl
	read        *accessDecl
	explain     *accessDecl
	ifMatch     bool // required
	factsEdit   *accessDecl
	factsSchema *node
	attrsSchema *node
	metaform    bool // read from the metadata form
	states      []stateDecl
	events      []eventDecl
}

type roleDecl struct {
	ref
	includes []ref
}

type stateDecl struct {
	ref
	final, closed bool
	entry         []ref
	meta          Metadata
}

type eventDecl struct {
	ref
	note        NoteMode
	override    bool
	input       *node
	checks      []ref
	meta        Metadata
	transitions []transitionDecl
}

type transitionDecl struct {
	at       place
	from     origin
	to       []ref
	stay     bool
	requires []ref
	checks   []ref // its own; the event's are added by the compiler
	meta     Metadata
	made     int // edges that the compiler made of it
}

// origin is `from`: states, or any state but some.
type origin struct {
	at     place
	states []ref
	any    bool
	except []ref
}

type accessDecl struct {
	at       place
	requires []ref
	checks   []ref
	states   origin // facts edits only
}

// declare reads a whole file.
func (d *decoder) declare(root *node) *declaration {
	if root.kind != mapNode {
		d.errorf(root.at, "type", "a definition is a map that begins with `machine: NAME`, not %s", root.describe())
		return nil
	}
	if isMetadataForm(root) {
		return d.declareMetadataForm(root)
	}
	f, meta := d.fields(root, "a machine", true,
		"machine", "initial", "roles", "facts", "attrs", "create", "read", "explain", "if_match", "checks", "states", "events")
	if !d.require(root, f, "a machine", "machine", "initial", "states", "events") {
		return nil
	}
	decl := &declaration{meta: meta}
	d.head(decl, f)
	decl.checks = d.checks(f["checks"], "checks")
	decl.explain = d.access(f["explain"], "explain")
	d.roles(decl, f["roles"])
	d.states(decl, f["states"])
	d.events(decl, f["events"])
	return decl
}

// head reads what both forms share.
func (d *decoder) head(decl *declaration, f map[string]*node) {
	if n := f["machine"]; n != nil {
		decl.name, _ = d.name(n, "the machine")
	}
	if n := f["initial"]; n != nil {
		decl.initial, _ = d.name(n, "a state")
	}
	decl.title, _ = decl.meta["title"].(string)
	if decl.title == "" {
		decl.title = decl.name.name
	}
	decl.create = d.access(f["create"], "create")
	decl.read = d.access(f["read"], "read")
	decl.ifMatch = d.ifMatch(f["if_match"])
	if n := f["facts"]; n != nil {
		facts, _ := d.fields(n, "`facts`", false, "schema", "edit")
		if d.require(n, facts, "`facts`", "schema") {
			decl.factsSchema = facts["schema"]
		}
		decl.factsEdit = d.access(facts["edit"], "facts.edit")
	}
	if n := f["attrs"]; n != nil {
		attrs, _ := d.fields(n, "`attrs`", false, "schema")
		if d.require(n, attrs, "`attrs`", "schema") {
			decl.attrsSchema = attrs["schema"]
		}
	}
}

// access reads create, read, explain or facts.edit; nil when absent.
func (d *decoder) access(n *node, key string) *accessDecl {
	if n == nil {
		return nil
	}
	known, needed := []string{"requires", "checks"}, []string{"requires"}
	if key == "facts.edit" {
		known, needed = append(known, "states"), append(needed, "states")
	}
	f, _ := d.fields(n, "`"+key+"`", false, known...)
	d.require(n, f, "`"+key+"`", needed...)
	a := &accessDecl{at: n.at, requires: d.requires(f["requires"]), checks: d.checks(f["checks"], "checks")}
	if f["states"] != nil {
		a.states = d.origin(f["states"], "states")
	}
	return a
}

func (d *decoder) roles(decl *declaration, n *node) {
	if n == nil {
		return
	}
	decl.rolesGiven = true
	if n.kind != mapNode {
		d.errorf(n.at, "type", "`roles` is a map from a role to the list of those that it includes ({manager: [employee]}), not %s", n.describe())
		return
	}
	read := func(n *node) (ref, bool) {
		if n.kind == stringNode {
			if sentence := roleFault(n.text); sentence != "" {
				d.errorf(n.at, "reserved_name", "%s", sentence)
				return ref{}, false
			}
		}
		return d.name(n, "a role")
	}
	for _, f := range n.fields {
		role, ok := read(f.key)
		if !ok {
			continue
		}
		included := []ref{}
		if f.value.kind != nullNode {
			included = d.names(f.value, "roles."+role.name, false, read)
		}
		decl.roles = append(decl.roles, roleDecl{role, included})
	}
}

func (d *decoder) states(decl *declaration, n *node) {
	if n.kind != mapNode {
		d.errorf(n.at, "type", "`states` is a map from a state's name to what it is ({created: {title: Created}}), not %s", n.describe())
		return
	}
	for _, f := range n.fields {
		name, ok := d.name(f.key, "a state")
		state := stateDecl{ref: name}
		if f.value.kind != nullNode {
			what := "the state " + quote(f.key.text)
			v, meta := d.fields(f.value, what, true, "final", "closed", "entry")
			state.final, state.closed = d.truth(v["final"], "final"), d.truth(v["closed"], "closed")
			state.entry, state.meta = d.checks(v["entry"], "entry"), meta
		}
		if ok {
			decl.states = append(decl.states, state)
		}
	}
}

func (d *decoder) events(decl *declaration, n *node) {
	if n.kind != mapNode {
		d.errorf(n.at, "type", "`events` is a map from an event's name to its transitions ({submit: {from: created, to: submitted}}), not %s", n.describe())
		return
	}
	for _, f := range n.fields {
		name, ok := d.name(f.key, "an event")
		event := d.event(f)
		event.ref = name
		if ok {
			decl.events = append(decl.events, event)
		}
	}
}

// edgeKeys are what says a transition: on the event in the short form, on each
// entry of `transitions` in the long form.
var edgeKeys = []string{"from", "to", "stay", "requires", "checks"}

func (d *decoder) event(f field) eventDecl {
	what := "the event " + quote(f.key.text)
	v, meta := d.fields(f.value, what, true, append([]string{"note", "input", "override", "transitions"}, edgeKeys...)...)
	event := eventDecl{note: d.note(v["note"]), override: d.truth(v["override"], "override"), input: v["input"], meta: meta}
	requires := d.requires(v["requires"])
	event.checks = d.checks(v["checks"], "checks")
	if f.value.kind != mapNode {
		return event
	}
	list := v["transitions"]
	if list == nil {
		t := d.transition(f.value, v, what)
		t.at, t.requires = f.key.at, requires
		event.transitions = []transitionDecl{t}
		return event
	}
	for _, key := range []string{"from", "to", "stay"} {
		if v[key] != nil {
			d.errorf(v[key].at, "two_forms", "%s has `transitions`, so `%s` stands on each of them and not on the event", what, key)
		}
	}
	if list.kind != listNode || len(list.list) == 0 {
		d.errorf(list.at, "type", "`transitions` is a list of at least one {from: …, to: …, requires: […]}, not %s", list.describe())
		return event
	}
	for _, item := range list.list {
		tv, tmeta := d.fields(item, "a transition", true, edgeKeys...)
		t := d.transition(item, tv, "a transition")
		t.requires, t.checks, t.meta = d.requires(tv["requires"]), d.checks(tv["checks"], "checks"), tmeta
		if tv["requires"] == nil {
			t.requires = requires
		}
		event.transitions = append(event.transitions, t)
	}
	return event
}

// transition reads from and to (or stay).
func (d *decoder) transition(n *node, v map[string]*node, what string) transitionDecl {
	t := transitionDecl{at: n.at}
	if n.kind != mapNode || !d.require(n, v, what, "from") {
		return t
	}
	t.from = d.origin(v["from"], "from")
	switch to, stay := v["to"], v["stay"]; {
	case to != nil && stay != nil:
		d.errorf(stay.at, "two_targets", "%s says both `to` and `stay`; keep one of them", what)
	case stay != nil:
		if t.stay = d.truth(stay, "stay"); !t.stay && stay.kind == boolNode {
			d.errorf(stay.at, "stay", "`stay: false` says nothing; name the target with `to`")
		}
	case to == nil:
		d.errorf(n.at, "missing_key", "%s needs `to: STATE`, or `stay: true` when it leads nowhere else", what)
	case to.kind == listNode && len(to.list) == 0:
		d.errorf(to.at, "empty_list", "`to` is empty; name a state")
	default:
		t.to = d.names(to, "to", true, d.stateRef)
	}
	return t
}

func (d *decoder) ifMatch(n *node) (required bool) {
	if n == nil {
		return false
	}
	if n.kind != stringNode || n.text != "required" && n.text != "optional" {
		d.errorf(n.at, "type", "`if_match` is optional (the default) or required, not %s", n.describe())
	}
	return n.text == "required"
}

func (d *decoder) note(n *node) NoteMode {
	if n == nil {
		return NoteOptional
	}
	mode := NoteMode(n.text)
	if n.kind == stringNode && (mode == NoteForbidden || mode == NoteOptional || mode == NoteRequired) {
		return mode
	}
	d.errorf(n.at, "type", "`note` is forbidden, optional (the default) or required, not %s", n.describe())
	return NoteOptional
}
