package middleware

import (
	"encoding/hex"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/internal/wire"
)

const jsonType = "application/json; charset=utf-8"

// kindOfAnswer is what has happened: nothing, an event, a creation.
type kindOfAnswer int

const (
	wouldBe kindOfAnswer = iota
	fired
	created
)

func eventAnswer(dryRun bool) kindOfAnswer {
	if dryRun {
		return wouldBe
	}
	return fired
}

// answer is said after the commit: whatever fails here, it has happened, and
// the answer must not deny it.
func (il *Interlock) answer(c *gin.Context, kind kindOfAnswer, res interlock.Result, value any) {
	t, h := &res.Transition, c.Writer.Header()
	if kind == wouldBe {
		wire.SetHeaders(h, "Interlock-Revision", t.Revision, "Cache-Control", "no-store")
		writeInstance(c, http.StatusOK, &res.Instance)
		return
	}
	wire.SetHeaders(h, "Interlock-Revision", t.Revision, "Cache-Control", "no-store",
		"Interlock-Transition", t.ID, "Interlock-Sequence", strconv.FormatInt(t.Seq, 10))
	if tag := il.gate.ETag(res.Instance); tag != "" {
		wire.SetHeaders(h, "Etag", tag)
	}
	status := http.StatusOK
	if kind == created {
		status = http.StatusCreated
	}
	if value == nil && il.cfg.Represent != nil {
		v, err := il.cfg.Represent(c, res.Instance)
		if c.Writer.Written() {
			return
		}
		if err != nil {
			il.afterCommit(c, t, err)
		} else {
			value = v
		}
	}
	if value != nil {
		if b, err := json.Marshal(value); err != nil {
			il.afterCommit(c, t, err)
		} else {
			c.Data(status, jsonType, b)
			return
		}
	}
	writeInstance(c, status, &res.Instance)
}

func (il *Interlock) afterCommit(c *gin.Context, t *interlock.Transition, err error) {
	_ = c.Error(err)
	il.settings.log().LogAttrs(c.Request.Context(), slog.LevelError, "committed, but the application could not represent it",
		slog.String("transition", t.ID), slog.String("route", c.FullPath()), slog.String("trace_id", traceID(c)), slog.String("error", err.Error()))
}

func writeInstance(c *gin.Context, status int, i *interlock.Instance) {
	write(c, status, jsonType, func(b []byte) ([]byte, error) { return wire.Instance(b, i) })
}

// rowView is a row of history on the wire.
type rowView struct {
	ID               string         `json:"id"`
	Seq              int64          `json:"seq"`
	Event            string         `json:"event"`
	From             string         `json:"from"`
	To               string         `json:"to"`
	Override         bool           `json:"override"`
	Actor            string         `json:"actor"`
	Person           string         `json:"person"`
	OnBehalfOf       string         `json:"on_behalf_of,omitempty"`
	OnBehalfOfPerson string         `json:"on_behalf_of_person,omitempty"`
	Note             *string        `json:"note"` // null: none, or erased
	Input            map[string]any `json:"input"`
	Time             stamp          `json:"time"`
	Revision         string         `json:"revision"`
	Hash             string         `json:"hash"`
}

type historyView struct {
	History        []rowView `json:"history"`
	ArchivedBefore *int64    `json:"archived_before"` // rows before this one, on this page, have left the store; null: none
	NextCursor     *string   `json:"next_cursor"`
}

// viewHistory takes the rows after a seq, one more than fits, where there are more.
func viewHistory(rows []interlock.Transition, after int64, limit int) historyView {
	v := historyView{History: []rowView{}}
	if len(rows) > 0 && rows[0].Seq > after+1 {
		v.ArchivedBefore = &rows[0].Seq
	}
	for i, t := range rows {
		if i == limit {
			next := strconv.FormatInt(rows[i-1].Seq, 10)
			v.NextCursor = &next
			break
		}
		row := rowView{
			ID: t.ID, Seq: t.Seq, Event: t.Event, From: t.From, To: t.To, Override: t.Override,
			Actor: t.Actor, Person: t.Person, OnBehalfOf: t.OnBehalfOf, OnBehalfOfPerson: t.OnBehalfOfPerson,
			Input: t.Input, Time: stamp(t.Time), Revision: t.Revision, Hash: hex.EncodeToString(t.Hash),
		}
		if t.Note != "" {
			row.Note = &t.Note
		}
		v.History = append(v.History, row)
	}
	return v
}

// stamp is a time on the wire: RFC 3339, UTC, always six digits of a second.
type stamp time.Time

func (s stamp) MarshalJSON() ([]byte, error) {
	return []byte(time.Time(s).UTC().Format(`"2006-01-02T15:04:05.000000Z"`)), nil
}
