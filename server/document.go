package server

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"

	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

//go:embed openapi.yaml
var openAPISource []byte

// document is the OpenAPI document, and its newest form with the machines in it.
type document struct {
	base map[string]any

	mu       sync.Mutex
	machines string // revisions of the definitions that rendered holds
	rendered []byte
}

func parseDocument() (*document, error) {
	source, err := yaml.YAMLToJSON(openAPISource)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	base, err := object(source)
	if err != nil {
		return nil, fmt.Errorf("openapi.yaml: %w", err)
	}
	if err := nameCodes(base); err != nil {
		return nil, err
	}
	return &document{base: base}, nil
}

// nameCodes lists the codes of problems, so that generated clients know them all.
func nameCodes(base map[string]any) error {
	at := base
	for _, name := range []string{"components", "schemas", "Problem", "properties", "code"} {
		next, ok := at[name].(map[string]any)
		if !ok {
			return fmt.Errorf("openapi.yaml: there is no %s on the way to the codes of problems", name)
		}
		at = next
	}
	codes := []any{}
	for _, p := range middleware.Problems() {
		codes = append(codes, p.Code)
	}
	at["enum"] = codes
	return nil
}

// withMachines renders the document with what can be fired, created and edited
// on each machine. The result is kept until a definition changes.
func (d *document) withMachines(machines []*fsm.Machine) ([]byte, error) {
	var key strings.Builder
	for _, m := range machines {
		key.WriteString(m.Slug() + "=" + m.Revision() + ";")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.rendered != nil && d.machines == key.String() {
		return d.rendered, nil
	}
	components, _ := d.base["components"].(map[string]any)
	former, _ := components["schemas"].(map[string]any)
	schemas := maps.Clone(former)
	for _, m := range machines {
		if err := addMachine(schemas, m); err != nil {
			return nil, err
		}
	}
	components = maps.Clone(components)
	components["schemas"] = schemas
	whole := maps.Clone(d.base)
	whole["components"] = components
	rendered, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("openapi.json: %w", err)
	}
	d.machines, d.rendered = key.String(), rendered
	return rendered, nil
}

// addMachine adds schemas named after the machine's slug: its states and
// events, its facts, the body of each event, and all of these bodies together.
func addMachine(schemas map[string]any, m *fsm.Machine) error {
	prefix := "machine." + m.Slug() + "."
	states := []any{}
	for _, st := range m.States() {
		states = append(states, st.Name)
	}
	schemas[prefix+"state"] = map[string]any{"type": "string", "enum": states}
	create := map[string]any{"id": map[string]any{"$ref": "#/components/schemas/ID"}, "note": map[string]any{"type": "string"}}
	if m.FactsSchema() != nil {
		facts, err := embedded(m.FactsSchema(), prefix+"facts")
		if err != nil {
			return fmt.Errorf("machine %s, facts: %w", m.Name(), err)
		}
		schemas[prefix+"facts"] = facts
		create["facts"] = map[string]any{"$ref": "#/components/schemas/" + prefix + "facts"}
	}
	schemas[prefix+"create"] = map[string]any{
		"type": "object", "title": "Create: " + m.Title(), "additionalProperties": false, "properties": create,
	}
	bodies := []any{}
	for i := range m.Events() {
		name, fire, err := fireSchema(m, &m.Events()[i])
		if err != nil {
			return err
		}
		schemas[prefix+name] = fire
		bodies = append(bodies, map[string]any{"$ref": "#/components/schemas/" + prefix + name})
	}
	if len(bodies) > 0 {
		schemas[prefix+"fire"] = map[string]any{"title": "Fire: " + m.Title(), "oneOf": bodies}
	}
	return nil
}

func fireSchema(m *fsm.Machine, ev *fsm.Event) (string, map[string]any, error) {
	name := "fire." + ev.Slug
	properties := map[string]any{"event": map[string]any{"const": ev.Name}, "to": map[string]any{"type": "string", "enum": targets(m, ev.ID)}}
	required := []any{"event"}
	if ev.Note != fsm.NoteForbidden {
		properties["note"] = map[string]any{"type": "string"}
	}
	if ev.Note == fsm.NoteRequired {
		required = append(required, "note")
	}
	if ev.Input != nil {
		form, err := embedded(ev.Input, "machine."+m.Slug()+"."+name+"/properties/input")
		if err != nil {
			return "", nil, fmt.Errorf("machine %s, event %s: %w", m.Name(), ev.Name, err)
		}
		properties["input"] = form
	}
	return name, map[string]any{
		"type": "object", "title": ev.Title, "additionalProperties": false, "required": required, "properties": properties,
	}, nil
}

func targets(m *fsm.Machine, event fsm.EventID) []any {
	out, seen := []any{}, map[fsm.StateID]bool{}
	for _, e := range m.Edges() {
		if e.Event == event && !seen[e.To] {
			seen[e.To] = true
			out = append(out, m.State(e.To).Name)
		}
	}
	return out
}

// embedded moves a schema under components: its references to itself must then
// begin there.
func embedded(s *fsm.Schema, at string) (any, error) {
	schema, err := object(s.JSON())
	if err != nil {
		return nil, err
	}
	rebase(schema, "#/components/schemas/"+at)
	return schema, nil
}

func rebase(value any, root string) {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			if ref, ok := member.(string); ok && name == "$ref" && (ref == "#" || strings.HasPrefix(ref, "#/")) {
				v[name] = root + ref[1:]
				continue
			}
			rebase(member, root)
		}
	case []any:
		for _, member := range v {
			rebase(member, root)
		}
	}
}

func (s *Server) openAPI(c *gin.Context) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	data, err := s.document.withMachines(s.gate.Machines())
	if err != nil {
		return err
	}
	c.Data(http.StatusOK, mediaJSON, data)
	return nil
}
