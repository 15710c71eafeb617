package walk

import (
	"fmt"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/interlock-go/interlock"
)

// office is one walk of administrators and of those whom they grant roles.
type office struct {
	gate     *interlock.Gate
	tenant   string
	accounts map[string]*account
}

// account is the model of an actor: two of them are one person.
type account struct {
	person   string // as the identity says
	joined   bool   // committed once: the person is stored
	inactive bool
	grants   map[string]bool // "role scope"
}

var (
	officers = []string{"ada", "ada-2", "abe", "mark", "erin"}
	roles    = []string{"clerk", "chief", interlock.AdminRole, "nonsense", "interlock:other"}
	scopes   = []interlock.Scope{{}, {Machine: "paper"}, {Machine: "paper", ID: "1"}, {Machine: "paper", ID: "2"}, {Machine: "nonsense"}}
)

func newOffice(g *interlock.Gate) *office {
	o := &office{gate: g, tenant: tenant(), accounts: map[string]*account{}}
	for _, id := range officers {
		o.accounts[id] = &account{person: id, grants: map[string]bool{}}
	}
	o.accounts["ada-2"].person = "ada"
	return o
}

func (o *office) as(id string) interlock.Actor {
	if id == "system" {
		return interlock.SystemActor(o.tenant, "setup")
	}
	return interlock.Actor{Tenant: o.tenant, ID: id, Person: o.accounts[id].person}
}

func (a *account) admin() bool { return !a.inactive && a.grants[interlock.AdminRole+" tenant"] }

// may is what the model says of a change of one account by another.
func (o *office) may(by, id string) string {
	if by == "system" {
		return ""
	}
	b, a := o.accounts[by], o.accounts[id]
	switch {
	case b.inactive:
		return "identity inactive"
	case !b.admin():
		return "policy denied [role_required]"
	case by == id || id == b.person || a.joined && a.person == b.person:
		return "policy denied [own_person]"
	}
	return ""
}

// lastAdmin tells that nobody but this one is an administrator.
func (o *office) lastAdmin(id string) bool {
	for other, a := range o.accounts {
		if other != id && a.admin() {
			return false
		}
	}
	return o.accounts[id].admin()
}

func grantable(role string, scope interlock.Scope) bool {
	if scope.Machine == "nonsense" {
		return false
	}
	if role == interlock.AdminRole {
		return scope == interlock.Scope{}
	}
	return role == "clerk" || role == "chief"
}

func (o *office) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){"grant": o.grant, "grant again": o.grant, "revoke": o.revoke, "active": o.active, "create": o.create, "bootstrap": o.bootstrap, "": o.same}
}

func (o *office) draw(rt *rapid.T) (by, id string) {
	return rapid.SampledFrom(append(slices.Clone(officers), "system")).Draw(rt, "by"), rapid.SampledFrom(officers).Draw(rt, "of")
}

func (o *office) grant(rt *rapid.T) {
	by, id := o.draw(rt)
	role, scope := rapid.SampledFrom(roles).Draw(rt, "role"), rapid.SampledFrom(scopes).Draw(rt, "scope")
	want := o.may(by, id)
	if want == "" && !grantable(role, scope) {
		want = "input input_invalid"
	}
	_, err := o.gate.Grant(rt.Context(), o.as(by), id, role, scope)
	require.Equal(rt, want, verdict(err))
	if want == "" {
		o.accounts[id].grants[role+" "+scope.String()] = true
	}
}

func (o *office) revoke(rt *rapid.T) {
	by, id := o.draw(rt)
	role, scope := rapid.SampledFrom(roles).Draw(rt, "role"), rapid.SampledFrom(scopes).Draw(rt, "scope")
	held := role + " " + scope.String()
	want := o.may(by, id)
	if want == "" && held == interlock.AdminRole+" tenant" && o.lastAdmin(id) {
		want = "policy last_admin"
	}
	_, err := o.gate.Revoke(rt.Context(), o.as(by), id, role, scope)
	require.Equal(rt, want, verdict(err))
	if want == "" {
		delete(o.accounts[id].grants, held)
	}
}

func (o *office) active(rt *rapid.T) {
	by, id := o.draw(rt)
	on := rapid.Bool().Draw(rt, "on")
	want := o.may(by, id)
	if want == "" && !on && o.lastAdmin(id) {
		want = "policy last_admin"
	}
	_, err := o.gate.SetActor(rt.Context(), o.as(by), id, nil, &on)
	require.Equal(rt, want, verdict(err))
	if want == "" {
		o.accounts[id].inactive = !on
	}
}

// create shows what a role opens: an instance of its own, in its scope.
func (o *office) create(rt *rapid.T) {
	id := rapid.SampledFrom(officers).Draw(rt, "who")
	a := o.accounts[id]
	at := fmt.Sprintf("%d", rapid.IntRange(1, 3).Draw(rt, "paper"))
	open := false
	for _, role := range []string{"clerk", "chief"} {
		open = open || a.grants[role+" tenant"] || a.grants[role+" machine:paper"] || a.grants[role+" instance:paper/"+at]
	}
	res, err := o.gate.Create(rt.Context(), o.as(id), interlock.CreateRequest{Machine: "paper", ID: at, Facts: map[string]any{"amount": 1}})
	switch got := verdict(err); {
	case a.inactive:
		require.Equal(rt, "identity inactive", got)
	case !open:
		require.Equal(rt, "policy denied [role_required]", got)
	case got == "":
		a.joined = true
		require.Equal(rt, a.person, res.Instance.CreatedBy)
	default:
		require.Equal(rt, "conflict exists", got)
	}
}

// bootstrap makes an administrator where there is none.
func (o *office) bootstrap(rt *rapid.T) {
	id := rapid.SampledFrom(officers).Draw(rt, "whom")
	require.NoError(rt, o.gate.Bootstrap(rt.Context(), o.tenant, id))
	for _, a := range o.accounts {
		if a.admin() {
			return
		}
	}
	o.accounts[id].grants[interlock.AdminRole+" tenant"] = true
}

func (o *office) same(rt *rapid.T) {
	for id, a := range o.accounts {
		rec, err := o.gate.Actor(rt.Context(), o.as("system"), id)
		require.NoError(rt, err)
		require.Equal(rt, !a.inactive, rec.Active, id)
		got := map[string]bool{}
		for _, gr := range rec.Grants {
			got[gr.Role+" "+gr.Scope.String()] = true
		}
		require.Equal(rt, a.grants, got, id)
		require.Equal(rt, a.joined, rec.Person != "", id)
	}
}

// Who may change whom, who stays the last administrator, and what a role opens
// from then on: the gate answers as the model does.
func TestRolesWalkAsTheModel(t *testing.T) {
	g := gate(t, memory(t), nil)
	walks(t, "rapid/roles", 4_000, func(rt *rapid.T, steps *atomic.Int64) {
		rt.Repeat(counted(steps, newOffice(g).actions()))
	})
}
