package server

import (
	"bytes"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/export"
	"github.com/interlock-go/interlock/middleware"
)

const (
	mediaNDJSON = "application/x-ndjson"
	mediaCSV    = "text/csv"
)

// audit answers a page of what an auditor searches for, in the form that was
// asked for.
func (s *Server) audit(c *gin.Context, actor interlock.Actor) error {
	q, err := parameters(c, "machine", "id", "actor", "event", "outcome", "check", "from", "until", "format", "limit", "cursor")
	if err != nil {
		return err
	}
	media, err := auditMedia(c.Request, q)
	if err != nil {
		return err
	}
	query, err := s.auditQuery(q)
	if err != nil {
		return err
	}
	question := []string{"audit", tenant(actor), query.Machine, query.ID, query.Actor, query.Event, query.Outcome, query.Check, q["from"], q["until"]}
	if query.After, err = s.position(q["cursor"], question...); err != nil {
		return err
	}
	found, err := s.gate.Audit(c.Request.Context(), actor, query)
	if err != nil {
		return err
	}
	next := ""
	if found.Next != "" {
		next = s.cursor(found.Next, question...)
	}
	rows, cursor := export.Rows(found), page(c, next)
	c.Header("Vary", "Accept")
	var b bytes.Buffer
	switch media {
	case mediaNDJSON:
		err = export.NDJSON(&b, rows)
	case mediaCSV:
		if query.After == "" { // further pages are added to the first
			err = export.CSVHeader(&b)
		}
		if err == nil {
			err = export.CSV(&b, rows)
		}
		media += "; charset=utf-8"
	default:
		return answer(c, http.StatusOK, gin.H{"rows": rows, "next_cursor": cursor})
	}
	if err != nil {
		return err
	}
	c.Header("Content-Disposition", "attachment")
	c.Data(http.StatusOK, media, b.Bytes())
	return nil
}

func auditMedia(r *http.Request, q query) (string, error) {
	switch format, given := q["format"]; {
	case !given:
		return acceptable(r, mediaJSON, mediaNDJSON, mediaCSV)
	case format == "json":
		return mediaJSON, nil
	case format == "ndjson":
		return mediaNDJSON, nil
	case format == "csv":
		return mediaCSV, nil
	}
	return "", malformed("The parameter format must be json, ndjson or csv.")
}

func (s *Server) auditQuery(q query) (interlock.AuditQuery, error) {
	query := interlock.AuditQuery{Machine: q["machine"], Event: q["event"], Outcome: q["outcome"], Check: q["check"]}
	for _, name := range []string{"machine", "event", "outcome", "check", "from", "until"} {
		if _, err := q.some(name); err != nil {
			return query, err
		}
	}
	// By its name; a machine that is no longer known may still have a history.
	if m, known := s.gate.Machine(query.Machine); known {
		query.Machine = m.Name()
	}
	if o := query.Outcome; o != "" && o != interlock.Committed && o != interlock.Refused {
		return query, malformed("The parameter outcome must be committed or refused.")
	}
	var err error
	if query.ID, err = q.id("id"); err != nil {
		return query, err
	}
	if query.ID != "" && query.Machine == "" {
		return query, malformed("An instance is named with its machine.")
	}
	if query.Actor, err = q.id("actor"); err != nil {
		return query, err
	}
	if query.From, err = q.time("from"); err != nil {
		return query, err
	}
	if query.Until, err = q.time("until"); err != nil {
		return query, err
	}
	query.Limit, err = q.limit()
	return query, err
}

// maxCheckpoints bounds one answer: the newest.
const maxCheckpoints = 100

// listCheckpoints answers the signed notes. They speak of all tenants at once, so
// that only the default tenant's auditors get them.
func (s *Server) listCheckpoints(c *gin.Context, actor interlock.Actor) error {
	if _, err := reading(c); err != nil {
		return err
	}
	// The right to audit is asked for by an audit of nothing.
	if _, err := s.gate.Audit(c.Request.Context(), actor, interlock.AuditQuery{Outcome: interlock.Committed, Check: "none"}); err != nil {
		return err
	}
	if s.checkpoints == nil || tenant(actor) != interlock.DefaultTenant {
		return &middleware.Problem{Code: codeNotFound, Stage: interlock.StageGraph, Detail: "No checkpoints are kept here."}
	}
	notes, err := s.checkpoints(c.Request.Context())
	if err != nil {
		return err
	}
	if notes = notes[max(0, len(notes)-maxCheckpoints):]; notes == nil {
		notes = []string{}
	}
	return answer(c, http.StatusOK, gin.H{"checkpoints": notes})
}

func (s *Server) erase(c *gin.Context, actor interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	var in struct {
		Machine  string  `json:"machine"`
		ID       string  `json:"id"`
		Seqs     []int64 `json:"seqs"`
		Actor    string  `json:"actor"`
		Attempts bool    `json:"attempts"`
		Reason   string  `json:"reason"`
	}
	if err := body(c, &in, false); err != nil {
		return err
	}
	done, err := s.gate.Erase(c.Request.Context(), actor, interlock.EraseRequest{
		Machine: in.Machine, ID: in.ID, Seqs: in.Seqs, Actor: in.Actor, Attempts: in.Attempts, Reason: in.Reason,
	})
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, done)
}
