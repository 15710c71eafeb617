package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (p *program) audit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Prove that history is whole", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.auditVerify())
	return cmd
}

func (p *program) auditVerify() *cobra.Command {
	var where string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Walk every chain of history; exit 1 at a row that doesn't hold",
		Long: `Walk every chain of history, offline and reading only: the columns against the
exact bytes, the bytes against the hashes, each row against the one before, each
instance and actor against the newest row. A chain that was cut off, rebuilt or removed
together with its instance can't be told from a shorter history.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := existing(where); err != nil {
				return err
			}
			st, err := openStore(cmd.Context(), where, sqlite.ReadOnly())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			bar := p.progress("rows verified")
			report, err := interlock.Verify(cmd.Context(), st.Store, bar.set)
			bar.end()
			if err != nil {
				return err
			}
			return p.printVerify(st.name, &report, asJSON)
		},
	}
	cmd.Flags().StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cobra.CheckErr(cmd.MarkFlagRequired("store"))
	return cmd
}

// skew is a duration for people; a replayed log keeps its own times.
func skew(ms int64) string {
	if days := ms / (24 * time.Hour).Milliseconds(); days > 1 {
		return fmt.Sprintf("%d days (as after the replay of a log)", days)
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

func (p *program) printVerify(name string, r *interlock.VerifyReport, asJSON bool) error {
	if asJSON {
		if err := writeJSON(p, r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Bad {
			fmt.Fprintln(p.out, printable("bad: "+f.String()))
		}
		state := "intact"
		if !r.OK() {
			state = "BROKEN"
		}
		fmt.Fprintf(p.out, "%s: history is %s: %d rows in %d chains, %d with erased texts, clock skew at most %s\n",
			name, state, r.Rows, r.Chains, r.Erased, skew(r.SkewMS))
	}
	if !r.OK() {
		return &finding{}
	}
	return nil
}
