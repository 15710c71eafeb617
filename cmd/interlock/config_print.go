package main

import (
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/spf13/cobra"
)

func (p *program) config() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Look at the configuration", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.configPrint())
	return cmd
}

func (p *program) configPrint() *cobra.Command {
	var flags config
	cmd := &cobra.Command{
		Use:   "print",
		Short: "Print what serve would run by, without secrets; exit 2 when it would not start by it",
		Long: `Print what serve would run by: the defaults, the file, the variables and the flags
in one. Secrets are left out. What is incomplete or unsafe is told afterwards.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, wrong := loadConfig(cmd, flags, environ())
			p.err = redacting(p.err, c.secrets()...)
			text, err := yaml.Marshal(c)
			if err != nil {
				return err
			}
			if _, err := fmt.Fprint(redacting(p.out, c.secrets()...), string(text)); err != nil {
				return err
			}
			return wrong
		},
	}
	configFlags(cmd, &flags)
	return cmd
}
