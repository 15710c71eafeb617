package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// contract holds exchanges against the document that the server itself serves.
type contract struct {
	doc    *openapi3.T
	router routers.Router
}

func newContract(t testing.TB, url string) *contract {
	t.Helper()
	resp, err := http.Get(url + "/openapi.json") //nolint:noctx // a test's own server
	require.NoError(t, err)
	raw, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	require.Equal(t, http.StatusOK, resp.StatusCode, string(raw))

	var doc map[string]any
	require.NoError(t, json.Unmarshal(raw, &doc))
	closeObjects(doc["components"].(map[string]any)["schemas"])
	closed, err := json.Marshal(doc)
	require.NoError(t, err)
	c := &contract{}
	c.doc, err = openapi3.NewLoader().LoadFromData(closed)
	require.NoError(t, err)
	c.doc.Servers = nil
	c.router, err = legacy.NewRouter(c.doc)
	require.NoError(t, err)
	return c
}

// closeObjects refuses members that the document doesn't name. The document
// itself leaves objects open, so that later members break no client.
func closeObjects(v any) {
	switch v := v.(type) {
	case map[string]any:
		if _, declared := v["properties"].(map[string]any); declared {
			if _, said := v["additionalProperties"]; !said {
				v["additionalProperties"] = false
			}
		}
		for _, member := range v {
			closeObjects(member)
		}
	case []any:
		for _, member := range v {
			closeObjects(member)
		}
	}
}

// exchange fails the test where the answer isn't what the document says, or
// where the server took a request that the document doesn't allow.
func (c *contract) exchange(t testing.TB, req *http.Request, body string, resp *http.Response, raw []byte) {
	t.Helper()
	common(t, resp)
	route, params, err := c.router.FindRoute(req)
	if err != nil {
		require.GreaterOrEqual(t, resp.StatusCode, 400, "%s %s is not in the document: %v", req.Method, req.URL, err)
		c.problem(t, raw)
		return
	}
	in := &openapi3filter.RequestValidationInput{
		Request: req.Clone(context.Background()), PathParams: params, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, IncludeResponseStatus: true, MultiError: true},
	}
	in.Request.Body = io.NopCloser(strings.NewReader(body))
	if resp.StatusCode < 400 || slices.Contains([]int{403, 404, 409}, resp.StatusCode) {
		require.NoError(t, openapi3filter.ValidateRequest(context.Background(), in), "the server took what the document refuses: %s %s %s", req.Method, req.URL, body)
	}
	require.NoError(t, openapi3filter.ValidateResponse(context.Background(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: in, Status: resp.StatusCode, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(raw)), Options: in.Options,
	}), "%s %s: %d %s", req.Method, req.URL, resp.StatusCode, raw)
}

func (c *contract) problem(t testing.TB, raw []byte) {
	t.Helper()
	var v any
	require.NoError(t, json.Unmarshal(raw, &v), string(raw))
	require.NoError(t, c.doc.Components.Schemas["Problem"].Value.VisitJSON(v, openapi3.EnableJSONSchema2020()), string(raw))
}

// common is what every answer has.
func common(t testing.TB, resp *http.Response) {
	t.Helper()
	require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
	require.Contains(t, resp.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.NotEmpty(t, resp.Header.Get("X-Request-Id"))
	if resp.StatusCode >= 400 && resp.Request != nil && resp.Request.URL.Path != "/readyz" {
		require.Equal(t, "application/problem+json", resp.Header.Get("Content-Type"))
	}
}

func init() { //nolint:gochecknoinits // the validator's registry of media types is global
	for _, media := range []string{"text/html", "application/vnd.mermaid", "text/vnd.graphviz", "text/csv", "application/x-ndjson"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.PlainBodyDecoder)
	}
}

func TestDocumentAndEngineHaveTheSameRoutes(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	var documented []string
	for path, item := range w.check.doc.Paths.Map() {
		path = strings.NewReplacer("{", ":", "}", "").Replace(path)
		for method := range item.Operations() {
			documented = append(documented, method+" "+path)
		}
	}
	assert.ElementsMatch(t, documented, w.server.Routes())
	assert.NotEmpty(t, documented)
}

func TestDocumentHasTheMachines(t *testing.T) {
	w := newWorld(t, openSQLite(t))
	require.NoError(t, w.check.doc.Validate(context.Background()))
	schemas := w.check.doc.Components.Schemas
	for _, name := range []string{
		"machine.loan.state", "machine.loan.facts", "machine.loan.create", "machine.loan.fire", "machine.loan.fire.override",
		"machine.ticket.fire.answer", "machine.ticket.fire.comment",
	} {
		require.Contains(t, schemas, name)
	}
	for body, fits := range map[string]bool{
		`{"event":"answer","input":{"text":"hello"}}`:            true,
		`{"event":"answer","input":{"text":""}}`:                 false,
		`{"event":"answer","note":"x","input":{"text":"hello"}}`: false, // forbidden there
		`{"event":"route","to":"done"}`:                          true,
		`{"event":"route","to":"open"}`:                          false,
		`{"event":"comment"}`:                                    false, // its note is required
		`{"event":"unheard"}`:                                    false,
	} {
		var v any
		require.NoError(t, json.Unmarshal([]byte(body), &v))
		err := schemas["machine.ticket.fire"].Value.VisitJSON(v, openapi3.EnableJSONSchema2020())
		assert.Equal(t, fits, err == nil, "%s: %v", body, err)
	}
}
