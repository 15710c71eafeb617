package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (p *program) epoch() *cobra.Command {
	cmd := &cobra.Command{Use: "epoch", Short: "Show the epochs of a store, or begin a new one after a restore", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.epochShow(), p.epochBump())
	return cmd
}

func (p *program) epochShow() *cobra.Command {
	var where string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "show --store STORE",
		Short: "List the epochs that a store has had, the present one last",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := existing(where); err != nil {
				return err
			}
			st, err := openStore(cmd.Context(), where, sqlite.ReadOnly())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			all, err := st.Store.(interface {
				Epochs(ctx context.Context) ([]interlock.Epoch, error)
			}).Epochs(cmd.Context())
			if err != nil {
				return err
			}
			if asJSON {
				return writeJSON(p, all)
			}
			for _, e := range all {
				p.printEpoch(e)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cobra.CheckErr(cmd.MarkFlagRequired("store"))
	return cmd
}

func (p *program) epochBump() *cobra.Command {
	var where, reason, witness string
	cmd := &cobra.Command{
		Use:   "bump --store STORE --reason TEXT",
		Short: "Begin a new epoch: what was decided or cached before counts no more",
		Long: `Begin a new epoch, after a backup was put back or a standby that may lack commits
was promoted. A server refuses to start on such a store until then: what was
acknowledged after the backup is missing, a role that was revoked since is back.
Look at what is missing first, revoke again what has to be revoked, then bump.

It waits for commits in flight. Nothing that was decided, or that stands in a
cache, under a former epoch is committed or read any more; running servers take
the new one up by themselves. History stays as it is, and still verifies. SQLite:
stop the server first.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := existing(where); err != nil {
				return err
			}
			st, err := openWitnessed(cmd.Context(), where, witness)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			e, err := st.Store.(interface {
				BumpEpoch(ctx context.Context, reason string) (interlock.Epoch, error)
			}).BumpEpoch(cmd.Context(), reason)
			if err != nil {
				return err
			}
			p.printEpoch(e)
			return nil
		},
	}
	cmd.Flags().StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	cmd.Flags().StringVar(&reason, "reason", "", "why; kept in the store (required)")
	cmd.Flags().StringVar(&witness, "witness", "", "witness file to write anew, where the server's configuration names one")
	for _, name := range []string{"store", "reason"} {
		cobra.CheckErr(cmd.MarkFlagRequired(name))
	}
	return cmd
}

func (p *program) printEpoch(e interlock.Epoch) {
	fmt.Fprintf(p.out, "%s  since %s  %s\n", e.ID, e.Since.Format(time.RFC3339), printable(e.Reason))
}
