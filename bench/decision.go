package main

import (
	"context"
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
	"github.com/interlock-go/interlock/policies/compiled"
)

// agreed is how many random requests all engines must judge alike before one is timed.
const agreed = 400

// decision compares engines on one policy, on large values and on menus.
func decision(ctx context.Context, b *bench) error {
	if err := decisions(ctx, b); err != nil {
		return err
	}
	if err := largeValues(ctx, b); err != nil {
		return fmt.Errorf("large values: %w", err)
	}
	if err := options(ctx, b); err != nil {
		return fmt.Errorf("options of a state: %w", err)
	}
	return nil
}

func decisions(ctx context.Context, b *bench) error {
	all, err := engines(ctx)
	if err != nil {
		return err
	}
	requests := append(samples(), randomRequests(agreed, 1)...)
	if err := agree(all, requests); err != nil {
		return fmt.Errorf("the engines disagree: %w", err)
	}
	b.section(fmt.Sprintf("Decision: 12 rules with reasons, 5 machines, 8 requests in turn; all agree on %d", len(requests)))
	var list []contestant
	for _, e := range all {
		c, err := e.contestant()
		if err != nil {
			return err
		}
		list = append(list, c)
	}
	results, err := race(b.scale, list)
	if err != nil {
		return err
	}
	b.times(results)
	for _, against := range []struct {
		peer string
		goal goal
	}{{opaParsed, atLeast(20)}, {cedarReady, atMost(1)}, {celReady, atMost(1)}, {handWritten, atMost(12)}} {
		b.faster("decision with reasons, draft", find(results, oursDraft), find(results, against.peer), against.goal)
		b.faster("decision with reasons, compiled", find(results, compiledReady), find(results, against.peer), against.goal)
	}
	b.faster("decision with reasons, for a commit", find(results, oursCommit), find(results, opaParsed), atLeast(20))
	return b.yesses(all)
}

// yesses compares what it takes to say yes: a commit needs topdown's as well.
func (b *bench) yesses(all []engine) error {
	b.section("A yes: the two requests that are allowed, in turn")
	var list []contestant
	for _, e := range all {
		if e.name != oursDraft && e.name != oursCommit && e.name != opaParsed {
			continue
		}
		c, err := e.contestantOf(samples()[:2])
		if err != nil {
			return err
		}
		list = append(list, c)
	}
	results, err := race(b.scale, list)
	if err != nil {
		return err
	}
	b.times(results)
	b.faster("yes, draft", find(results, oursDraft), find(results, opaParsed), atLeast(20))
	b.faster("yes, for a commit", find(results, oursCommit), find(results, opaParsed), atLeast(20))
	return nil
}

// contestant asks the eight requests in turn.
func (e engine) contestant() (contestant, error) { return e.contestantOf(samples()) }

func (e engine) contestantOf(requests []request) (contestant, error) {
	var asks []func() (verdict, error)
	for _, r := range requests {
		ask, err := e.prepare(r)
		if err != nil {
			return contestant{}, err
		}
		asks = append(asks, ask)
	}
	return contestant{e.name, func(n int) error {
		for i := range n {
			if _, err := asks[i%len(asks)](); err != nil {
				return err
			}
		}
		return nil
	}}, nil
}

// largeValues compares what is built from lists of 10, 100 and 1,000 items.
func largeValues(ctx context.Context, b *bench) error {
	yaml, err := desk.ReadFile("desk/large.yaml")
	if err != nil {
		return err
	}
	text, err := desk.ReadFile("desk/large.rego")
	if err != nil {
		return err
	}
	m, err := fsm.Parse("large.yaml", yaml)
	if err != nil {
		return err
	}
	rules, err := policies.Sources(map[string]string{"large.rego": string(text)}).Compile(ctx, []*fsm.Machine{m})
	if err != nil {
		return err
	}
	b.section("Large values: a set, an object, a comprehension over lists")
	for _, check := range []string{"sets", "objects", "comprehensions"} {
		query, err := rego.New(rego.Query("data.interlock.machine.large."+check), rego.Module("large.rego", string(text))).PrepareForEval(ctx)
		if err != nil {
			return err
		}
		program, err := compileQuery(ctx, "data.interlock.machine.large."+check, string(text))
		if err != nil {
			return err
		}
		for _, items := range []int{10, 100, 1000} {
			path := fmt.Sprintf("%s over %d items", check, items)
			in := largeInput(items)
			doc, err := document(in)
			if err != nil {
				return err
			}
			parsed, err := ast.InterfaceToValue(doc)
			if err != nil {
				return err
			}
			ready := compiled.FromAST(parsed)
			results, err := race(b.scale.shorter(3), []contestant{
				{"interlock, draft: " + path, func(n int) error {
					for range n {
						v, err := rules.Decide(ctx, &interlock.Query{Input: in, Checks: []string{check}, Draft: true})
						if err != nil || len(v.Passed) != 1 {
							return fmt.Errorf("%s: %v, %w", check, v.Failed, err)
						}
					}
					return nil
				}},
				{compiledReady, func(n int) error {
					for range n {
						m := program.Machine()
						values, err := m.Eval(ctx, compiled.Query{Input: ready})
						yes := err == nil && len(values) == 1 && compiled.IsTrue(compiled.Get(values[0], "x"))
						m.Release()
						if !yes {
							return fmt.Errorf("compiled: %s: %w", check, err)
						}
					}
					return nil
				}},
				{opaParsed, func(n int) error {
					for range n {
						rs, err := query.Eval(ctx, rego.EvalParsedInput(parsed))
						if err != nil || len(rs) != 1 || rs[0].Expressions[0].Value != true {
							return fmt.Errorf("OPA: %s: %v, %w", check, rs, err)
						}
					}
					return nil
				}},
			})
			if err != nil {
				return err
			}
			b.times(results)
			b.faster(path+", draft", results[0], results[2], atLeast(1))
			b.faster(path+", compiled", results[1], results[2], atLeast(1))
		}
	}
	return nil
}

func largeInput(n int) *interlock.Input {
	var items, others []any
	for i := range n {
		items, others = append(items, fmt.Sprintf("item-%05d", i)), append(others, fmt.Sprintf("item-%05d", n-1-i))
	}
	in := samples()[0]
	out := in.input()
	out.Machine, out.Event, out.Transition.From, out.Transition.To = "large", "check", "on", "on"
	out.Instance.State, out.Instance.Facts = "on", map[string]any{"items": items, "others": others}
	out.Actor.Attrs = map[string]any{}
	out.Instance.Entered, out.Instance.Did = map[string][]string{"on": {}}, map[string][]string{"check": {}}
	out.Instance.Last = map[string]interlock.InputLast{"check": {}}
	return out
}
