package policies

import (
	"encoding/json"
	"fmt"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

// verdict reads the answer of the query of machineRules.text.
func (m *machineRules) verdict(q *interlock.Query, answer compiled.Value) (interlock.Verdict, error) {
	var v interlock.Verdict
	if err := isList(answer, 5); err != nil {
		return v, err
	}
	part := func(i int) compiled.Value { return compiled.Item(answer, i) }
	checks, params, grants := part(0), part(1), part(2)
	for _, list := range []struct {
		v compiled.Value
		n int
	}{{checks, len(q.Checks)}, {params, len(q.Checks)}, {grants, len(q.Grants)}} {
		if err := isList(list.v, list.n); err != nil {
			return v, err
		}
	}
	var err error
	for i, name := range q.Checks {
		if isTrue(compiled.Item(checks, i)) {
			if v.Passed == nil {
				v.Passed = make([]string, 0, len(q.Checks))
			}
			v.Passed = append(v.Passed, name)
			continue
		}
		reason := interlock.Reason{Code: name, Message: m.message(name)}
		if reason.Params, err = objectIn(compiled.Item(params, i)); err != nil {
			return interlock.Verdict{}, fmt.Errorf("params[%q]: %w", name, err)
		}
		v.Failed = append(v.Failed, reason)
	}
	for i, name := range q.Grants {
		if isTrue(compiled.Item(grants, i)) {
			v.Granted = append(v.Granted, name)
		} else {
			v.Failed = append(v.Failed, interlock.Reason{Code: name, Message: m.message(name)})
		}
	}
	if v.Deny, err = denials(part(3)); err != nil {
		return interlock.Verdict{}, err
	}
	if v.Target, err = targetIn(part(4)); err != nil {
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

// isList is an error unless v is a list of n.
func isList(v compiled.Value, n int) error {
	if kind := valueKind(v); kind != compiled.Array || compiled.Len(v) != n {
		return fmt.Errorf("the engine answered %v, not a list of %d", kind, n)
	}
	return nil
}

func valueKind(v compiled.Value) compiled.Kind {
	if v == nil {
		return compiled.Undefined
	}
	return v.Kind()
}

// only is the single element of a comprehension's list; nil when it is empty: undefined.
func only(list compiled.Value) (compiled.Value, error) {
	if valueKind(list) != compiled.Array || compiled.Len(list) > 1 {
		return nil, fmt.Errorf("the engine gave more than one value")
	}
	return compiled.Item(list, 0), nil
}

func isTrue(list compiled.Value) bool {
	v, err := only(list)
	return err == nil && compiled.IsTrue(v)
}

func objectIn(list compiled.Value) (map[string]any, error) {
	v, err := only(list)
	if err != nil || v == nil {
		return nil, err
	}
	if v.Kind() != compiled.Object {
		return nil, fmt.Errorf("want an object, got %s", v.Kind())
	}
	return object(v)
}

func object(v compiled.Value) (map[string]any, error) {
	plain, err := compiled.ToGo(v) // numbers stay json.Number, sets become lists
	if err != nil {
		return nil, err
	}
	o, ok := plain.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("want an object")
	}
	return o, nil
}

func targetIn(list compiled.Value) (string, error) {
	v, err := only(list)
	if err != nil || v == nil {
		return "", err
	}
	s, ok := compiled.Text(v)
	if !ok || s == "" {
		return "", fmt.Errorf("target is %s, want a state's name", v.Kind())
	}
	return s, nil
}

// denials decodes the deny set strictly: a reason that can't be read is an error.
func denials(list compiled.Value) ([]interlock.Reason, error) {
	set, err := only(list)
	if err != nil || set == nil {
		return nil, err
	}
	if set.Kind() != compiled.Set {
		return nil, fmt.Errorf("deny is %s, want a set: deny contains {…} if …", set.Kind())
	}
	var out []interlock.Reason
	for one := range compiled.All(set) {
		reason, err := denial(one)
		if err != nil {
			return nil, fmt.Errorf("deny contains %s: %w", brief(one), err)
		}
		out = append(out, reason)
	}
	return out, nil
}

func denial(v compiled.Value) (interlock.Reason, error) {
	var r interlock.Reason
	if v.Kind() != compiled.Object {
		return r, fmt.Errorf("want an object {code, message, params?}, got %s", v.Kind())
	}
	for key, v := range compiled.All(v) {
		name, isText := compiled.Text(key)
		ok := false
		switch {
		case isText && name == "code":
			r.Code, ok = compiled.Text(v)
			ok = ok && r.Code != ""
		case isText && name == "message":
			r.Message, ok = compiled.Text(v)
			ok = ok && r.Message != ""
		case isText && name == "params":
			if ok = v.Kind() == compiled.Object; ok {
				var err error
				if r.Params, err = object(v); err != nil {
					return interlock.Reason{}, err
				}
			}
		default:
			return interlock.Reason{}, fmt.Errorf("unknown member %s: a reason has code, message and params", brief(key))
		}
		if !ok {
			return interlock.Reason{}, fmt.Errorf("%s is wrong: code and message are strings that aren't empty, params an object", name)
		}
	}
	if r.Code == "" || r.Message == "" {
		return r, fmt.Errorf("a reason has a code and a message")
	}
	return r, nil
}

func brief(v compiled.Value) string {
	s, err := json.Marshal(compiled.ToAST(v).String())
	if err != nil || len(s) > 200 {
		return "an element"
	}
	return compiled.ToAST(v).String()
}
