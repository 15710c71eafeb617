package main

import (
	_ "embed"
	"errors"
	"html/template"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

//go:embed form.html
var formHTML string

var formPage = template.Must(template.New("form").Parse(formHTML))

// formAction is a button: one event to one target.
type formAction struct {
	Event, To, Title   string
	Note, NoteRequired bool
	Allowed            bool
	Reasons            []string
}

// showForm renders what this employee may do with this loan now. What he may
// not do is greyed out and says why.
func (a *app) showForm(c *gin.Context) { a.form(c, http.StatusOK, "") }

// submitForm fires the event and shows the form again, with the reason where
// the gate refused.
func (a *app) submitForm(c *gin.Context) {
	ctx, by := c.Request.Context(), actor(c)
	req := interlock.Request{Machine: "loan", ID: c.Param("id"),
		Event: c.PostForm("event"), To: c.PostForm("to"), Note: c.PostForm("note")}
	_, _, err := interlock.Do(ctx, a.gate, by, req, settle)
	var no *interlock.Refusal
	switch {
	case errors.As(err, &no):
		a.form(c, http.StatusUnprocessableEntity, inWords(no))
	case err != nil:
		middleware.WriteProblem(c, err)
	default:
		c.Redirect(http.StatusSeeOther, "form")
	}
}

func (a *app) form(c *gin.Context, status int, refused string) {
	ctx, by, ref := c.Request.Context(), actor(c), interlock.Ref{Machine: "loan", ID: c.Param("id")}
	menu, err := a.gate.Available(ctx, by, ref)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	history, err := a.gate.History(ctx, by, ref, 0, 0)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	l, err := readLoan(ctx, a.db, ref.ID)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	c.Status(status)
	c.Header("Content-Type", "text/html; charset=utf-8")
	err = formPage.Execute(c.Writer, map[string]any{
		"Loan": l, "Who": by.ID, "Refused": refused, "Actions": buttons(menu), "History": history,
	})
	if err != nil {
		_ = c.Error(err)
	}
}

func buttons(menu interlock.Menu) []formAction {
	var actions []formAction
	for _, o := range menu.Options {
		for _, to := range o.To {
			b := formAction{Event: o.Event, To: to.State, Title: o.Title, Allowed: to.Allowed,
				Note: o.Note != fsm.NoteForbidden, NoteRequired: o.Note == fsm.NoteRequired}
			if len(o.To) > 1 {
				b.Title += " to " + to.Title
			}
			for _, r := range to.Reasons {
				b.Reasons = append(b.Reasons, r.Message)
			}
			actions = append(actions, b)
		}
	}
	return actions
}

// inWords is a refusal for people. Its Error is for the log: it holds the cause.
func inWords(no *interlock.Refusal) string {
	words := []string{no.Message}
	for _, r := range no.Reasons {
		words = append(words, r.Message)
	}
	return strings.Join(words, ": ")
}
