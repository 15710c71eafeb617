package main

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/interlock-go/interlock"
)

func (p *program) keys() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Create, list and revoke API keys of services on a running server", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
	cmd.AddCommand(p.keysCreate(), p.keysList(), p.keysRevoke())
	return cmd
}

func (p *program) keysCreate() *cobra.Command {
	var a api
	var life time.Duration
	cmd := &cobra.Command{
		Use:   "create NAME",
		Short: "Make a key for a service and print it, once",
		Long: `Make a key for a service and print it, once: it is made here, and the server gets a
hash of it. Who asks with it is the actor key~NAME; grant it what it needs:
interlock roles grant key~NAME ROLE. To change a key without a gap, create another
one of the same name, and revoke the former.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, id, hash := interlock.NewAPIKey()
			in := map[string]any{"id": id, "name": args[0], "hash": hex.EncodeToString(hash)}
			if life < 0 {
				return fmt.Errorf("--for %s: want a time to come, or 0 for ever", life)
			}
			if life > 0 {
				in["expires_at"] = time.Now().Add(life).UTC().Format(time.RFC3339)
			}
			body, err := json.Marshal(in)
			if err != nil {
				return err
			}
			answer, err := a.send(cmd.Context(), http.MethodPost, "/v1/keys", nil, body)
			if err != nil {
				return err
			}
			fmt.Fprintln(p.err, printable(strings.TrimSpace(string(answer)))) // so that stdout is the key alone
			_, err = fmt.Fprintln(p.out, key)
			return err
		},
	}
	cmd.Flags().DurationVar(&life, "for", 90*24*time.Hour, "how long it holds; 0: until it is revoked")
	a.flags(cmd)
	return cmd
}

func (p *program) keysList() *cobra.Command {
	var a api
	cmd := &cobra.Command{
		Use: "list", Short: "List the keys, revoked and expired ones too", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			body, err := a.call(cmd.Context(), http.MethodGet, "/v1/keys", nil)
			if err != nil {
				return err
			}
			return p.printKeys(body)
		},
	}
	a.flags(cmd)
	return cmd
}

func (p *program) printKeys(body []byte) error {
	var list struct {
		Keys []struct {
			ID        string     `json:"id"`
			Actor     string     `json:"actor"`
			CreatedBy string     `json:"created_by"`
			CreatedAt time.Time  `json:"created_at"`
			ExpiresAt *time.Time `json:"expires_at"`
			RevokedBy *string    `json:"revoked_by"`
			RevokedAt *time.Time `json:"revoked_at"`
		} `json:"keys"`
	}
	if err := json.Unmarshal(body, &list); err != nil {
		return fmt.Errorf("the server's answer can't be read: %w", err)
	}
	for _, k := range list.Keys {
		state := "holds until it is revoked"
		switch {
		case k.RevokedAt != nil && k.RevokedBy != nil:
			state = "revoked " + k.RevokedAt.Format(time.RFC3339) + " by " + *k.RevokedBy
		case k.ExpiresAt != nil && !time.Now().Before(*k.ExpiresAt):
			state = "expired " + k.ExpiresAt.Format(time.RFC3339)
		case k.ExpiresAt != nil:
			state = "holds until " + k.ExpiresAt.Format(time.RFC3339)
		}
		fmt.Fprintln(p.out, printable(fmt.Sprintf("%s  %-20s  created %s by %s  %s", k.ID, k.Actor, k.CreatedAt.Format(time.RFC3339), k.CreatedBy, state)))
	}
	return nil
}

func (p *program) keysRevoke() *cobra.Command {
	var a api
	cmd := &cobra.Command{
		Use: "revoke ID", Short: "Revoke a key; answers when it lets nobody in any more", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body, err := a.call(cmd.Context(), http.MethodDelete, "/v1/keys/"+url.PathEscape(args[0]), nil)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(p.out, printable(strings.TrimSpace(string(body))))
			return err
		},
	}
	a.flags(cmd)
	return cmd
}
