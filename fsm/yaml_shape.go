package fsm

import (
	"iter"
	"strings"

	"github.com/goccy/go-yaml/token"
)

// checkShape bounds nesting, the length of maps and the number of absent values
// before the YAML library sees them: it recurses on the first two, and takes
// quadratic time on the last two.
func checkShape(r *report, tokens token.Tokens) bool {
	s := shape{}
	for _, t := range tokens {
		s.nesting(t)
		s.entries(t)
		s.absent(t)
		if foreign(r, t) {
			return false
		}
		switch {
		case len(s.brackets) > maxDepth || s.run > maxDepth:
			r.errorf(placeOf(t), "too_deep", "lists and maps are nested more than %d deep here", maxDepth)
			return false
		case s.longest > maxEntries:
			r.errorf(placeOf(t), "too_large", "a map has more than %d entries here; split the machine", maxEntries)
			return false
		case s.nulls > maxEntries:
			r.errorf(placeOf(t), "too_large", "more than %d values are left empty in this file; split the machine", maxEntries)
			return false
		}
	}
	return true
}

// foreign reports the parts of YAML that are not part of the format.
func foreign(r *report, t *token.Token) bool {
	switch t.Type {
	case token.MappingKeyType:
		r.errorf(placeOf(t), "complex_key", "keys that begin with `?` are not part of the format; write `key: value`")
	case token.TagType:
		r.errorf(placeOf(t), "tag", "tags (%s) are not part of the format; write a text in quotes and a number without", t.Value)
	case token.DirectiveType:
		r.errorf(placeOf(t), "directive", "directives (%%) are not part of the format; leave the line out")
	case token.MergeKeyType:
		r.errorf(placeOf(t), "merge_key", "merge keys (<<) are not part of the format; write the entries out, or repeat a whole value by an alias")
	case token.DocumentEndType:
		r.errorf(placeOf(t), "document_end", "the mark of a document's end (...) is not part of the format; leave the line out")
	default:
		return false
	}
	return true
}

type shape struct {
	brackets  []bracket
	line, run int // a line, and how much nests on it without brackets
	open      []blockMap
	longest   int
	nulls     int
}

type bracket struct {
	isMap, colon, key bool // key and colon: seen since the last comma
}

// blockMap is a map without braces: the column of its keys, and how many.
type blockMap struct{ column, entries int }

func (s *shape) nesting(t *token.Token) {
	switch t.Type {
	case token.MappingStartType, token.SequenceStartType:
		s.brackets = append(s.brackets, bracket{isMap: t.Type == token.MappingStartType})
	case token.SequenceEntryType, token.AnchorType, token.MappingValueType:
		if t.Position.Line != s.line {
			s.line, s.run = t.Position.Line, 0
		}
		if len(s.brackets) == 0 {
			s.run++
		}
	}
}

// entries counts the keys of maps without braces. A list entry or a key closes
// the maps that are further to the right.
func (s *shape) entries(t *token.Token) {
	if len(s.brackets) > 0 || t.Type != token.MappingValueType && t.Type != token.SequenceEntryType {
		return
	}
	column := t.Position.Column
	if t.Type == token.MappingValueType && t.Prev != nil {
		column = t.Prev.Position.Column
	}
	for len(s.open) > 0 && s.open[len(s.open)-1].column > column {
		s.open = s.open[:len(s.open)-1]
	}
	if t.Type == token.SequenceEntryType {
		return
	}
	if len(s.open) == 0 || s.open[len(s.open)-1].column < column {
		s.open = append(s.open, blockMap{column: column})
	}
	last := &s.open[len(s.open)-1]
	last.entries++
	s.longest = max(s.longest, last.entries)
}

// absent counts values that aren't there: `a:` and `- ` with nothing behind
// them, and keys in braces without a colon.
func (s *shape) absent(t *token.Token) {
	inner := (*bracket)(nil)
	if n := len(s.brackets); n > 0 {
		inner = &s.brackets[n-1]
	}
	switch t.Type {
	case token.CollectEntryType, token.MappingEndType, token.SequenceEndType:
		if inner == nil {
			return
		}
		if inner.isMap && inner.key && !inner.colon {
			s.nulls++
		}
		inner.colon, inner.key = false, false
		if t.Type != token.CollectEntryType {
			s.brackets = s.brackets[:len(s.brackets)-1]
		}
	case token.MappingValueType, token.SequenceEntryType:
		if inner != nil {
			inner.colon = true
		}
		if nothingFollows(t) {
			s.nulls++
		}
	case token.MappingStartType, token.SequenceStartType:
		if n := len(s.brackets); n > 1 {
			s.brackets[n-2].key = true
		}
	default:
		if inner != nil {
			inner.key = true
		}
	}
}

func nothingFollows(t *token.Token) bool {
	next := t.Next
	if next == nil {
		return true
	}
	switch next.Type {
	case token.CollectEntryType, token.MappingEndType, token.SequenceEndType, token.CommentType, token.DocumentEndType, token.DocumentHeaderType:
		return true
	}
	column := t.Position.Column
	if t.Type == token.MappingValueType && t.Prev != nil {
		column = t.Prev.Position.Column
	}
	return next.Position.Line > t.Position.Line && next.Position.Column <= column &&
		(next.Type != token.SequenceEntryType || next.Position.Column < column || t.Type == token.SequenceEntryType)
}

// checkComplete refuses a file of which the library's scanner left something
// out, as it does with a tag at the end: nothing may be dropped in silence.
func checkComplete(r *report, tokens token.Tokens, source string) bool {
	var scanned strings.Builder
	for _, t := range tokens {
		scanned.WriteString(t.Origin)
	}
	kept := make([]rune, 0, scanned.Len())
	for c := range significant(scanned.String()) {
		kept = append(kept, c)
	}
	i := 0
	for c, at := range significant(source) {
		if i++; i > len(kept) || kept[i-1] != c {
			r.errorf(at, "yaml_syntax", "what begins here can't be read reliably; write it in quotes or leave it out")
			return false
		}
	}
	return true
}

// significant are the characters of a text that a scanner must keep, with their
// places: neither white space nor what may belong to an escape.
func significant(text string) iter.Seq2[rune, place] {
	return func(yield func(rune, place) bool) {
		at, escape := place{1, 0}, false
		for _, c := range text {
			at.column++
			switch {
			case c == '\n':
				at = place{at.line + 1, 0}
			case c == ' ' || c == '\t':
			case c == '\\' || escape && strings.ContainsRune("uUx0123456789abcdefABCDEF", c):
				escape = true
			default:
				escape = false
				if !yield(c, at) {
					return
				}
			}
		}
	}
}
