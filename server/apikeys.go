package server

import (
	"encoding/hex"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/middleware"
)

func (s *Server) listKeys(c *gin.Context, by interlock.Actor) error {
	if _, err := reading(c); err != nil {
		return err
	}
	keys, err := s.gate.APIKeys(c.Request.Context(), by)
	if err != nil {
		return err
	}
	rows := make([]keyJSON, 0, len(keys))
	for _, k := range keys {
		rows = append(rows, keyRow(k))
	}
	return answer(c, http.StatusOK, struct {
		Keys []keyJSON `json:"keys"`
	}{rows})
}

// addKey takes the hash of a key that the caller has made: the secret never
// comes here, so no log and no answer can show it.
func (s *Server) addKey(c *gin.Context, by interlock.Actor) error {
	if err := answersJSON(c); err != nil {
		return err
	}
	var in struct {
		ID      string  `json:"id"`
		Name    string  `json:"name"`
		Hash    string  `json:"hash"`
		Expires *string `json:"expires_at"`
	}
	if err := body(c, &in, false); err != nil {
		return err
	}
	k := interlock.APIKey{ID: in.ID, Name: in.Name}
	var wrong []fsm.FieldError
	var err error
	if k.Hash, err = hex.DecodeString(in.Hash); err != nil || strings.ToLower(in.Hash) != in.Hash {
		wrong = append(wrong, fsm.FieldError{Pointer: "/hash", Message: "want a SHA-256 as 64 hexadecimal digits in lower case"})
	}
	if in.Expires != nil {
		if k.Expires, err = parseTime(*in.Expires); err != nil {
			wrong = append(wrong, fsm.FieldError{Pointer: "/expires_at", Message: "want a time like 2026-01-31T12:00:00Z (RFC 3339), or null"})
		}
	}
	if wrong != nil {
		return &middleware.Problem{Code: codeInvalid, Stage: interlock.StageInput, Errors: wrong}
	}
	added, err := s.gate.AddAPIKey(c.Request.Context(), by, k)
	if err != nil {
		return err
	}
	return answer(c, http.StatusCreated, keyRow(added))
}

func (s *Server) revokeKey(c *gin.Context, by interlock.Actor) error {
	if _, err := reading(c); err != nil {
		return err
	}
	id, err := actorID(c)
	if err != nil {
		return err
	}
	revoked, err := s.gate.RevokeAPIKey(c.Request.Context(), by, id)
	if err != nil {
		return err
	}
	return answer(c, http.StatusOK, keyRow(revoked))
}

type keyJSON struct {
	ID        string  `json:"id"`
	Name      string  `json:"name"`
	Actor     string  `json:"actor"`
	CreatedBy string  `json:"created_by"`
	CreatedAt stamp   `json:"created_at"`
	ExpiresAt *stamp  `json:"expires_at"`
	RevokedBy *string `json:"revoked_by"`
	RevokedAt *stamp  `json:"revoked_at"`
}

func keyRow(k interlock.APIKey) keyJSON {
	never := func(t time.Time) *stamp {
		if t.IsZero() {
			return nil
		}
		at := stamp(t)
		return &at
	}
	return keyJSON{ID: k.ID, Name: k.Name, Actor: k.Actor().ID, CreatedBy: k.CreatedBy, CreatedAt: stamp(k.CreatedAt),
		ExpiresAt: never(k.Expires), RevokedBy: orNull(k.RevokedBy), RevokedAt: never(k.RevokedAt)}
}
