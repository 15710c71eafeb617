package main

import (
	"context"
	"fmt"
	"time"

	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/policies/compiled"
)

const compiledReady = "interlock compiled, input ready"

// compiledEngines are the same denials as OPA's, compiled, asked as the package
// is used by itself: with the input made before, and each time.
func compiledEngines(ctx context.Context) ([]engine, error) {
	programs := map[string]*compiled.Program{}
	for _, m := range deskMachines {
		text, err := deskFile("deny.rego", m)
		if err != nil {
			return nil, err
		}
		if programs[m], err = compileQuery(ctx, denyOf(m), text); err != nil {
			return nil, err
		}
	}
	return []engine{
		{name: compiledReady, prepare: func(r request) (func() (verdict, error), error) {
			doc, err := document(r.input())
			if err != nil {
				return nil, err
			}
			in, err := compiled.FromGo(doc)
			return func() (verdict, error) {
				m := programs[r.machine].Machine()
				defer m.Release()
				return compiledDenials(m.Eval(ctx, compiled.Query{Input: in}))
			}, err
		}},
		{name: "interlock compiled, input made each time", prepare: func(r request) (func() (verdict, error), error) {
			in := r.input()
			return func() (verdict, error) {
				m := programs[r.machine].Machine()
				defer m.Release()
				fields, err := compiledInput(m.Builder(), in)
				if err != nil {
					return verdict{}, err
				}
				return compiledDenials(m.Eval(ctx, compiled.Query{Input: m.Builder().Object(fields...)}))
			}, nil
		}},
	}, nil
}

// compileQuery compiles a module and what is asked of it, as x.
func compileQuery(ctx context.Context, ref, module string) (*compiled.Program, error) {
	plan, err := compiled.Plan(ctx, rego.Query("x = "+ref), rego.Module("desk.rego", module))
	if err != nil {
		return nil, err
	}
	return compiled.Compile(plan, compiled.Options{})
}

func compiledDenials(results []compiled.Value, err error) (verdict, error) {
	if err != nil {
		return verdict{}, err
	}
	if len(results) != 1 {
		return verdict{}, fmt.Errorf("%d results", len(results))
	}
	set := compiled.Get(results[0], "x")
	v := verdict{allowed: compiled.Len(set) == 0}
	for one := range compiled.All(set) {
		code, _ := compiled.Text(compiled.Get(one, "code"))
		message, _ := compiled.Text(compiled.Get(one, "message"))
		v.reasons = append(v.reasons, reason{code, message})
	}
	return v, nil
}

// compiledInput are the fields of the whole input in the evaluator's own values, the event first.
func compiledInput(b *compiled.Builder, in *interlock.Input) ([]compiled.Field, error) {
	i, a := &in.Instance, &in.Actor
	facts, err := b.Go(i.Facts)
	if err != nil {
		return nil, err
	}
	attrs, err := b.Go(a.Attrs)
	if err != nil {
		return nil, err
	}
	text := func(name, value string) compiled.Field { return compiled.Field{Name: name, Value: b.String(value)} }
	field := func(name string, v compiled.Value) compiled.Field { return compiled.Field{Name: name, Value: v} }
	people := func(m map[string][]string) compiled.Value {
		fields := make([]compiled.Field, 0, len(m))
		for k, list := range m {
			fields = append(fields, field(k, b.Strings(list)))
		}
		return b.Object(fields...)
	}
	last := make([]compiled.Field, 0, len(i.Last))
	for k, l := range i.Last {
		last = append(last, field(k, b.Object(text("person", l.Person), text("at", l.At), field("count", b.Int(l.Count)))))
	}
	return []compiled.Field{
		text("event", in.Event), text("machine", in.Machine), text("note", in.Note), field("input", b.Object()),
		field("transition", b.Object(text("from", in.Transition.From), text("to", in.Transition.To), field("override", b.Bool(in.Transition.Override)), field("metadata", b.Object()))),
		field("instance", b.Object(text("id", i.ID), text("tenant", i.Tenant), text("state", i.State), field("version", b.Int(i.Version)), field("facts", facts),
			text("created_by", i.CreatedBy), text("created_at", i.CreatedAt.Format(time.RFC3339Nano)), text("since", i.Since.Format(time.RFC3339Nano)),
			field("entered", people(i.Entered)), field("did", people(i.Did)), field("actors", b.Strings(i.Actors)), field("last", b.Object(last...)))),
		field("actor", b.Object(text("id", a.ID), text("person", a.Person), text("kind", string(a.Kind)), field("roles", b.Strings(a.Roles)), field("attrs", attrs),
			field("claims", b.Object()), text("on_behalf_of", a.OnBehalfOf))),
		field("now", b.Object(text("rfc3339", in.Now.RFC3339), field("ns", b.Int(in.Now.NS)))),
		field("request", b.Object(text("id", in.Request.ID))),
	}, nil
}

// compiledMenu makes the input once and asks it with one event after the other.
func compiledMenu(ctx context.Context, events []string) (contestant, error) {
	text, err := deskFile("deny.rego", deskMachines[0])
	if err != nil {
		return contestant{}, err
	}
	program, err := compileQuery(ctx, denyOf(deskMachines[0]), text)
	if err != nil {
		return contestant{}, err
	}
	sample := samples()[0]
	in := sample.input()
	return contestant{fmt.Sprintf("interlock compiled, %d events of one input", len(events)), func(n int) error {
		for range n {
			m := program.Machine()
			fields, err := compiledInput(m.Builder(), in)
			if err != nil {
				return err
			}
			for _, e := range events {
				fields[0].Value = m.Builder().String(e)
				if _, err := compiledDenials(m.Eval(ctx, compiled.Query{Input: m.Builder().Object(fields...)})); err != nil {
					return err
				}
			}
			m.Release()
		}
		return nil
	}}, nil
}
