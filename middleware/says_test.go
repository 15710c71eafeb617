package middleware_test

import (
	"encoding/json"
	"strings"
)

// says shortens an answer to what an example is about.
func says(body string) string {
	var a struct {
		Code    string          `json:"code"`
		State   string          `json:"state"`
		Legal   json.RawMessage `json:"legal_events"`
		Reasons json.RawMessage `json:"reasons"`
	}
	_ = json.Unmarshal([]byte(body), &a)
	switch {
	case a.Code != "":
		return strings.Join(strings.Fields(a.Code+" "+string(a.Legal)+string(a.Reasons)), " ")
	case a.State != "":
		return a.State
	}
	return body
}
