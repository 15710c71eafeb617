package fsm

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
)

// formatOf compiles the published schema of the format.
func formatOf(t testing.TB) *jsonschema.Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(FormatSchema()))
	require.NoError(t, err)
	compiler := jsonschema.NewCompiler()
	require.NoError(t, compiler.AddResource("machine.schema.json", document))
	schema, err := compiler.Compile("machine.schema.json")
	require.NoError(t, err)
	return schema
}

// yamlValue is what an editor's YAML reader makes of a file.
func yamlValue(t testing.TB, source string) any {
	t.Helper()
	r := newReport("test.yaml", []byte(source))
	n := parseYAML(r, source)
	require.NoError(t, r.err())
	return n.value()
}

func TestFormatSchemaTakesEveryDefinition(t *testing.T) {
	schema := formatOf(t)
	for _, folder := range []string{"good", "findings"} {
		paths, err := filepath.Glob(filepath.Join("testdata", folder, "*.yaml"))
		require.NoError(t, err)
		require.NotEmpty(t, paths)
		for _, path := range paths {
			source, err := os.ReadFile(path)
			require.NoError(t, err)
			require.NoError(t, schema.Validate(yamlValue(t, string(source))), path)
			m, err := Load(path)
			require.NoError(t, err)
			require.NoError(t, schema.Validate(yamlValue(t, string(m.Source()))), "the canonical form of %s", path)
		}
	}
}

// A mistyped key, word or shape is seen in the editor and refused by Parse.
func TestFormatSchemaFindsTypos(t *testing.T) {
	schema := formatOf(t)
	for _, typo := range []struct{ file, right, wrong string }{
		{"loan", "machine: loan", "machina: loan"}, {"loan", "title: Loan", "tittle: Loan"}, {"loan", "initial:", "inital:"}, {"loan", "roles:", "role:"},
		{"loan", "facts: ", "fact: "}, {"loan", "  schema:      ", "  shema:      "}, {"loan", "type: object\n", "type: objekt\n"}, {"loan", "  edit: {requires", "  edit: {require"},
		{"loan", "states: [created]", "state: [created]"}, {"loan", "create: {requires", "create: {role"}, {"loan", "closed: true", "close: true"}, {"loan", "closed: true", "closed: 'yes'"},
		{"loan", "final: true", "finale: true"}, {"loan", "entry: [", "entries: ["}, {"loan", "{from: created,", "{form: created,"}, {"loan", "to: submitted,", "too: submitted,"},
		{"loan", "requires: [employee], title", "require: [employee], title"}, {"loan", "title: Approve}", "titel: Approve}"}, {"loan", "note: required             #", "note: mandatory #"},
		{"loan", "    transitions:", "    transition:"}, {"loan", "      - {from: reviewed,", "      - {form: reviewed,"}, {"loan", "override: true ", "overide: true "}, {"loan", "{any: true}", "{all: true}"}, {"loan", "{any: true}", "{any: false}"},
		{"loan", "manager: [employee]", "system: [employee]"}, {"loan", "manager: [employee]", "manager: employee"}, {"loan", "four_eyes", "four-eyes"},
		{"everything", "stay: true", "stays: true"}, {"everything", "checks: [office_open]\nfacts", "check: [office_open]\nfacts"}, {"everything", "x-hint", "hint"}, {"everything", "destructive: true", "destructive: really"},
		{"everything", "explain:", "explains:"}, {"everything", "if_match: required", "if_match: always"}, {"everything", "if_match:", "ifmatch:"}, {"everything", "attrs: {schema", "attrs: {scheme"}, {"everything", "order: 3", "order: third"}, {"everything", "tags: [work]", "tags: work"}, {"everything", "except: draft}}", "exept: draft}}"},
		{"everything", "to: done, requires: [lead]", "to: done, requires: []"}, {"account", "    input:", "    inputs:"}, {"account", "confirm: true", "confirm: 1"},
		{"photo-submission", "can_transition_to: [APPROVED, REJECTED, ESCALATED]", "can_transition: [APPROVED, REJECTED, ESCALATED]"}, {"photo-submission", "requires_moderator: false", "requires_moderator: nobody"},
		{"photo-submission", "initial:", "explain: {requires: [ADMIN]}\ninitial:"}, {"metadata-bare", "  is_final: false\n  color", "  is_finale: false\n  color"}, {"metadata-bare", "initial:", "events: {}\ninitial:"},
	} {
		source, err := os.ReadFile(filepath.Join("testdata", "good", typo.file+".yaml"))
		require.NoError(t, err)
		require.Contains(t, string(source), typo.right, "the fixture %s", typo.file)
		wrong := strings.Replace(string(source), typo.right, typo.wrong, 1)
		require.Error(t, schema.Validate(yamlValue(t, wrong)), "the schema: %q instead of %q", typo.wrong, typo.right)
		_, err = Parse("test.yaml", []byte(wrong))
		require.Error(t, err, "Parse: %q instead of %q", typo.wrong, typo.right)
	}
}

// Both know the same keys.
func TestFormatSchemaKnowsTheSameKeys(t *testing.T) {
	var document struct {
		Defs map[string]struct {
			Properties map[string]json.RawMessage `json:"properties"`
		} `json:"$defs"`
	}
	require.NoError(t, json.Unmarshal(FormatSchema(), &document))
	keys := func(def string) []string { return sortedKeys(document.Defs[def].Properties) }
	require.ElementsMatch(t, metadataKeys, keys("metadata"))
	require.ElementsMatch(t, metaformMarks, keys("metadataState"))
	require.ElementsMatch(t, edgeKeys, keys("transition"))
	require.ElementsMatch(t, append([]string{"title"}, keys("metadataHead")...), metaformHead)
}
