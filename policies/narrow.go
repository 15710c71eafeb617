package policies

import (
	"fmt"

	"github.com/open-policy-agent/opa/v1/ast"

	"github.com/interlock-go/interlock"
)

type termBuild = build[*ast.Term]

// member is one of the input's members, or of those of its objects that can be made
// by halves.
type member struct {
	object, name *ast.Term // object is nil for a member of the input itself
	make         func(b *termBuild, in *interlock.Input) *ast.Term
}

func memberOf(object, name string, make func(b *termBuild, in *interlock.Input) *ast.Term) member {
	return member{objectNames[object], ast.StringTerm(name), make}
}

var objectNames = map[string]*ast.Term{
	"transition": ast.StringTerm("transition"), "actor": ast.StringTerm("actor"), "now": ast.StringTerm("now"), "request": ast.StringTerm("request"),
}

// members are all of them, those of an object one after the other.
var members = []member{
	memberOf("", "machine", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("machine", in.Machine) }),
	memberOf("", "event", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("event", in.Event) }),
	memberOf("", "instance", func(b *termBuild, in *interlock.Input) *ast.Term { return b.rememberedInstance(in) }),
	memberOf("", "input", func(b *termBuild, in *interlock.Input) *ast.Term { return b.members("input", in.Form, 1) }),
	memberOf("", "note", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("note", in.Note) }),

	memberOf("transition", "from", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("transition", in.Transition.From) }),
	memberOf("transition", "to", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("transition", in.Transition.To) }),
	memberOf("transition", "override", func(b *termBuild, in *interlock.Input) *ast.Term { return b.truth(in.Transition.Override) }),
	memberOf("transition", "metadata", func(b *termBuild, in *interlock.Input) *ast.Term {
		return b.members("transition.metadata", in.Transition.Metadata, 1)
	}),

	memberOf("actor", "id", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("actor", in.Actor.ID) }),
	memberOf("actor", "person", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("actor", in.Actor.Person) }),
	memberOf("actor", "kind", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("actor", string(in.Actor.Kind)) }),
	memberOf("actor", "roles", func(b *termBuild, in *interlock.Input) *ast.Term { return b.texts("actor", in.Actor.Roles) }),
	memberOf("actor", "attrs", func(b *termBuild, in *interlock.Input) *ast.Term { return b.members("actor.attrs", in.Actor.Attrs, 1) }),
	memberOf("actor", "claims", func(b *termBuild, in *interlock.Input) *ast.Term {
		return b.members("actor.claims", in.Actor.Claims, 1)
	}),
	memberOf("actor", "on_behalf_of", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("actor", in.Actor.OnBehalfOf) }),

	memberOf("now", "rfc3339", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("now", in.Now.RFC3339) }),
	memberOf("now", "ns", func(b *termBuild, in *interlock.Input) *ast.Term { return b.int(in.Now.NS) }),

	memberOf("request", "id", func(b *termBuild, in *interlock.Input) *ast.Term { return b.text("request", in.Request.ID) }),
}

// membersRead are those that the rules can come to read.
func membersRead(read *reading) (all []member) {
	for _, m := range members {
		path := []string{string(m.name.Value.(ast.String))}
		if m.object != nil {
			path = append([]string{string(m.object.Value.(ast.String))}, path...)
		}
		if read.may(path...) {
			all = append(all, m)
		}
	}
	return all
}

// narrow is the input as topdown takes it, but for what no rule can come to read: of
// what the compiled rules have said yes to, which were given all of it. Its bytes are
// counted as everywhere.
func narrow(e *encoder, in *interlock.Input) (out *ast.Term, bytes int, err error) {
	defer func() {
		if p := recover(); p != nil {
			out, bytes, err = nil, 0, madeBadly(p)
		}
	}()
	b := newBuild[*ast.Term](e, terms{}, maxInputBytes)
	whole, part := make([][2]*ast.Term, 0, len(members)), make([][2]*ast.Term, 0, len(members))
	for i, m := range e.read {
		one := [2]*ast.Term{m.name, m.make(b, in)}
		if m.object == nil {
			whole = append(whole, one)
			continue
		}
		if part = append(part, one); i+1 == len(e.read) || e.read[i+1].object != m.object {
			whole, part = append(whole, [2]*ast.Term{m.object, ast.ObjectTerm(part...)}), part[:0]
		}
	}
	bytes, err = b.bytes, b.err
	b.done()
	if err != nil {
		return nil, 0, fmt.Errorf("input: %w", err)
	}
	return ast.ObjectTerm(whole...), bytes, nil
}
