package main

import (
	_ "embed" // the files below
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"nitrox/sources/all"
	"nitrox/sync/config"
)

//go:embed docs/mapping.md
var reference string

// schema prints what an editor needs to check and complete a mapping file.
func (p *program) schema(*cli.Context) error {
	text, err := config.Schema(all.Kinds, reference)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(p.stdout, string(text))
	return err
}

var (
	//go:embed docs/release/nitrox.bash
	forBash string
	//go:embed docs/release/_nitrox
	forZsh string
	//go:embed docs/release/nitrox.fish
	forFish string
)

func (p *program) completion(c *cli.Context) error {
	scripts := map[string]string{"bash": forBash, "zsh": forZsh, "fish": forFish}
	script, known := scripts[c.Args().First()]
	if !known || c.NArg() > 1 {
		return fmt.Errorf("completion takes the name of a shell: bash, zsh or fish")
	}
	_, err := io.WriteString(p.stdout, script)
	return err
}

// complete prints what can come next: the apps of the mapping where one is to be
// named, or else what package cli knows, which also looks at os.Args.
func (p *program) complete(c *cli.Context) {
	last := "" // the word before the cursor, and before --generate-bash-completion
	if len(os.Args) > 2 {
		last = os.Args[len(os.Args)-2]
	}
	if choices := strings.Split(c.Command.ArgsUsage, "|"); len(choices) > 1 {
		fmt.Fprintln(p.stdout, strings.Join(choices, "\n"))
		return
	}
	if last != "--app" && last != "--force" && (!strings.Contains(c.Command.ArgsUsage, "APP") || strings.HasPrefix(last, "-")) {
		cli.DefaultCompleteWithFlags(c.Command)(c)
		return
	}
	for _, name := range p.files(c).AppNames() {
		fmt.Fprintln(p.stdout, name)
	}
}
