//go:build data

package data

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/interlock-go/interlock/fsm"
)

// What the translation decides, the same for every source:
//
//   - an edge of which the source says that only the system takes it: requires [system],
//     also where roles stand beside it (the roles are kept as x-roles);
//   - an edge that the source leaves to everybody: requires [anyone];
//   - an edge that the source gives to no role at all: no requires, and nobody can take it;
//   - a condition: one check for each of its parts joined by "and";
//   - a permission whose roles are listed: the roles (the permission is kept as x-permission);
//   - a reason that the caller must give: note: required; a form: x-form;
//   - "*": {any: true}; except as it stands; a target equal to the source where
//     the source says that the state is kept: stay: true;
//   - state and role names, final states, duplicates, undeclared names: as they are.

// fromMachine reads the form of the machines folder.
func fromMachine(source []byte) (*definition, error) {
	var in struct {
		Machine string
		Initial string
		States  []string
		Final   []string
		Events  map[string][]struct {
			From    any
			Except  []string
			To      string
			Guard   string
			Roles   []string
			Require []string
			Auto    bool
		}
	}
	if err := yaml.Unmarshal(source, &in); err != nil {
		return nil, err
	}
	d := &definition{name: in.Machine, initial: in.Initial}
	for _, s := range in.States {
		d.states = append(d.states, state{name: s, final: slices.Contains(in.Final, s)})
	}
	for _, name := range slices.Sorted(maps.Keys(in.Events)) {
		e := d.event(name)
		for _, row := range in.Events[name] {
			x := edge{to: row.To, except: row.Except, requires: row.Roles, meta: map[string]any{}}
			if err := x.setFrom(row.From); err != nil {
				return nil, fmt.Errorf("event %s: %w", name, err)
			}
			switch {
			case row.Auto && len(row.Roles) > 0:
				d.decided("system only, roles kept as x-roles")
				x.requires, x.meta["x-roles"] = []string{fsm.System}, row.Roles
			case row.Auto:
				x.requires = []string{fsm.System}
			case len(row.Roles) == 0:
				d.decided("no roles: anyone")
				x.requires = []string{fsm.Anyone}
			}
			d.guard(&x, row.Guard)
			d.demand(e, &x, row.Require)
			e.edges = append(e.edges, x)
		}
	}
	return d, nil
}

func (x *edge) setFrom(from any) error {
	switch v := from.(type) {
	case string:
		if v != "*" {
			return fmt.Errorf("from %q: want a list or *", v)
		}
		x.any = true
		return nil
	case []any:
		for _, s := range v {
			x.from = append(x.from, fmt.Sprint(s))
		}
		return nil
	}
	return fmt.Errorf("from %v: want a list or *", from)
}

func (d *definition) guard(x *edge, text string) {
	if permission, ok := strings.CutPrefix(text, "permission "); ok {
		x.meta["x-permission"] = permission
		return
	}
	if text == "" {
		return
	}
	d.decided("conditions as checks")
	for part := range strings.SplitSeq(text, " and ") {
		x.checks = append(x.checks, condition(part))
	}
}

func (d *definition) demand(e *event, x *edge, require []string) {
	for _, r := range require {
		form, isForm := strings.CutPrefix(r, "form:")
		switch {
		case isForm:
			x.meta["x-form"] = form
		case r == "confirm":
			x.meta["confirm"] = true
		case strings.Contains(r, "reason"):
			d.decided("reason: note required")
			e.note = "required"
		default:
			x.meta["x-require"] = r
		}
	}
}

// fromWorkflow reads the form of the workflows folder.
func fromWorkflow(source []byte) (*definition, error) {
	var in struct {
		Name    string
		Initial string
		States  []struct {
			Name      string
			DocStatus *int     `json:"doc_status"`
			EditRoles []string `json:"edit_roles"`
			Final     bool
			Published *bool
		}
		Transitions []struct {
			Event, From, To  string
			Roles            []string
			SelfApproval     *bool    `json:"self_approval"`
			Conditional      bool     `json:"conditional"`
			AnyRole          bool     `json:"any_role_if_condition"`
			StaysInState     bool     `json:"stays_in_state"`
			GuardPermissions []string `json:"guard_permissions"`
			Permission       string
			Unguarded        bool
			Nobody           bool
		}
	}
	if err := json.NewDecoder(bytes.NewReader(source)).Decode(&in); err != nil {
		return nil, err
	}
	d := &definition{name: in.Name, initial: in.Initial}
	for _, s := range in.States {
		meta := map[string]any{}
		if s.DocStatus != nil {
			meta["x-doc-status"] = *s.DocStatus
		}
		if len(s.EditRoles) > 0 {
			meta["x-edit-roles"] = s.EditRoles
		}
		if s.Published != nil {
			meta["x-published"] = *s.Published
		}
		d.states = append(d.states, state{name: s.Name, final: s.Final, meta: meta})
	}
	for _, t := range in.Transitions {
		x := edge{from: []string{t.From}, to: t.To, stay: t.StaysInState, requires: t.Roles, meta: map[string]any{}}
		if permissions := append(t.GuardPermissions, nonEmpty(t.Permission)...); len(permissions) > 0 {
			x.meta["x-permission"] = permissions
		}
		if t.Conditional {
			d.decided("unnamed conditions: one check an event")
			x.checks = append(x.checks, "condition_of_"+condition(t.Event))
		}
		if t.SelfApproval != nil && !*t.SelfApproval {
			d.decided("no self approval: a check")
			x.checks = append(x.checks, "not_own")
		}
		switch {
		case len(t.Roles) > 0:
		case t.Unguarded, t.AnyRole:
			d.decided("no roles: anyone")
			x.requires = []string{fsm.Anyone}
		default:
			d.decided("a permission that no role has: nobody")
		}
		if x.stay && t.From != t.To {
			return nil, fmt.Errorf("event %s stays in its state, but leads from %s to %s", t.Event, t.From, t.To)
		}
		d.event(t.Event).edges = append(d.event(t.Event).edges, x)
	}
	return d, nil
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// fromLog reads the machines that stand beside the event logs. Their "final"
// means that a case may end there, and some are left again: those stay normal
// states, marked x-accepting.
func fromLog(source []byte) (*definition, map[string]bool, error) {
	var in struct {
		Machine, Initial string
		States           []struct {
			Name  string
			Final bool
		}
		Transitions []struct{ Event, Activity, From, To string }
	}
	if err := yaml.Unmarshal(source, &in); err != nil {
		return nil, nil, err
	}
	d := &definition{name: in.Machine, initial: in.Initial}
	leaves := map[string]bool{}
	for _, t := range in.Transitions {
		leaves[t.From] = true
		e := d.event(t.Event)
		e.edges = append(e.edges, edge{from: []string{t.From}, to: t.To, requires: []string{fsm.Anyone}, meta: map[string]any{"activity": t.Activity}})
	}
	accepting := map[string]bool{}
	for _, s := range in.States {
		st := state{name: s.Name, final: s.Final && !leaves[s.Name], meta: map[string]any{}}
		if s.Final {
			accepting[s.Name] = true
			if leaves[s.Name] {
				d.decided("final and left again: x-accepting")
				st.meta["x-accepting"] = true
			}
		}
		d.states = append(d.states, st)
	}
	return d, accepting, nil
}
