package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	"github.com/caarlos0/env/v11"
	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// durationKeys are the keys whose value is a length of time: of one that can't be
// read as such, the library's error doesn't say where it stands.
var durationKeys = []string{"wait_limit", "drain_timeout", "max_stale", "leeway", "max_lifetime", "every"}

// misfit tells what is wrong with a file in the file's own words: the key, and
// what would be right. It quotes no value, since a secret may stand there.
func misfit(err error, text string) string {
	var mismatch *yaml.TypeError
	var overflow *yaml.OverflowError
	var shape *yaml.UnexpectedNodeTypeError
	var placed yaml.Error
	switch {
	case errors.As(err, &mismatch):
		return at(mismatch.Token) + "want " + wanted(mismatch.DstType)
	case errors.As(err, &overflow):
		return at(overflow.Token) + "want " + wanted(overflow.DstType) + ", and none that large"
	case errors.As(err, &shape):
		return at(shape.Token) + "want a " + shape.Expected.YAMLName()
	case errors.As(err, &placed):
		return yaml.FormatError(err, false, false) // no excerpt: a secret may stand beside
	}
	for _, tk := range lexer.Tokenize(text) {
		if _, wrong := time.ParseDuration(tk.Value); wrong != nil && slices.Contains(durationKeys, keyOf(tk)) {
			return at(tk) + "want " + wanted(reflect.TypeFor[time.Duration]())
		}
	}
	return err.Error()
}

// at is the place of a value, and its key where it stands beside one.
func at(tk *token.Token) string {
	if tk == nil {
		return ""
	}
	if tk.Type == token.MappingValueType && tk.Prev != nil {
		tk = tk.Prev // of keys below each other the first colon stands for all
	}
	place := fmt.Sprintf("[%d:%d] ", tk.Position.Line, tk.Position.Column)
	if key := keyOf(tk); key != "" {
		place += key + ": "
	}
	return place
}

func keyOf(value *token.Token) string {
	if colon := value.Prev; colon != nil && colon.Type == token.MappingValueType && colon.Prev != nil {
		return colon.Prev.Value
	}
	return ""
}

func wanted(t reflect.Type) string {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return "a duration like 1s"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case t.Kind() == reflect.Int:
		return "a whole number"
	case t.Kind() == reflect.String:
		return "text"
	case t.Kind() == reflect.Slice:
		return "a list"
	}
	return "keys of its own"
}

// misfits names the variables that can't be read, by reading each alone: the
// library's error knows the Go field only.
func misfits(err error, environ map[string]string) error {
	params, failed := env.GetFieldParamsWithOptions(&config{}, env.Options{Prefix: envPrefix, Environment: environ})
	if failed != nil {
		return failed
	}
	var wrong []error
	for _, p := range params {
		value, set := environ[p.Key]
		if !set {
			continue
		}
		var parse env.ParseError
		alone := env.Options{Prefix: envPrefix, Environment: map[string]string{p.Key: value}}
		if errors.As(env.ParseWithOptions(&config{}, alone), &parse) {
			wrong = append(wrong, fmt.Errorf("%s: want %s", p.Key, wanted(parse.Type)))
		}
	}
	if len(wrong) == 0 {
		return fmt.Errorf("environment: %w", err)
	}
	return errors.Join(wrong...)
}
