// Command table prints what the proofs of a whole run reported:
//
//	go run ./internal/prove/table REPORT
//
// It fails when a claim has no row, when a row holds violations, and when a
// proof tried less than it promises.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"text/tabwriter"

	"github.com/interlock-go/interlock/internal/prove"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: table REPORT")
		os.Exit(2)
	}
	f, err := os.Open(os.Args[1])
	if err == nil {
		err = print(os.Stdout, f, prove.Claims)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "table:", err)
		os.Exit(1)
	}
}

// print writes the table; its error names everything that is wrong with it.
func print(w io.Writer, report io.Reader, claims map[string]string) error {
	rows, err := read(report)
	if err != nil {
		return err
	}
	var wrong []error
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(tw, "claim\ttried\tviolations\tso the rate is, at 95 %, below\twhat")
	for _, claim := range slices.Sorted(maps.Keys(claims)) {
		found := rows[claim]
		delete(rows, claim)
		if len(found) == 0 {
			wrong = append(wrong, fmt.Errorf("%s: no proof reported", claim))
			fmt.Fprintf(tw, "%s\t-\t-\t-\tNOT PROVED: %s\n", claim, claims[claim])
		}
		for _, r := range found {
			if r.Violations != 0 || r.Tried < r.Least {
				wrong = append(wrong, fmt.Errorf("%s: %d violations in %d, of %d promised", claim, r.Violations, r.Tried, r.Least))
			}
			fmt.Fprintf(tw, "%s\t%d\t%d\t%s\t%s\n", claim, r.Tried, r.Violations, bound(r), text(claims[claim], r.Note))
		}
	}
	for _, claim := range slices.Sorted(maps.Keys(rows)) {
		wrong = append(wrong, fmt.Errorf("%s: not among the claims", claim))
	}
	return errors.Join(append(wrong, tw.Flush())...)
}

func read(report io.Reader) (map[string][]prove.Row, error) {
	rows := map[string][]prove.Row{}
	for lines := bufio.NewScanner(report); lines.Scan(); {
		var r prove.Row
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return nil, fmt.Errorf("the report: %w", err)
		}
		rows[r.Claim] = append(rows[r.Claim], r)
	}
	return rows, nil
}

// bound is the rule of three: 0 in N says that the rate is below 3/N at 95 %.
func bound(r prove.Row) string {
	if r.Violations != 0 || r.Tried == 0 {
		return "-"
	}
	return fmt.Sprintf("%.1g", min(1, 3/float64(r.Tried)))
}

func text(claim, note string) string {
	if note == "" {
		return claim
	}
	return claim + " (" + note + ")"
}
