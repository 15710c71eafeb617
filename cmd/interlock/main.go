// Command interlock is the gate as one program: a server, a demonstration, and
// the tools for those who write machines and policies and for those who audit.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"
	"golang.org/x/term"
)

// version is set by the linker.
var version = "development"

// Exit codes. A finding is what a command was asked to look for: an invalid
// machine, a failed test, a broken chain, a refusal.
const (
	exitFinding = 1
	exitUsage   = 2
)

func main() {
	gin.SetMode(gin.ReleaseMode) // a setting of the process, so the program's to make
	os.Exit(run(untilSignal(os.Interrupt, syscall.SIGTERM), os.Args[1:], os.Stdout, os.Stderr))
}

// untilSignal ends with the first signal. By then the next one ends the process
// at once: signal.NotifyContext would still swallow one that comes right behind.
func untilSignal(signals ...os.Signal) context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan os.Signal, 1)
	signal.Notify(first, signals...)
	go func() {
		<-first
		signal.Stop(first)
		cancel()
	}()
	return ctx
}

// program is what commands share: where they write, and whether a person watches.
type program struct {
	out, err io.Writer
	watched  bool // stderr is a terminal
}

// finding ends a command with exit code 1; what was found is written already.
type finding struct{ msg string }

func (f *finding) Error() string { return f.msg }

// run is the program without the process around it. A second interrupt kills.
func run(ctx context.Context, args []string, out, errOut io.Writer) int {
	p := &program{out: out, err: errOut}
	if f, ok := errOut.(*os.File); ok {
		p.watched = term.IsTerminal(int(f.Fd()))
	}
	cmd := p.command()
	cmd.SetArgs(args)
	cmd.SetOut(out)
	cmd.SetErr(errOut)
	err := cmd.ExecuteContext(ctx)
	var found *finding
	switch {
	case err == nil:
		return 0
	case errors.As(err, &found):
		if found.msg != "" {
			fmt.Fprintln(p.err, printable(found.msg))
		}
		return exitFinding
	}
	fmt.Fprintln(p.err, "interlock: "+strings.TrimPrefix(printable(err.Error()), "interlock: ")) // by now without the secrets of a configuration
	return exitUsage
}

func (p *program) command() *cobra.Command {
	cmd := &cobra.Command{
		Use:           "interlock",
		Short:         "The gate that every change of business state goes through",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.CompletionOptions.HiddenDefaultCmd = true
	cmd.AddCommand(p.demo(), p.serve(), p.config(), p.health(), p.validate(), p.graph(), p.policy(), p.explain(), p.replay(), p.audit(), p.epoch(), p.roles(), p.keys(), p.version())
	explainArgs(cmd)
	return cmd
}

// explainArgs makes a command that gets the wrong arguments say which it takes,
// and one that doesn't exist name the nearest.
func explainArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			err := check(cmd, args)
			if err == nil {
				return nil
			}
			if !cmd.HasSubCommands() {
				return fmt.Errorf("%w\nusage: %s", err, cmd.UseLine())
			}
			cmd.SuggestionsMinimumDistance = 2
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				return fmt.Errorf("%w; did you mean %q?", err, near[0])
			}
			return fmt.Errorf("%w; %s --help lists what there is", err, cmd.CommandPath())
		}
	}
	for _, c := range cmd.Commands() {
		explainArgs(c)
	}
}

func (p *program) version() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(p.out, "interlock "+version)
			return err
		},
	}
}

// printable keeps what came from files and stores from steering a terminal.
func printable(s string) string {
	out := []rune(s)
	for i, r := range out {
		if r < ' ' && r != '\n' && r != '\t' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			out[i] = '�'
		}
	}
	return string(out)
}
