package middleware

import (
	"bytes"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/internal/jsonvalue"
)

const maxDepth = 32

// DecodeJSON reads the request's body, one JSON object, into v, strictly: it
// refuses repeated, unknown and case-folded members, trailing data, invalid
// UTF-8, a depth over 32, a body over Config.MaxBody (64 KiB). Numbers in an any
// are json.Number. The error is a [*Problem] with status 400, 413 or 415.
func DecodeJSON(c *gin.Context, v any) error {
	return decode(c, v, false)
}

// decode leaves v as it is where there is no body and there need be none.
func decode(c *gin.Context, v any, optional bool) (err error) {
	jsonvalue.Borrowed(func(buffer []byte) []byte {
		body, failed := readBody(c, buffer)
		if err = failed; err == nil {
			err = decodeBody(c.Request.Header, body, v, optional)
		}
		return body
	})
	return err
}

// decodeBody keeps nothing of body.
func decodeBody(h http.Header, body []byte, v any, optional bool) error {
	switch {
	case len(body) == 0 && optional:
		return nil
	case len(body) == 0:
		return &Problem{Code: codeMalformed, Detail: "The body is empty; want a JSON object."}
	}
	if err := checkMedia(h); err != nil {
		return err
	}
	if quick, ok := v.(interface{ ReadJSON(*jsonvalue.Reader) bool }); ok && quick.ReadJSON(jsonvalue.Read(string(body))) {
		return nil
	}
	if err := checkShape(body); err != nil {
		return err
	}
	if err := json.Unmarshal(body, v, strict); err != nil {
		return misfit(err)
	}
	return nil
}

// readBody reads the whole body behind what buffer holds, which is nothing.
func readBody(c *gin.Context, buffer []byte) ([]byte, error) {
	if c.Request.Body == nil {
		return buffer, nil
	}
	limit := settingsOf(c).maxBody
	if c.Request.ContentLength > limit {
		return buffer, tooLong(limit) // without waiting for it
	}
	from := io.Reader(c.Request.Body)
	if c.Request.ContentLength < 0 {
		from = http.MaxBytesReader(c.Writer, c.Request.Body, limit)
	}
	body, err := readAll(from, buffer, c.Request.ContentLength, limit)
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return body, tooLong(tooLarge.Limit)
	case err != nil:
		return body, &Problem{Code: codeMalformed, Detail: "The body could not be read to its end.", Cause: err}
	}
	return body, nil
}

// readAll is io.ReadAll of what says how long it is, or doesn't (-1). It stops past limit.
func readAll(r io.Reader, body []byte, length, limit int64) ([]byte, error) {
	body = slices.Grow(body, int(max(length, 511)+1)) // one more finds the end without growing
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case int64(len(body)) > limit:
			return body[:limit], &http.MaxBytesError{Limit: limit}
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return body, err
		case len(body) == cap(body):
			body = append(body, 0)[:len(body)]
		}
	}
}

func tooLong(limit int64) error {
	return &Problem{Code: codeTooLarge, Detail: fmt.Sprintf("The body is longer than %d bytes.", limit)}
}

func checkMedia(h http.Header) error {
	if len(h["Content-Encoding"]) > 0 {
		return &Problem{Code: codeMediaType, Detail: "Content-Encoding is not taken; send the body as it is."}
	}
	types := h["Content-Type"]
	if len(types) != 1 {
		return &Problem{Code: codeMediaType, Detail: "Want one Content-Type: application/json."}
	}
	if types[0] == "application/json" {
		return nil
	}
	name, params, err := mime.ParseMediaType(types[0])
	if err != nil || name != "application/json" && name != "application/merge-patch+json" {
		return &Problem{Code: codeMediaType}
	}
	if cs, ok := params["charset"]; ok && !strings.EqualFold(cs, "utf-8") {
		return &Problem{Code: codeMediaType, Detail: "The charset of JSON is UTF-8."}
	}
	return nil
}

// checkShape reads every token once: the decoder itself refuses repeated names,
// invalid UTF-8 and lone surrogates, but stops at a depth of 10,000 only.
func checkShape(body []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(body))
	if k := dec.PeekKind(); k != '{' && k != 0 {
		return &Problem{Code: codeMalformed, Detail: "Want a JSON object, got " + kindName(k) + "."}
	}
	for first := true; ; first = false {
		_, err := dec.ReadToken()
		switch {
		case errors.Is(err, io.EOF) && !first:
			return nil
		case errors.Is(err, io.EOF):
			return &Problem{Code: codeMalformed, Detail: "The body is blank; want a JSON object."}
		case err != nil:
			return misfit(err)
		case dec.StackDepth() > maxDepth:
			return &Problem{Code: codeMalformed, Errors: []fsm.FieldError{{Pointer: string(dec.StackPointer()), Message: fmt.Sprintf("deeper than %d", maxDepth)}}}
		case dec.StackDepth() == 0 && len(bytes.TrimLeft(body[dec.InputOffset():], " \t\r\n")) > 0:
			return &Problem{Code: codeMalformed, Detail: fmt.Sprintf("There is more after the object, at byte %d.", dec.InputOffset())}
		}
	}
}

var strict = json.JoinOptions(json.RejectUnknownMembers(true), exactNumbers)

var exactNumbers = json.WithUnmarshalers(json.UnmarshalFromFunc(func(dec *jsontext.Decoder, v *any) error {
	if dec.PeekKind() != '0' {
		return errors.ErrUnsupported
	}
	n, err := dec.ReadValue()
	if err == nil {
		*v = stdjson.Number(n)
	}
	return err
}))

// misfit says in the caller's words what the decoder said in Go's.
func misfit(err error) *Problem {
	var syntax *jsontext.SyntacticError
	var semantic *json.SemanticError
	at, message := "", "not JSON"
	switch {
	case errors.As(err, &syntax):
		at = string(syntax.JSONPointer)
		if errors.Is(syntax.Err, jsontext.ErrDuplicateName) {
			message = "stands twice in its object"
		} else {
			message = fmt.Sprintf("not JSON, at byte %d", syntax.ByteOffset)
		}
	case errors.As(err, &semantic) && errors.Is(semantic.Err, json.ErrUnknownName):
		at, message = string(semantic.JSONPointer), "no such member (names are case-sensitive)"
	case errors.As(err, &semantic):
		at, message = string(semantic.JSONPointer), "doesn't fit"
		if want := goName(semantic.GoType); want != "" && semantic.JSONKind != 0 {
			message = "is " + kindName(semantic.JSONKind) + "; want " + want
		}
	}
	return &Problem{Code: codeMalformed, Errors: []fsm.FieldError{{Pointer: at, Message: message}}}
}

func kindName(k jsontext.Kind) string {
	switch k {
	case 'n':
		return "null"
	case 't', 'f':
		return "a boolean"
	case '"':
		return "a string"
	case '0':
		return "a number"
	case '{':
		return "an object"
	case '[':
		return "an array"
	}
	return "not JSON"
}

func goName(t reflect.Type) string {
	if t == nil {
		return ""
	}
	switch t.Kind() {
	case reflect.Pointer:
		return goName(t.Elem())
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "a boolean"
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "an array"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return "a whole number"
	}
	return ""
}
