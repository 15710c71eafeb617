package interlock

import (
	"fmt"
	"strings"
	"time"
)

// DefaultTenant is the tenant of an actor that names none.
const DefaultTenant = "default"

// Kind tells people, services and the system itself apart.
type Kind string

const (
	User    Kind = "user"    // the default
	Service Kind = "service" // another program
	System  Kind = "system"  // the host's own timers and jobs; never given to a caller from outside
)

// AdminRole may change actors and, unless a machine says otherwise, explain
// decisions. It is granted, never vouched for: see [Gate.Bootstrap].
const AdminRole = "interlock:admin"

// AuditorRole may search the whole history of the tenant, whatever the machines'
// `read` says, and change nothing: see [Gate.Audit]. It is granted for the tenant.
const AuditorRole = "interlock:auditor"

// Actor is who asks, as the host's identity says. The zero Actor is nobody and
// is refused.
type Actor struct {
	Tenant string // "" is DefaultTenant
	ID     string // opaque and stable; `[A-Za-z0-9][A-Za-z0-9._~-]{0,127}`
	Person string // the human behind the account; "" is ID. Four-eyes rules compare persons
	Kind   Kind   // "" is User

	// Roles are what the host vouches for in this request, beside the roles
	// granted by [Gate.Grant]. They hold as long as the host's answer does: a
	// role taken away there is refused from the next request on. Roles that
	// begin with "interlock:" are dropped.
	Roles []string

	Claims     map[string]any // from the token; policies may narrow by them
	OnBehalfOf *Actor         // for whom a service acts; ID and Person count

	apiKey string // id of the key that [Gate.APIKeyActor] believed; every commit asks for it again
}

// SystemActor is the host's own code, in the tenant ("" is DefaultTenant).
// It passes `requires: [system]`, may always read, and may change actors.
func SystemActor(tenant, id string) Actor {
	return Actor{Tenant: tenant, ID: id, Kind: System}
}

func (a Actor) person() string {
	if a.Person != "" {
		return a.Person
	}
	return a.ID
}

// ActorRecord is the stored half of an actor. Version 0 means that there is none.
type ActorRecord struct {
	Tenant  string         `json:"tenant"`
	ID      string         `json:"id"`
	Person  string         `json:"person"` // "" until the actor's first commit fixes it
	Active  bool           `json:"active"`
	Attrs   map[string]any `json:"attrs"`
	Grants  []Grant        `json:"grants"` // sorted by role, then scope
	Version int64          `json:"version"`
	Head    []byte         `json:"head,omitempty"` // hash of the newest row of the actor's own history

	// ReadsLag is told by Grant, Revoke and SetActor alone: the cache could not be
	// told, and reads and menus may show the old until its entries expire. Nothing
	// commits on the old all the same.
	ReadsLag bool `json:"-"`
}

// Grant is a role held in a scope.
type Grant struct {
	Role  string    `json:"role"`
	Scope Scope     `json:"scope"`
	Since time.Time `json:"since"`
	By    string    `json:"by"` // actor id
}

// Scope is where a grant applies: the whole tenant (zero value), one machine,
// or one instance.
type Scope struct {
	Machine string
	ID      string // only with Machine
}

// ParseScope reads "tenant", "machine:M" or "instance:M/ID"; "" is the tenant.
func ParseScope(s string) (Scope, error) {
	switch {
	case s == "" || s == "tenant":
		return Scope{}, nil
	case strings.HasPrefix(s, "machine:"):
		if m := strings.TrimPrefix(s, "machine:"); m != "" {
			return Scope{Machine: m}, nil
		}
	case strings.HasPrefix(s, "instance:"):
		// The id holds no slash (see ValidID), a quoted machine name may.
		rest := strings.TrimPrefix(s, "instance:")
		if i := strings.LastIndexByte(rest, '/'); i > 0 && ValidID(rest[i+1:]) {
			return Scope{Machine: rest[:i], ID: rest[i+1:]}, nil
		}
	}
	return Scope{}, fmt.Errorf("scope %q: want tenant, machine:NAME or instance:NAME/ID", s)
}

// String is the form that [ParseScope] reads.
func (s Scope) String() string {
	switch {
	case s.Machine == "":
		return "tenant"
	case s.ID == "":
		return "machine:" + s.Machine
	}
	return "instance:" + s.Machine + "/" + s.ID
}

// MarshalText and UnmarshalText use the form of String.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads the form of [ParseScope].
func (s *Scope) UnmarshalText(b []byte) (err error) {
	*s, err = ParseScope(string(b))
	return err
}

func (s Scope) covers(machine, id string) bool {
	return s.Machine == "" || s.Machine == machine && (s.ID == "" || s.ID == id)
}
