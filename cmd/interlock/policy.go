package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock/fsm"
	"github.com/interlock-go/interlock/policies"
)

func (p *program) policy() *cobra.Command {
	cmd := &cobra.Command{Use: "policy", Short: "Check and test Rego policies", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.policyTest(), p.policyCheck())
	return cmd
}

func (p *program) policyTest() *cobra.Command {
	var run string
	var coverage, verbose, asJSON bool
	cmd := &cobra.Command{
		Use:   "test DIR",
		Short: "Run the tests of *_test.rego, with the rule index on and off; exit 1 when one fails",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			report, err := policies.Test(cmd.Context(), policies.Dir(args[0]), policies.TestOptions{Run: run, Coverage: coverage})
			if err != nil {
				return err
			}
			failed := report.Failed()
			if asJSON {
				if err := writeJSON(p, report); err != nil {
					return err
				}
			} else {
				p.printTests(report, verbose)
			}
			if len(failed) > 0 {
				return &finding{}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&run, "run", "", "only tests whose package and name match this regular expression")
	cmd.Flags().BoolVar(&coverage, "coverage", false, "report the percentage of lines that the tests reach")
	cmd.Flags().BoolVarP(&verbose, "verbose", "v", false, "print every test")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (p *program) printTests(report policies.TestReport, verbose bool) {
	for _, t := range report.Results {
		if t.Pass && !verbose {
			continue
		}
		state := "PASS"
		if !t.Pass {
			state = "FAIL"
		}
		fmt.Fprintf(p.out, "%s %s:%d %s.%s (%s)\n", state, t.File, t.Line, t.Package, t.Name, t.Duration.Round(time.Microsecond))
		if t.Output != "" {
			fmt.Fprintln(p.out, printable(t.Output))
		}
	}
	for file, percent := range report.Coverage {
		fmt.Fprintf(p.out, "coverage %5.1f %%  %s\n", percent, file)
	}
	failed := len(report.Failed())
	fmt.Fprintf(p.out, "%d passed, %d failed\n", len(report.Results)-failed, failed)
}

func (p *program) policyCheck() *cobra.Command {
	var machines []string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "check DIR --machines DIR|FILE",
		Short: "Compile policies against machines and tell errors and findings; exit 1 on errors",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return p.runPolicyCheck(cmd.Context(), args[0], machines, asJSON)
		},
	}
	cmd.Flags().StringSliceVar(&machines, "machines", nil, "machine files, or folders of them (required)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cobra.CheckErr(cmd.MarkFlagRequired("machines"))
	return cmd
}

func (p *program) runPolicyCheck(ctx context.Context, dir string, places []string, asJSON bool) error {
	files, err := machineFiles(places)
	if err != nil {
		return err
	}
	var machines []*fsm.Machine
	for _, f := range files {
		m, err := fsm.Load(f)
		if err != nil {
			return err
		}
		machines = append(machines, m)
	}
	report, err := policies.Check(ctx, policies.Dir(dir), machines)
	if err != nil {
		return err
	}
	if asJSON {
		if err := writeJSON(p, report); err != nil {
			return err
		}
	} else {
		for _, d := range report.Errors {
			fmt.Fprintln(p.out, printable("error: "+d.String()))
		}
		for _, d := range report.Findings {
			fmt.Fprintln(p.out, printable("finding: "+d.String()))
		}
		fmt.Fprintf(p.out, "%s, %s, %s\n", counted(len(machines), "machine"), counted(len(report.Errors), "error"), counted(len(report.Findings), "finding"))
	}
	if len(report.Errors) > 0 {
		return &finding{}
	}
	return nil
}

func counted(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return fmt.Sprintf("%d %s", n, what)
}

func writeJSON(p *program, v any) error {
	enc := json.NewEncoder(p.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}
