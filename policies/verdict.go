package policies

import (
	"encoding/json"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/interlock-go/interlock"
)

// verdict reads the answer of the query of machineRules.text.
func (m *machineRules) verdict(q *interlock.Query, answer *ast.Term) (interlock.Verdict, error) {
	var v interlock.Verdict
	parts, err := listsOf(answer, 5)
	if err != nil {
		return v, err
	}
	checks, err := listsOf(parts[0], len(q.Checks))
	if err != nil {
		return v, err
	}
	params, err := listsOf(parts[1], len(q.Checks))
	if err != nil {
		return v, err
	}
	for i, name := range q.Checks {
		if isTrue(checks[i]) {
			v.Passed = append(v.Passed, name)
			continue
		}
		reason := interlock.Reason{Code: name, Message: m.message(name)}
		if reason.Params, err = objectIn(params[i]); err != nil {
			return interlock.Verdict{}, fmt.Errorf("params[%q]: %w", name, err)
		}
		v.Failed = append(v.Failed, reason)
	}
	grants, err := listsOf(parts[2], len(q.Grants))
	if err != nil {
		return interlock.Verdict{}, err
	}
	for i, name := range q.Grants {
		if isTrue(grants[i]) {
			v.Granted = append(v.Granted, name)
		} else {
			v.Failed = append(v.Failed, interlock.Reason{Code: name, Message: m.message(name)})
		}
	}
	if v.Deny, err = denials(parts[3]); err != nil {
		return interlock.Verdict{}, err
	}
	if v.Target, err = targetIn(parts[4]); err != nil {
		return interlock.Verdict{}, err
	}
	return v, nil
}

func (m *machineRules) message(check string) string {
	if t := m.titles[check]; t != "" {
		return t
	}
	return "The condition " + check + " doesn't hold"
}

// listsOf are the n elements of a list.
func listsOf(t *ast.Term, n int) ([]*ast.Term, error) {
	list, ok := t.Value.(*ast.Array)
	if !ok || list.Len() != n {
		return nil, fmt.Errorf("the engine answered %v, not a list of %d", ast.ValueName(t.Value), n)
	}
	out := make([]*ast.Term, n)
	for i := range n {
		out[i] = list.Elem(i)
	}
	return out, nil
}

// only is the single element of a comprehension's list; nil when it is empty: undefined.
func only(t *ast.Term) (*ast.Term, error) {
	list, ok := t.Value.(*ast.Array)
	switch {
	case !ok || list.Len() > 1:
		return nil, fmt.Errorf("the engine gave more than one value")
	case list.Len() == 0:
		return nil, nil
	}
	return list.Elem(0), nil
}

func isTrue(list *ast.Term) bool {
	t, err := only(list)
	if err != nil || t == nil {
		return false
	}
	b, ok := t.Value.(ast.Boolean)
	return ok && bool(b)
}

func objectIn(list *ast.Term) (map[string]any, error) {
	t, err := only(list)
	if err != nil || t == nil {
		return nil, err
	}
	if _, ok := t.Value.(ast.Object); !ok {
		return nil, fmt.Errorf("want an object, got %s", ast.ValueName(t.Value))
	}
	return object(t)
}

func object(t *ast.Term) (map[string]any, error) {
	v, err := ast.JSON(t.Value) // numbers stay json.Number, sets become lists
	if err != nil {
		return nil, err
	}
	o, ok := v.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want an object")
	}
	return o, nil
}

func targetIn(list *ast.Term) (string, error) {
	t, err := only(list)
	if err != nil || t == nil {
		return "", err
	}
	s, ok := t.Value.(ast.String)
	if !ok || s == "" {
		return "", fmt.Errorf("target is %s, want a state's name", ast.ValueName(t.Value))
	}
	return string(s), nil
}

// denials decodes the deny set strictly: a reason that can't be read is an error.
func denials(list *ast.Term) ([]interlock.Reason, error) {
	t, err := only(list)
	if err != nil || t == nil {
		return nil, err
	}
	set, ok := t.Value.(ast.Set)
	if !ok {
		return nil, fmt.Errorf("deny is %s, want a set: deny contains {…} if …", ast.ValueName(t.Value))
	}
	var out []interlock.Reason
	for _, one := range set.Slice() {
		reason, err := denial(one)
		if err != nil {
			return nil, fmt.Errorf("deny contains %s: %w", brief(one), err)
		}
		out = append(out, reason)
	}
	return out, nil
}

func denial(t *ast.Term) (interlock.Reason, error) {
	var r interlock.Reason
	if _, ok := t.Value.(ast.Object); !ok {
		return r, fmt.Errorf("want an object {code, message, params?}, got %s", ast.ValueName(t.Value))
	}
	fields, err := object(t)
	if err != nil {
		return r, err
	}
	for name, v := range fields {
		ok := false
		switch name {
		case "code":
			r.Code, ok = v.(string)
			ok = ok && r.Code != ""
		case "message":
			r.Message, ok = v.(string)
			ok = ok && r.Message != ""
		case "params":
			r.Params, ok = v.(map[string]any)
		default:
			return r, fmt.Errorf("unknown member %q: a reason has code, message and params", name)
		}
		if !ok {
			return r, fmt.Errorf("%s is wrong: code and message are strings that aren't empty, params an object", name)
		}
	}
	if r.Code == "" || r.Message == "" {
		return r, fmt.Errorf("a reason has a code and a message")
	}
	return r, nil
}

func brief(t *ast.Term) string {
	s, err := json.Marshal(t.String())
	if err != nil || len(s) > 200 {
		return "an element"
	}
	return t.String()
}
