package server

import (
	"net/http"
	"strconv"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
)

func (s *Server) getHistory(c *gin.Context, actor interlock.Actor) error {
	q, err := reading(c, "attempts", "limit", "cursor")
	if err != nil {
		return err
	}
	limit, err := q.limit()
	if err != nil {
		return err
	}
	withAttempts, err := q.flag("attempts", false)
	if err != nil {
		return err
	}
	ref, err := s.instance(c)
	if err != nil {
		return err
	}
	question := []string{"history", tenant(actor), ref.Machine, ref.ID}
	position, err := s.position(q["cursor"], question...)
	if err != nil {
		return err
	}
	after, _ := strconv.ParseInt(position, 10, 64) // "" is the beginning; nobody else seals positions

	// One row more than the page tells whether there is another page.
	rows, err := s.gate.History(c.Request.Context(), actor, ref, after, limit+1)
	if err != nil {
		return err
	}
	var archived *int64
	if len(rows) > 0 && rows[0].Seq > after+1 {
		archived = &rows[0].Seq
	}
	next := ""
	if len(rows) > limit {
		rows = rows[:limit]
		next = s.cursor(strconv.FormatInt(rows[limit-1].Seq, 10), question...)
	}
	out := gin.H{"history": historyRows(rows), "archived_before": archived, "next_cursor": page(c, next)}
	if withAttempts {
		attempts, err := s.gate.Attempts(c.Request.Context(), actor, ref, limit)
		if err != nil {
			return err
		}
		out["attempts"] = attemptRows(attempts)
	}
	return answer(c, http.StatusOK, out)
}

type explanationJSON struct {
	Allowed bool             `json:"allowed"`
	Refusal *refusalJSON     `json:"refusal"`
	Steps   []interlock.Step `json:"steps"`
	Trace   []string         `json:"trace,omitempty"`
}

type refusalJSON struct {
	Stage   interlock.Stage `json:"stage"`
	Code    string          `json:"code"`
	Message string          `json:"message"`
	Reasons []reasonJSON    `json:"reasons"`
}

func (s *Server) explain(c *gin.Context, actor interlock.Actor) error {
	q, err := reading(c, "event", "to", "trace")
	if err != nil {
		return err
	}
	if q["event"] == "" {
		return malformed("The parameter event must say which event to explain.")
	}
	to, err := q.some("to")
	if err != nil {
		return err
	}
	trace, err := q.flag("trace", false)
	if err != nil {
		return err
	}
	ref, err := s.instance(c)
	if err != nil {
		return err
	}
	how, err := s.gate.Explain(c.Request.Context(), actor, interlock.Request{
		Machine: ref.Machine, ID: ref.ID, Event: q["event"], To: to, RequestID: asked(c), DryRun: true,
	}, trace)
	if err != nil {
		return err
	}
	out := explanationJSON{Allowed: how.Allowed, Steps: how.Steps, Trace: how.Trace}
	if out.Steps == nil {
		out.Steps = []interlock.Step{}
	}
	if r := how.Refusal; r != nil {
		out.Refusal = &refusalJSON{r.Stage, r.Code, r.Message, reasons(r.Reasons)}
	}
	return answer(c, http.StatusOK, out)
}
