// Package cli is the command line of the program: commands, flags, environment and configuration
// file, progress, the summary and exit codes. It is the only user of urfave/cli, which only parses
// the arguments: its printing, exiting and environment handling are disabled, because it exits from
// inside a command, treats an empty variable as a value, and silently ignores flags after an
// argument (all observed in v2.27.7).
package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"strings"
	_ "time/tzdata" // the account's zone must work on machines without zone files

	"github.com/urfave/cli/v2"
)

const program = "convoso-archiver"

// Env is the environment of a run of the program.
type Env struct {
	Stdin   io.Reader // lists for flags that read stdin; nil for none
	Stdout  io.Writer // results only
	Stderr  io.Writer // progress, logs and errors; bars only on a terminal
	Environ []string  // in the format of os.Environ
}

// process is one run of the program.
type process struct {
	args    []string // without the program's name
	leading []string // the arguments before the flags, for commands that have some
	stdin   io.Reader
	stdout  *results
	screen  *screen // stderr
	env     environment

	works   bool         // the command does more than print
	restore func()       // restores the signal handling changed for works; may be nil
	logger  *slog.Logger // of a command with a log, once its settings are read
	talk    output       // settings of that log
}

// command is one command of the program.
type command struct {
	name        string
	usage       string // one line
	arguments   string // in the help, after the flags
	about       string // in the help, before the flags
	examples    []example
	settings    []setting
	words       []string // possible arguments, for completion
	leads       int      // number of leading arguments that may be anywhere among the flags
	environment bool     // its settings have variables and keys
	exitCodes   bool     // the help lists them
	works       bool     // the command does more than print
	run         func(ctx context.Context, p *process, in input) outcome
}

// input is the parsed command line of a command. It holds err and all readable flags, because a
// command with --json reports err in JSON too.
type input struct {
	flags values
	args  []string
	err   error // a mistake in the arguments
}

func commands() []command {
	return []command{
		archiveCommand(), verifyCommand(), reportCommand(),
		findCommand(), exportCommand(), serveCommand(),
		lockCommand(), holdCommand(), eraseCommand(),
		sealCommand(), auditCommand(), rebuildCommand(),
		doctorCommand(), deployCommand(),
		demoCommand(), completionCommand(), versionCommand(), helpCommand(),
	}
}

func commandNames() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	return names
}

// Run runs the program with the arguments after its name, and returns the exit code. When ctx ends,
// a command stops cleanly; a *[SignalError] as the context's cause determines the code. Errors are
// printed here, and only here.
func Run(ctx context.Context, args []string, env Env) int {
	p := &process{args: ownHelp(args), stdin: env.Stdin, screen: &screen{base: env.Stderr}, env: parseEnvironment(env.Environ)}
	p.stdout = &results{base: env.Stdout, width: widthOf(env.Stdout, p.env)}
	p.screen.hide(p.env[tokenVariable])
	var result outcome
	speaker := program
	p.args, p.leading = takeLeading(p.args)
	app := p.app(func(name string, o outcome) { speaker, result = name, o })
	defer func() {
		if p.restore != nil {
			p.restore()
		}
	}()
	if err := app.RunContext(ctx, append([]string{program}, p.args...)); err != nil {
		// Commands return their outcome, so this point means that the arguments contain no command.
		asJSON := flagsWithin(args, outputSettings()).isOn("json")
		if strings.HasPrefix(err.Error(), "No help topic") { // a word after --help
			err = misuse("leave it out", "unexpected argument after --help")
		}
		result = p.refuse(judge(err, nil, false), asJSON)
	}
	return p.finish(speaker, result)
}

// ownHelp answers "help --help", because the library treats a command of this name as its own and
// would print the help of the program.
func ownHelp(args []string) []string {
	if len(args) == 2 && args[0] == "help" && slices.Contains([]string{"--help", "-help", "-h", "--h"}, args[1]) {
		return []string{"help", "help"}
	}
	return args
}

// takeLeading extracts the arguments of a command that may be anywhere among its flags, as in "deploy systemd
// --last 7d": the library would treat everything after them as arguments.
func takeLeading(args []string) (rest, leading []string) {
	i := slices.IndexFunc(commands(), func(c command) bool { return len(args) > 0 && c.name == args[0] })
	if i < 0 || commands()[i].leads == 0 {
		return args, nil
	}
	rest = args[:1:1]
	for at := 1; at < len(args); at++ {
		word := args[at]
		s, known := named(commands()[i].settings, strings.TrimLeft(word, "-"))
		switch {
		case word == "--" || len(leading) == commands()[i].leads:
			return append(rest, args[at:]...), leading
		case !strings.HasPrefix(word, "-"):
			leading = append(leading, word)
		case known && s.kind != toggle && at+1 < len(args):
			rest = append(rest, word, args[at+1])
			at++ // its value
		default:
			rest = append(rest, word)
		}
	}
	return rest, leading
}

// app translates the commands for the library.
func (p *process) app(done func(name string, o outcome)) *cli.App {
	app := &cli.App{
		Name:                      program,
		Usage:                     aboutProgram,
		Description:               programHelp(p.helpWidth()),
		CustomAppHelpTemplate:     helpTemplate,
		Writer:                    p.stdout,
		ErrWriter:                 p.screen,
		HideHelp:                  true, // its help command would make "archive help" a valid command
		HideHelpCommand:           true,
		HideVersion:               true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true,
		BashComplete:              p.completeWith(command{words: commandNames(), settings: programSettings()}),
		ExitErrHandler:            func(*cli.Context, error) {}, // the default would exit the process
		Flags:                     libraryFlags(programSettings()),
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return usageProblem(err, programSettings())
		},
		Action: func(c *cli.Context) error {
			if c.Bool("version") {
				done(program, outcome{unwritten: writeVersion(p.stdout, false)})
				return nil
			}
			return unknownCommand(c.Args().Slice())
		},
	}
	for _, cmd := range commands() {
		settings := append(slices.Clone(cmd.settings), helpSetting())
		app.Commands = append(app.Commands, &cli.Command{
			Name:               cmd.name,
			Usage:              cmd.usage,
			Description:        cmd.ofEngine(p.leading).helpText(p.helpWidth()),
			CustomHelpTemplate: helpTemplate,
			HideHelp:           true,
			HideHelpCommand:    true,
			Flags:              libraryFlags(settings),
			BashComplete:       p.completeWith(cmd),
			OnUsageError: func(c *cli.Context, err error, _ bool) error {
				in := input{flags: flagsWithin(p.args, cmd.settings), args: p.leading, err: usageProblems(err, p.args[1:], settings)}
				done(cmd.name, cmd.run(c.Context, p, in))
				return nil
			},
			Action: func(c *cli.Context) error {
				in := input{flags: givenFlags(c, cmd.settings), args: append(slices.Clone(p.leading), c.Args().Slice()...)}
				if cmd.arguments == "" && len(in.args) > 0 {
					in.err = strayArgument(in.args[0], in.flags, cmd.settings)
				}
				if cmd.works {
					p.works, p.restore = true, outliveReaders()
				}
				done(cmd.name, cmd.run(c.Context, p, in))
				return nil
			},
		})
	}
	return app
}

func helpSetting() setting {
	return setting{name: "help", kind: toggle, flagOnly: true, usage: "show this help"}
}

func programSettings() []setting {
	return []setting{{name: "version", kind: toggle, flagOnly: true, usage: "show the version"}, helpSetting()}
}

// libraryFlags translates settings. Values are strings for the library, so that the same code
// parses a value from every source.
func libraryFlags(settings []setting) []cli.Flag {
	var flags []cli.Flag
	for _, s := range settings {
		var aliases []string
		switch s.name {
		case "help":
			aliases = []string{"h"}
		case "null":
			aliases = []string{"0"}
		}
		switch s.kind {
		case toggle:
			flags = append(flags, &cli.BoolFlag{Name: s.name, Usage: s.usage, Aliases: aliases})
		case list, once:
			flags = append(flags, &cli.StringSliceFlag{Name: s.name, Usage: s.usage})
		default:
			flags = append(flags, &cli.StringFlag{Name: s.name, Usage: s.usage, TakesFile: s.isPath()})
		}
	}
	return flags
}

// givenFlags returns the settings set on the command line.
func givenFlags(c *cli.Context, settings []setting) values {
	flags := values{}
	for _, s := range settings {
		if !c.IsSet(s.name) {
			continue
		}
		g := given{origin: "--" + s.name, source: onCommandLine}
		switch s.kind {
		case toggle:
			g.items = []string{strconv.FormatBool(c.Bool(s.name))}
		case list, once:
			g.items = splitItems(s, c.StringSlice(s.name)) // which does not split values of kind once
		default:
			g.items = []string{c.String(s.name)}
		}
		flags[s.name] = g
	}
	return flags
}

// usageProblems is like usageProblem, for all unknown flags; the library reports only the first.
func usageProblems(err error, args []string, settings []setting) error {
	if !strings.HasPrefix(err.Error(), unknownToLibrary) {
		return usageProblem(err, settings)
	}
	var problems error
	for at := 0; at < len(args) && args[at] != "--"; at++ {
		if !strings.HasPrefix(args[at], "-") || args[at] == "-" {
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(args[at], "-"), "=")
		switch s, known := named(settings, name); {
		case known && s.kind != toggle && !hasValue:
			at++
		case !known && name != "h" && name != "0":
			problems = errors.Join(problems, unknownFlag(name, settings))
		}
	}
	return cmp.Or(problems, usageProblem(err, settings))
}

const unknownToLibrary = "flag provided but not defined: -"

// usageProblem translates the library's errors. It omits values, which the standard library's text
// contains, because a value may be a misplaced secret.
func usageProblem(err error, settings []setting) error {
	said := err.Error()
	if name, ok := strings.CutPrefix(said, unknownToLibrary); ok {
		return unknownFlag(name, settings)
	}
	if name, ok := strings.CutPrefix(said, "flag needs an argument: -"); ok {
		return misuse("write --"+strings.TrimLeft(name, "-")+" and its value", "--%s: the value is missing", strings.TrimLeft(name, "-"))
	}
	if _, rest, ok := strings.Cut(said, "for -"); ok {
		name, _, _ := strings.Cut(rest, ":")
		return misuse("give true or false, or no value", "--%s: the value is neither true nor false", name)
	}
	return misuse("see --help", "the flags cannot be read")
}

func unknownFlag(name string, settings []setting) error {
	name = strings.TrimLeft(name, "-")
	if isTokenName(name) {
		return misuse("set "+tokenVariable+" or give --auth-token-file", "unknown flag --%s: no flag takes the token, because other users could see it", name)
	}
	var candidates []string
	for _, s := range settings {
		candidates = append(candidates, s.name)
	}
	for _, meant := range guessedFlags()[name] {
		if meant == "dest" && goesToStdout(name, candidates) {
			return misuse("the result goes to stdout: add > FILE to write it to a file", "unknown flag --%s", name)
		}
		if slices.Contains(candidates, meant) {
			return misuse("use --"+meant, "unknown flag --%s", name)
		}
	}
	try := didYouMean(name, candidates, "--")
	if slices.Contains(notOfExport(), name) && slices.Contains(candidates, "excel") {
		try = "export writes every matching call; find has this flag"
	}
	if try == "" {
		try = "see --help"
	}
	if longNumber.MatchString(name) {
		return misuse(try, "unknown flag (not shown, because it may be personal data)")
	}
	dashes := "--"
	if len(name) == 1 { // as probably typed
		dashes = "-"
	}
	return misuse(try, "unknown flag %s%s", dashes, name)
}

// longNumber matches what may be a telephone number.
var longNumber = regexp.MustCompile(`\d{7,}`)

// harmless matches a word without personal data, or a time of day.
var harmless = regexp.MustCompile(`^(?:[a-z][a-z_./-]{0,19}|\d{1,2}:\d{2}(?::\d{2})?)$`)

// strayArgument repeats the argument only if it is unlikely to be a name, a telephone number or the
// token. Flags after an argument are not parsed, so they are an error too.
func strayArgument(arg string, flags values, settings []setting) error {
	if strings.HasPrefix(arg, "-") {
		return misuse("leave -- out", "flags after -- have no effect")
	}
	try := `quote values with spaces, like --start-time "2025-05-01 13:00:00"`
	_, given := flags["dest"]
	if _, takes := named(settings, "dest"); !takes {
		try = "leave it out"
	} else if !given {
		try = "leave it out, or give the archive as --dest"
	}
	asksForPerson := slices.ContainsFunc([]string{"first-name", "last-name", "phone-number", "number-dialed"}, func(name string) bool {
		_, ok := flags[name]
		return ok
	})
	if asksForPerson || !harmless.MatchString(arg) {
		return misuse(try, "unexpected argument (not shown, because it may be personal data)")
	}
	return misuse(try, "unexpected argument %q", arg)
}

func unknownCommand(args []string) error {
	if len(args) == 0 {
		return misuse("try "+program+" --help, or "+program+" demo", "no command is given")
	}
	try := didYouMean(args[0], commandNames(), "")
	if try == "" {
		try = "see " + program + " --help"
	}
	if longNumber.MatchString(args[0]) {
		return misuse(try, "unknown command (not shown, because it may be personal data)")
	}
	return misuse(try, "unknown command %q", args[0])
}

func versionCommand() command {
	return command{
		name: "version", usage: "show the version and how it was built",
		examples: []example{
			{"version, commit and Go of this build", program + " version"},
			{"one line", program + " --version"},
			{"the version alone, for other programs", program + " version --json | jq -r .version"},
		},
		settings: []setting{{name: "json", kind: toggle, usage: "print one JSON object", flagOnly: true}},
		run: func(_ context.Context, p *process, in input) outcome {
			asJSON := in.flags.isOn("json")
			if in.err != nil {
				return p.refuse(judge(in.err, nil, false), asJSON)
			}
			return outcome{unwritten: writeVersion(p.stdout, asJSON)}
		},
	}
}

func helpCommand() command {
	return command{
		name: "help", usage: "show the help of the program or of a command", arguments: "[COMMAND]", words: []string{"archive", "verify", "report", "find", "export", "serve", "lock", "hold", "erase", "seal", "audit", "rebuild", "doctor", "deploy", "demo", "completion", "version"},
		examples: []example{
			{"all commands", program + " help"},
			{"the flags of a command, with examples", program + " help archive"},
			{"the same as a manual page", program + " help --man archive | man -l -"},
		},
		settings: []setting{{name: "man", kind: toggle, flagOnly: true, usage: "print a manual page for man -l or mandoc"}},
		run: func(_ context.Context, p *process, in input) outcome {
			text, err := helpOn(in.args, in.flags.isOn("man"), p.helpWidth())
			if err = cmp.Or(in.err, err); err != nil {
				return judge(err, nil, false)
			}
			_, err = io.WriteString(p.stdout, text)
			return outcome{unwritten: err}
		},
	}
}
