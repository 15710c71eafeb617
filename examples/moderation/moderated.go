package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

// moderated serves one kind of things. All its queries are on the
// application's own table, by its own status column.
type moderated struct {
	*app
	kind
}

// create inserts the row and makes the instance in one transaction.
func (m moderated) create(c *gin.Context) {
	actor, _ := middleware.ActorFrom(c)
	var given map[string]string
	if err := middleware.DecodeJSON(c, &given); err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	if wrong := m.unfit(given); wrong != nil {
		middleware.WriteProblem(c, &middleware.Problem{Status: http.StatusUnprocessableEntity, Code: "input_invalid", Errors: wrong})
		return
	}
	ctx := c.Request.Context()
	res, _, err := interlock.CreateWith(ctx, m.gate, actor, interlock.CreateRequest{Machine: m.machine},
		func(ctx context.Context, tx *sql.Tx, t interlock.Transition) (any, error) {
			return nil, m.insert(ctx, tx, t.Instance, actor.ID, given)
		})
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	body, err := m.body(c, res.Instance.ID)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	c.Header("Location", "/"+m.path+"/"+res.Instance.ID)
	c.JSON(http.StatusCreated, body)
}

// unfit are the fields that the kind doesn't have, and those that are missing.
func (m moderated) unfit(given map[string]string) []fsm.FieldError {
	var wrong []fsm.FieldError
	for _, field := range slices.Sorted(maps.Keys(given)) {
		if !slices.Contains(m.fields, field) {
			wrong = append(wrong, fsm.FieldError{Pointer: "/" + field, Message: "want " + strings.Join(m.fields, ", ")})
		}
	}
	for _, field := range m.fields {
		if given[field] == "" && !(field == "park" && given["proposes"] == "park") {
			wrong = append(wrong, fsm.FieldError{Pointer: "/" + field, Message: "is missing"})
		}
	}
	return wrong
}

// insert writes the row. Its status is the column's default: no code of the
// application assigns one.
func (m moderated) insert(ctx context.Context, tx *sql.Tx, id, user string, given map[string]string) error {
	columns, values := []string{"id"}, []any{id}
	if m.owner != "" {
		columns, values = append(columns, m.owner), append(values, user)
	}
	for _, field := range m.fields {
		columns, values = append(columns, field), append(values, given[field])
	}
	marks := make([]string, len(columns))
	for i := range marks {
		marks[i] = fmt.Sprintf("$%d", i+1)
	}
	_, err := tx.ExecContext(ctx, "INSERT INTO "+m.table+" ("+strings.Join(columns, ", ")+") VALUES ("+strings.Join(marks, ", ")+")", values...)
	return err
}

// columns are those of the table, id and status first.
func (m moderated) columns() []string {
	columns := []string{"id", "status"}
	return append(append(columns, m.facts()...), m.fields...)
}

func (m moderated) query(ctx context.Context, where string, args ...any) ([]map[string]string, error) {
	rows, err := m.db.read.QueryContext(ctx, "SELECT "+strings.Join(m.columns(), ", ")+" FROM "+m.table+" "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	all := []map[string]string{}
	for rows.Next() {
		texts := make([]string, len(m.columns()))
		into := make([]any, len(texts))
		for i := range texts {
			into[i] = &texts[i]
		}
		if err := rows.Scan(into...); err != nil {
			return nil, err
		}
		row := map[string]string{}
		for i, column := range m.columns() {
			row[column] = texts[i]
		}
		all = append(all, row)
	}
	return all, rows.Err()
}

func (m moderated) row(ctx context.Context, id string) (map[string]string, error) {
	rows, err := m.query(ctx, "WHERE id = $1", id)
	if err == nil && len(rows) == 0 {
		err = errors.New("the row is gone")
	}
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// list is the moderators' list, by status if they ask for one: the query that
// the application had before.
func (m moderated) list(c *gin.Context) {
	where, args := "", []any(nil)
	if status := c.Query("status"); status != "" {
		where, args = "WHERE status = $1 ", []any{status}
	}
	rows, err := m.query(c.Request.Context(), where+"ORDER BY id", args...)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{m.path: rows})
}

// get is the row, how its state is shown, and where the caller can move it.
func (m moderated) get(c *gin.Context) {
	body, err := m.body(c, c.Param("id"))
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	c.JSON(http.StatusOK, body)
}

func (m moderated) body(c *gin.Context, id string) (any, error) {
	actor, _ := middleware.ActorFrom(c)
	ctx := c.Request.Context()
	available, err := m.states.available(ctx, actor, interlock.Ref{Machine: m.machine, ID: id})
	if err != nil {
		return nil, err
	}
	row, err := m.row(ctx, id)
	if err != nil {
		return nil, err
	}
	body := gin.H{"available": available}
	for column, text := range row {
		body[column] = text
	}
	body["display"], _ = m.states.display(m.machine, row["status"])
	return body, nil
}

// can answers for one state.
func (m moderated) can(c *gin.Context) {
	actor, _ := middleware.ActorFrom(c)
	can, why, err := m.states.can(c.Request.Context(), actor, m.ref(c), c.Param("state"))
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	c.JSON(http.StatusOK, gin.H{"can": can, "reasons": why})
}

func (m moderated) ref(c *gin.Context) interlock.Ref {
	return interlock.Ref{Machine: m.machine, ID: c.Param("id")}
}

// entry is a line of an instance's history.
type entry struct {
	Time       time.Time `json:"time"`
	By         string    `json:"by"`
	Transition string    `json:"transition"`
	Source     string    `json:"source"`
	Target     string    `json:"target"`
	Note       string    `json:"note,omitempty"`
}

// history is what happened to it, oldest first.
func (m moderated) history(c *gin.Context) {
	actor, _ := middleware.ActorFrom(c)
	rows, err := m.gate.History(c.Request.Context(), actor, m.ref(c), 0, 500)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	lines := make([]entry, len(rows))
	for i, t := range rows {
		lines[i] = entry{t.Time, t.Actor, t.Event, t.From, t.To, t.Note}
	}
	c.JSON(http.StatusOK, gin.H{"history": lines})
}
