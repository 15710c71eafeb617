package main

import (
	"database/sql"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

var (
	errAmount = &middleware.Problem{Status: 422, Code: "amount_invalid", Title: "Bad amount",
		Errors: []fsm.FieldError{{Pointer: "/amount", Message: "0 or more"}}}
	errLocked = &middleware.Problem{Status: 409, Code: "amount_locked", Title: "The amount stands",
		Detail: "The amount can be edited before the loan is submitted."}
)

// list is one of the application's own queries.
func (a *app) list(c *gin.Context) {
	loans, err := a.listLoans(c.Request.Context(), c.Query("status"))
	answer(c, http.StatusOK, gin.H{"loans": loans}, err)
}

func (a *app) read(c *gin.Context) {
	l, err := readLoan(c.Request.Context(), a.db, c.Param("id"))
	answer(c, http.StatusOK, l, err)
}

// edit changes the amount: it is the application's own column, which the gate
// only reads.
func (a *app) edit(c *gin.Context) {
	var in struct {
		Amount int64 `json:"amount"`
	}
	if err := middleware.DecodeJSON(c, &in); err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	l, err := a.setAmount(c.Request.Context(), actor(c), c.Param("id"), in.Amount)
	answer(c, http.StatusOK, l, err)
}

// actor is who asks; the gate refuses the zero value.
func actor(c *gin.Context) interlock.Actor {
	who, _ := middleware.ActorFrom(c)
	return who
}

// answer is the one place where a result becomes an answer.
func answer(c *gin.Context, status int, body any, err error) {
	if errors.Is(err, sql.ErrNoRows) {
		err = &middleware.Problem{Status: http.StatusNotFound, Code: "not_found"}
	}
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	c.JSON(status, body)
}
