package fsm

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// WriteMermaid draws the machine as a Mermaid stateDiagram-v2. Every label is
// escaped: names are text, never markup. Mermaid has no dashed arrows in state
// diagrams, so an override's label begins with ⇢ instead.
func (m *Machine) WriteMermaid(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("stateDiagram-v2\n    direction LR\n")
	for i := range m.def.states {
		fmt.Fprintf(&b, "    state \"%s\" as s%d\n", mermaidText(m.stateLabel(StateID(i))), i)
	}
	fmt.Fprintf(&b, "    [*] --> s%d\n", m.def.initial)
	for i := range m.def.edges {
		e := &m.def.edges[i]
		label := m.edgeLabel(e)
		if e.Override {
			label = "⇢ " + label
		}
		fmt.Fprintf(&b, "    s%d --> s%d : %s\n", e.From, e.To, mermaidText(label))
	}
	for i, s := range m.def.states {
		if s.Final || s.Closed {
			fmt.Fprintf(&b, "    s%d --> [*]\n", i)
		}
	}
	_, err := w.Write(b.Bytes())
	return err
}

// WriteDOT draws the machine for Graphviz: overrides dashed, final states with
// a double border, closed ones with a bold one. Labels are quoted strings, never
// HTML.
func (m *Machine) WriteDOT(w io.Writer) error {
	var b bytes.Buffer
	fmt.Fprintf(&b, "digraph %s {\n", dotText(m.def.name))
	fmt.Fprintf(&b, "    label=%s; labelloc=t; rankdir=LR;\n", dotText(m.def.title))
	b.WriteString("    node [shape=box, style=rounded, fontname=\"sans-serif\"];\n")
	b.WriteString("    edge [fontname=\"sans-serif\", fontsize=10];\n")
	b.WriteString("    initial [shape=point, label=\"\"];\n")
	for i, s := range m.def.states {
		fmt.Fprintf(&b, "    s%d [label=%s", i, dotText(m.stateLabel(s.ID)))
		if s.Final {
			b.WriteString(", peripheries=2")
		}
		if s.Closed {
			b.WriteString(", style=\"rounded,bold\"")
		}
		b.WriteString("];\n")
	}
	fmt.Fprintf(&b, "    initial -> s%d;\n", m.def.initial)
	for i := range m.def.edges {
		e := &m.def.edges[i]
		fmt.Fprintf(&b, "    s%d -> s%d [label=%s, tooltip=%s", e.From, e.To, dotText(m.edgeLabel(e)), dotText(edgeTooltip(e)))
		if e.Override {
			b.WriteString(", style=dashed")
		}
		b.WriteString("];\n")
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// stateLabel is the title, with the name behind it where that isn't plain from
// the title.
func (m *Machine) stateLabel(id StateID) string {
	s := &m.def.states[id]
	return label(s.Title, s.Name, s.Slug)
}

// edgeLabel is the event, with its checks in brackets as UML writes guards.
func (m *Machine) edgeLabel(e *Edge) string {
	event := &m.def.events[e.Event]
	text := label(event.Title, event.Name, event.Slug)
	if len(e.Checks) > 0 {
		text += " [" + strings.Join(e.Checks, ", ") + "]"
	}
	return text
}

func edgeTooltip(e *Edge) string {
	if len(e.Requires) == 0 {
		return "nobody"
	}
	return strings.Join(e.Requires, ", ")
}

func label(title, name, slug string) string {
	if Slug(title) == slug {
		return title
	}
	return title + " (" + name + ")"
}

// mermaidText leaves letters, digits and a few marks as they are and writes
// all else as entities, so that no text can be syntax or markup.
func mermaidText(s string) string {
	var b strings.Builder
	for _, c := range s {
		switch {
		case unicode.IsLetter(c) || unicode.IsDigit(c) || unicode.Is(unicode.Mn, c) || strings.ContainsRune(" _.,-⇢", c):
			b.WriteRune(c)
		case unicode.IsPrint(c):
			fmt.Fprintf(&b, "#%d;", c)
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// dotText is a quoted DOT string. A backslash is doubled, since Graphviz gives
// \N, \l and the like a meaning of their own; an ampersand becomes an entity,
// since it reads those in labels; angle brackets are left: only unquoted they
// are markup.
func dotText(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '&':
			b.WriteString("&amp;")
		case unicode.IsPrint(c):
			b.WriteRune(c)
		default:
			b.WriteByte(' ')
		}
	}
	b.WriteByte('"')
	return b.String()
}

// drawing is what [Machine.WriteJSON] writes: the graph for programs.
type drawing struct {
	Machine  string       `json:"machine"`
	Title    string       `json:"title"`
	Revision string       `json:"revision"`
	Initial  string       `json:"initial"`
	Metadata Metadata     `json:"metadata,omitempty"`
	States   []drawnState `json:"states"`
	Events   []drawnEvent `json:"events"`
	Edges    []drawnEdge  `json:"transitions"`
}

type drawnState struct {
	Name     string   `json:"name"`
	Slug     string   `json:"slug"`
	Title    string   `json:"title"`
	Final    bool     `json:"final"`
	Closed   bool     `json:"closed"`
	Entry    []string `json:"entry,omitempty"`
	Metadata Metadata `json:"metadata,omitempty"`
}

type drawnEvent struct {
	Name     string          `json:"name"`
	Slug     string          `json:"slug"`
	Title    string          `json:"title"`
	Override bool            `json:"override"`
	Note     NoteMode        `json:"note"`
	Input    json.RawMessage `json:"input,omitempty"`
	Metadata Metadata        `json:"metadata,omitempty"`
}

type drawnEdge struct {
	From     string   `json:"from"`
	Event    string   `json:"event"`
	To       string   `json:"to"`
	Stay     bool     `json:"stay,omitempty"`
	Override bool     `json:"override"`
	Requires []string `json:"requires"` // empty: nobody
	Checks   []string `json:"checks,omitempty"`
	Metadata Metadata `json:"metadata,omitempty"`
}

// WriteJSON writes the graph as indented JSON: machine, title, revision,
// initial, states, events, transitions. Names are as declared; <, > and & are
// escaped, so that it can stand in a page.
func (m *Machine) WriteJSON(w io.Writer) error {
	d := drawing{
		Machine: m.def.name, Title: m.def.title, Revision: m.def.revision, Metadata: m.def.meta,
		Initial: m.def.states[m.def.initial].Name, States: []drawnState{}, Events: []drawnEvent{}, Edges: []drawnEdge{},
	}
	for _, s := range m.def.states {
		d.States = append(d.States, drawnState{s.Name, s.Slug, s.Title, s.Final, s.Closed, s.Entry, s.Meta})
	}
	for _, e := range m.def.events {
		drawn := drawnEvent{Name: e.Name, Slug: e.Slug, Title: e.Title, Override: e.Override, Note: e.Note, Metadata: e.Meta}
		if e.Input != nil {
			drawn.Input = e.Input.raw
		}
		d.Events = append(d.Events, drawn)
	}
	for _, e := range m.def.edges {
		drawn := drawnEdge{
			From: m.def.states[e.From].Name, Event: m.def.events[e.Event].Name, To: m.def.states[e.To].Name,
			Stay: e.Stay, Override: e.Override, Requires: e.Requires, Checks: e.Checks, Metadata: e.Meta,
		}
		if drawn.Requires == nil {
			drawn.Requires = []string{}
		}
		d.Edges = append(d.Edges, drawn)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(d)
}
