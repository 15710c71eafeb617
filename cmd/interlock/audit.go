package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
	"github.com/interlock-go/interlock/archive"
	"github.com/interlock-go/interlock/checkpoint"
	"github.com/interlock-go/interlock/store/sqlite"
)

func (p *program) audit() *cobra.Command {
	cmd := &cobra.Command{Use: "audit", Short: "Verify, sign, export, erase and archive history", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.auditVerify(), p.auditKeygen(), p.auditCheckpoint(), p.auditExport(), p.auditErase(), p.auditArchive())
	return cmd
}

func (p *program) auditVerify() *cobra.Command {
	var where, publicKey, archived string
	var checkpoints []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "verify --store STORE",
		Short: "Walk every chain of history; exit 1 at a row that doesn't hold",
		Long: `Walk every chain of history, offline and reading only: the columns against the
exact bytes, the bytes against the hashes, each row against the one before, each
instance and actor against the newest row, and the database's guards against changes.
A chain that was cut off, rebuilt or removed together with its instance looks like
a shorter history: --checkpoint finds that. It takes notes of "interlock audit
checkpoint", or folders of them, whose lists of heads lie beside them, and
--public-key the key that signed them, or its file (.pub).
Rows that were archived are counted; --archive, the folder of "interlock audit
archive", looks at them too. Where a checkpoint knows such rows, it exits 1 without.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if err := existing(where); err != nil {
				return err
			}
			if (len(checkpoints) > 0) != (publicKey != "") {
				return errors.New("--checkpoint and --public-key go together: a note proves as much as the key that signed it")
			}
			st, err := openStore(cmd.Context(), where, sqlite.ReadOnly())
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, st.close()) }()
			store := st.Store
			if archived != "" {
				folder, err := archive.Read(archived)
				if err != nil {
					return err
				}
				if folder.Files() == 0 {
					fmt.Fprintf(p.err, "%s: no rows were archived there yet\n", archived)
				}
				store = folder.Over(store)
			}
			bar := p.progress("rows verified")
			report, err := verify(cmd.Context(), store, publicKey, checkpoints, bar.set)
			bar.end()
			if err != nil {
				return err
			}
			return p.printVerify(st.name, &report, asJSON)
		},
	}
	cmd.Flags().StringVar(&where, "store", "", "sqlite:PATH or a postgres:// URL (required)")
	cmd.Flags().StringArrayVar(&checkpoints, "checkpoint", nil, "signed note, or folder of them; may be given again")
	cmd.Flags().StringVar(&publicKey, "public-key", "", "key that signed the checkpoints, or its file")
	cmd.Flags().StringVar(&archived, "archive", "", "folder of archived rows")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cobra.CheckErr(cmd.MarkFlagRequired("store"))
	return cmd
}

func verify(ctx context.Context, store interlock.Store, publicKey string, checkpoints []string, progress func(int64)) (checkpoint.Report, error) {
	if len(checkpoints) == 0 {
		report, err := interlock.Verify(ctx, store, progress)
		return checkpoint.Report{VerifyReport: report}, err
	}
	key, err := checkpoint.ReadVerifier(publicKey)
	if err != nil {
		return checkpoint.Report{}, err
	}
	return checkpoint.Verify(ctx, store, key, checkpoints, progress)
}

// skew is a duration for people; a replayed log keeps its own times.
func skew(ms int64) string {
	if days := ms / (24 * time.Hour).Milliseconds(); days > 1 {
		return fmt.Sprintf("%d days (as after the replay of a log)", days)
	}
	return (time.Duration(ms) * time.Millisecond).String()
}

func (p *program) printVerify(name string, r *checkpoint.Report, asJSON bool) error {
	if asJSON {
		if err := writeJSON(p, r); err != nil {
			return err
		}
	} else {
		for _, f := range r.Bad {
			fmt.Fprintln(p.out, printable("bad: "+f.String()))
		}
		state := "intact"
		switch {
		case len(r.Bad) > 0:
			state = "BROKEN"
		case !r.OK():
			state = "NOT PROVED"
		}
		if r.InOrder {
			fmt.Fprintf(p.out, "%d checkpoints are signed and in order", r.Checkpoints)
			if r.OK() {
				fmt.Fprintf(p.out, "; they mark %d chains", r.Witnessed)
			}
			fmt.Fprintln(p.out)
		}
		fmt.Fprintf(p.out, "%s: history is %s: %d rows in %d chains, %d with erased texts, clock skew at most %s\n",
			name, state, r.Rows, r.Chains, r.Erased, skew(r.SkewMS))
		if r.Archived > 0 {
			fmt.Fprintf(p.out, "%d more rows are archived and were not looked at (--archive does); files: %s\n", r.Archived, printable(strings.Join(r.ArchiveFiles, ", ")))
		}
		if r.Unseen > 0 {
			fmt.Fprintf(p.out, "%d marks of checkpoints are of such rows and were held against nothing, so this proves nothing of their chains: give --archive DIR\n", r.Unseen)
		}
	}
	if !r.OK() {
		return &finding{}
	}
	return nil
}
