package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
)

const (
	mediaMermaid = "application/vnd.mermaid" // as registered with IANA
	mediaDOT     = "text/vnd.graphviz"
)

type machineJSON struct {
	Machine  string           `json:"machine"`
	Slug     string           `json:"slug"`
	Title    string           `json:"title"`
	Revision string           `json:"revision"`
	Initial  string           `json:"initial"`
	Metadata map[string]any   `json:"metadata"`
	Counts   map[string]int64 `json:"counts"`
}

type machineFullJSON struct {
	machineJSON
	States      []stateJSON     `json:"states"`
	Events      []eventJSON     `json:"events"`
	FactsSchema json.RawMessage `json:"facts_schema"`
}

type stateJSON struct {
	State    string         `json:"state"`
	Slug     string         `json:"slug"`
	Title    string         `json:"title"`
	Final    bool           `json:"final"`
	Closed   bool           `json:"closed"`
	Metadata map[string]any `json:"metadata"`
}

type eventJSON struct {
	Event       string          `json:"event"`
	Slug        string          `json:"slug"`
	Title       string          `json:"title"`
	Note        fsm.NoteMode    `json:"note"`
	Override    bool            `json:"override"`
	InputSchema json.RawMessage `json:"input_schema"`
	Metadata    map[string]any  `json:"metadata"`
	Transitions []edgeJSON      `json:"transitions"`
}

type edgeJSON struct {
	From     string `json:"from"`
	To       string `json:"to"`
	Stay     bool   `json:"stay"`
	Override bool   `json:"override"`
}

func (s *Server) listMachines(c *gin.Context, actor interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	out := []machineJSON{}
	for _, m := range s.gate.Machines() {
		one, err := s.summary(c, actor, m)
		if err != nil {
			return err
		}
		out = append(out, one)
	}
	return answer(c, http.StatusOK, gin.H{"machines": out})
}

func (s *Server) getMachine(c *gin.Context, actor interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	m, err := s.machine(c)
	if err != nil {
		return err
	}
	one, err := s.summary(c, actor, m)
	if err != nil {
		return err
	}
	full := machineFullJSON{machineJSON: one, States: []stateJSON{}, Events: []eventJSON{}, FactsSchema: schemaOf(m.FactsSchema())}
	for _, st := range m.States() {
		full.States = append(full.States, stateJSON{st.Name, st.Slug, st.Title, st.Final, st.Closed, members(st.Meta)})
	}
	for _, ev := range m.Events() {
		full.Events = append(full.Events, eventJSON{
			ev.Name, ev.Slug, ev.Title, ev.Note, ev.Override, schemaOf(ev.Input), members(ev.Meta), edgesOf(m, ev.ID),
		})
	}
	return answer(c, http.StatusOK, full)
}

func edgesOf(m *fsm.Machine, event fsm.EventID) []edgeJSON {
	out := []edgeJSON{}
	for _, e := range m.Edges() {
		if e.Event == event {
			out = append(out, edgeJSON{m.State(e.From).Name, m.State(e.To).Name, e.Stay, e.Override})
		}
	}
	return out
}

// summary leaves the counts out for an actor who may not have them; a store that
// fails is no reason to show none.
func (s *Server) summary(c *gin.Context, actor interlock.Actor, m *fsm.Machine) (machineJSON, error) {
	counts, err := s.gate.Counts(c.Request.Context(), actor, m.Name())
	var refusal *interlock.Refusal
	if errors.As(err, &refusal) && (refusal.Stage == interlock.StagePolicy || refusal.Stage == interlock.StageGraph) {
		counts, err = nil, nil
	}
	if err != nil {
		return machineJSON{}, err
	}
	return machineJSON{
		Machine: m.Name(), Slug: m.Slug(), Title: m.Title(), Revision: s.gate.Revision(m.Name()),
		Initial: m.State(m.Initial()).Name, Metadata: members(m.Meta()), Counts: counts,
	}, nil
}

func schemaOf(s *fsm.Schema) json.RawMessage {
	if s == nil {
		return nil
	}
	return s.JSON()
}

func (s *Server) drawMachine(c *gin.Context, _ interlock.Actor) error {
	q, err := parameters(c, "format")
	if err != nil {
		return err
	}
	m, err := s.machine(c)
	if err != nil {
		return err
	}
	c.Header("Vary", "Accept")
	media, draw, err := drawing(c.Request, m, q)
	if err != nil {
		return err
	}
	var out bytes.Buffer
	if err := draw(&out); err != nil {
		return fmt.Errorf("draw machine %s: %w", m.Name(), err)
	}
	c.Data(http.StatusOK, media, out.Bytes())
	return nil
}

// drawing goes by `format` where it is given: a link in a page has no Accept header.
func drawing(r *http.Request, m *fsm.Machine, q query) (string, func(io.Writer) error, error) {
	format, given := q["format"]
	if !given {
		media, err := acceptable(r, mediaJSON, mediaMermaid, mediaDOT)
		if err != nil {
			return "", nil, err
		}
		format = map[string]string{mediaJSON: "json", mediaMermaid: "mermaid", mediaDOT: "dot"}[media]
	}
	switch format {
	case "json":
		return mediaJSON, m.WriteJSON, nil
	case "mermaid":
		return mediaMermaid, m.WriteMermaid, nil
	case "dot":
		return mediaDOT, m.WriteDOT, nil
	}
	return "", nil, malformed("The parameter format must be json, mermaid or dot.")
}

// answersJSON is for an address that takes no parameters and answers with JSON.
func answersJSON(c *gin.Context) error {
	_, err := reading(c)
	return err
}

// reading are the parameters of an address that answers with JSON.
func reading(c *gin.Context, known ...string) (query, error) {
	if _, err := acceptable(c.Request, mediaJSON); err != nil {
		return nil, err
	}
	return parameters(c, known...)
}
