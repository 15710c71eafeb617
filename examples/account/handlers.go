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
	errPassword = &middleware.Problem{Status: 422, Code: "password_short", Title: "Password too short",
		Errors: []fsm.FieldError{{Pointer: "/password", Message: "at least 8 characters"}}}
	errNoPassword = &middleware.Problem{Status: 409, Code: "password_missing", Title: "No password yet",
		Detail: "Set a password first: PUT /users/{id}/password."}
	errNotYours = &middleware.Problem{Status: 403, Code: "denied", Title: "Only one's own password"}
	errTaken    = &middleware.Problem{Status: 409, Code: "email_taken", Title: "There is an account with this e-mail address"}
	errEmail    = &middleware.Problem{Status: 422, Code: "email_missing", Title: "An account needs an e-mail address",
		Errors: []fsm.FieldError{{Pointer: "/email", Message: "required"}}}
	errLogin = &middleware.Problem{Status: 401, Code: "login_failed", Title: "Not logged in",
		Detail: "The e-mail address or the password is wrong, or the account isn't active."}
	errAdmins = &middleware.Problem{Status: 403, Code: "denied", Title: "For administrators only"}
)

// newUser is the body that makes or invites a user. There is no status in it.
type newUser struct {
	ID    string `json:"id,omitempty"` // "" makes one
	Email string `json:"email"`
	Name  string `json:"name"`
}

func (n newUser) user() user { return user{ID: n.ID, Email: n.Email, Name: n.Name, Role: "user"} }

func decodeUser(c *gin.Context) (n newUser, err error) {
	if err = middleware.DecodeJSON(c, &n); err == nil && normalEmail(n.Email) == "" {
		err = errEmail
	}
	return n, err
}

// postUser makes an account that nobody was told of yet.
func (a *app) postUser(c *gin.Context) {
	n, err := decodeUser(c)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	u, err := a.create(c.Request.Context(), actor(c), n.user())
	answer(c, http.StatusCreated, u, err)
}

// postInvitation invites by e-mail address.
func (a *app) postInvitation(c *gin.Context) {
	n, err := decodeUser(c)
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	u, err := a.inviteByEmail(c.Request.Context(), actor(c), n.user())
	answer(c, http.StatusOK, u, err)
}

// putPassword sets one's own password.
func (a *app) putPassword(c *gin.Context) {
	var in struct {
		Password string `json:"password"`
	}
	err := middleware.DecodeJSON(c, &in)
	if err == nil {
		err = a.setPassword(c.Request.Context(), actor(c), c.Param("id"), in.Password)
	}
	if err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// getUser asks the gate whether this actor may read this account.
func (a *app) getUser(c *gin.Context) {
	ctx := c.Request.Context()
	if _, err := a.gate.Get(ctx, actor(c), interlock.Ref{Machine: "account", ID: c.Param("id")}); err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	u, err := readUser(ctx, a.db, c.Param("id"))
	answer(c, http.StatusOK, u, err)
}

func (a *app) getUsers(c *gin.Context) {
	users, err := a.listUsers(c.Request.Context(), c.Query("status"))
	answer(c, http.StatusOK, gin.H{"users": users}, err)
}

func (a *app) getNotices(c *gin.Context) {
	list, err := a.messages(c.Request.Context(),
		`SELECT transition, recipient, message FROM messages WHERE recipient = $1 ORDER BY transition`, administrators)
	notices := make([]string, len(list))
	for i, m := range list {
		notices[i] = m.text
	}
	answer(c, http.StatusOK, gin.H{"notices": notices}, err)
}

// postLogin answers a session's token.
func (a *app) postLogin(c *gin.Context) {
	var in struct {
		Email    string `json:"email"`
		Password string `json:"password"`
	}
	if err := middleware.DecodeJSON(c, &in); err != nil {
		middleware.WriteProblem(c, err)
		return
	}
	token, err := a.login(c.Request.Context(), in.Email, in.Password)
	if err == nil && token == "" {
		err = errLogin
	}
	answer(c, http.StatusOK, gin.H{"token": token}, err)
}

// admins lets administrators pass: lists are the application's own, not the gate's.
func admins(c *gin.Context) {
	for _, role := range actor(c).Roles {
		if role == "admin" {
			return
		}
	}
	middleware.WriteProblem(c, errAdmins)
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
