package server

import (
	"bytes"
	"html/template"
	"maps"
	"net/http"
	"slices"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock/middleware"
)

const mediaHTML = "text/html"

// The pages need neither script nor style, so their policy allows none.
var pages = template.Must(template.New("").Parse(`
{{define "problem"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body><h1>{{.Title}}</h1><p>{{.Detail}}</p>
<dl><dt>code</dt><dd><code>{{.Code}}</code></dd><dt>status</dt><dd>{{.Status}}</dd>{{if .Stage}}<dt>stage</dt><dd>{{.Stage}}</dd>{{end}}</dl>
<p><a href="/docs">The API</a></p></body></html>
{{end}}
{{define "docs"}}<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{.Title}}</title></head>
<body><h1>{{.Title}}</h1><p>{{.Description}}</p><p><a href="/openapi.json">The OpenAPI document</a></p>
{{range .Operations}}<h2><code>{{.Method}} {{.Path}}</code></h2><p>{{.Summary}}.</p>{{with .Description}}<p>{{.}}</p>{{end}}
{{with .Parameters}}<ul>{{range .}}<li><code>{{.Name}}</code> ({{.In}}){{with .Description}}: {{.}}{{end}}</li>{{end}}</ul>{{end}}
{{end}}<h1>Problems</h1><ul>{{range .Problems}}<li><a href="/problems/{{.Type}}">{{.Status}} {{.Title}}</a></li>{{end}}</ul>
</body></html>
{{end}}`))

func (s *Server) problemPage(c *gin.Context) error {
	if _, err := acceptable(c.Request, mediaHTML); err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	for _, p := range middleware.Problems() {
		if p.Type == c.Param("code") {
			return render(c, "problem", p)
		}
	}
	return &middleware.Problem{Code: codeNotFound, Detail: "There is no problem of that type."}
}

type docsPage struct {
	Title, Description string
	Operations         []operation
	Problems           []middleware.Problem
}

type operation struct {
	Method, Path, Summary, Description string
	Parameters                         []parameter
}

type parameter struct{ Name, In, Description string }

func (s *Server) docs(c *gin.Context) error {
	if _, err := acceptable(c.Request, mediaHTML); err != nil {
		return err
	}
	if _, err := parameters(c); err != nil {
		return err
	}
	info, _ := s.document.base["info"].(map[string]any)
	out := docsPage{
		Title: text(info["title"]), Description: text(info["description"]),
		Operations: s.document.operations(), Problems: middleware.Problems(),
	}
	return render(c, "docs", out)
}

func (d *document) operations() []operation {
	var out []operation
	paths, _ := d.base["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(map[string]any)
		for _, method := range []string{"GET", "POST", "PATCH", "PUT", "DELETE"} {
			op, ok := item[map[string]string{"GET": "get", "POST": "post", "PATCH": "patch", "PUT": "put", "DELETE": "delete"}[method]].(map[string]any)
			if !ok {
				continue
			}
			out = append(out, operation{
				Method: method, Path: path, Summary: text(op["summary"]), Description: text(op["description"]),
				Parameters: append(d.parameters(item["parameters"]), d.parameters(op["parameters"])...),
			})
		}
	}
	return out
}

func (d *document) parameters(value any) []parameter {
	var out []parameter
	all, _ := value.([]any)
	components, _ := d.base["components"].(map[string]any)
	shared, _ := components["parameters"].(map[string]any)
	for _, item := range all {
		p, _ := item.(map[string]any)
		if ref := text(p["$ref"]); ref != "" {
			p, _ = shared[ref[len("#/components/parameters/"):]].(map[string]any)
		}
		out = append(out, parameter{text(p["name"]), text(p["in"]), text(p["description"])})
	}
	return out
}

func text(v any) string {
	s, _ := v.(string)
	return s
}

func render(c *gin.Context, name string, data any) error {
	var out bytes.Buffer
	if err := pages.ExecuteTemplate(&out, name, data); err != nil {
		return err
	}
	c.Data(http.StatusOK, mediaHTML+"; charset=utf-8", out.Bytes())
	return nil
}
