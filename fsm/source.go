package fsm

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits of a definition. They bound what a file of [MaxSize] can make the
// loader do; no sensible machine comes near them.
const (
	MaxSize = 1 << 20 // bytes of a definition file

	maxDepth    = 100     // nested lists and maps
	maxEntries  = 5_000   // of one map, so also states and events
	maxAliased  = 10_000  // values that aliases repeat
	maxErrors   = 50      // errors reported of one file
	maxEdges    = 200_000 // transitions of one machine
	maxCells    = 4 << 20 // states × events of one machine
	excerptSize = 120     // characters of a line shown in an excerpt
)

// report gathers what is wrong with one file.
type report struct {
	file     string
	lines    []string
	findings []Finding
	dropped  int
}

func newReport(file string, source []byte) *report {
	return &report{file: file, lines: strings.Split(string(source), "\n")}
}

// errorf records an error at a place of the file.
func (r *report) errorf(at place, code, format string, args ...any) {
	if len(r.findings) == maxErrors {
		r.dropped++
		return
	}
	r.findings = append(r.findings, r.finding(at, Error, code, printable(fmt.Sprintf(format, args...))))
}

// printable writes out what a terminal would act upon.
func printable(s string) string {
	var b strings.Builder
	for _, c := range s {
		if unicode.IsPrint(c) {
			b.WriteRune(c)
		} else {
			b.WriteString(strings.Trim(strconv.QuoteRune(c), "'"))
		}
	}
	return b.String()
}

func (r *report) failed() bool { return len(r.findings) > 0 }

// err is the gathered errors in order of position, nil when there are none.
func (r *report) err() error {
	if !r.failed() {
		return nil
	}
	sortFindings(r.findings)
	if r.dropped > 0 {
		r.findings = append(r.findings, Finding{
			Position: Position{File: r.file}, Severity: Error, Code: "more_errors",
			Message: fmt.Sprintf("%d more errors are not shown", r.dropped),
		})
	}
	return &LoadError{Findings: r.findings}
}

func (r *report) finding(at place, severity Severity, code, message string) Finding {
	return Finding{
		Position: r.position(at), Severity: severity, Code: code, Message: message, Excerpt: r.excerpt(at),
	}
}

func (r *report) position(at place) Position {
	return Position{File: r.file, Line: at.line, Column: at.column}
}

func sortFindings(findings []Finding) {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		if a.File != b.File {
			return strings.Compare(a.File, b.File)
		}
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
}

// excerpt is the line with its number, and a caret under the column.
func (r *report) excerpt(at place) string {
	if at.line < 1 || at.line > len(r.lines) {
		return ""
	}
	line := []rune(r.lines[at.line-1])
	column := min(max(at.column, 1), len(line)+1) - 1
	before, after := "", ""
	if start := column - excerptSize/2; start > 0 && len(line) > excerptSize {
		line, column, before = line[start:], column-start, "…"
	}
	if len(line) > excerptSize {
		line, after = line[:excerptSize], "…"
	}
	number := fmt.Sprintf("%4d | ", at.line)
	var text, pad strings.Builder
	text.WriteString(before)
	pad.WriteString(strings.Repeat(" ", utf8.RuneCountInString(before)))
	for i, c := range line {
		if c == '\t' || !unicode.IsPrint(c) {
			c = ' '
		}
		text.WriteRune(c)
		if i < column {
			pad.WriteString(blank(c))
		}
	}
	return number + strings.TrimRight(text.String()+after, " ") + "\n" +
		strings.Repeat(" ", len(number)-2) + "| " + pad.String() + "^"
}

// blank is what stands above the caret line under c: nothing under a mark that
// combines with its neighbour, two columns under wide East Asian characters.
func blank(c rune) string {
	switch {
	case unicode.Is(unicode.Mn, c):
		return ""
	case unicode.In(c, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul):
		return "  "
	default:
		return " "
	}
}
