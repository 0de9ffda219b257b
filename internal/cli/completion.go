// The command completion: the scripts for each shell, and the words that they ask the program for.

package cli

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// The shells call the program with the words so far and this last argument, which the library
// understands, so the scripts contain no flags.
const completionFlag = "--generate-bash-completion"

// describeVariable requests a tab and an explanation after each word.
const describeVariable = "_CONVOSO_ARCHIVER_DESCRIBE"

const bashScript = `# bash completion for convoso-archiver; try: source <(convoso-archiver completion bash)
_convoso_archiver() {
    local cur="${COMP_WORDS[COMP_CWORD]}"
    local words=("${COMP_WORDS[@]:0:COMP_CWORD}")
    [[ "$cur" == -* ]] && words+=("$cur")
    COMPREPLY=($(compgen -W "$("${words[@]}" ` + completionFlag + ` 2>/dev/null)" -- "$cur"))
}
complete -o bashdefault -o default -F _convoso_archiver convoso-archiver
`

const zshScript = `#compdef convoso-archiver
# zsh completion for convoso-archiver; try: source <(convoso-archiver completion zsh)
_convoso_archiver() {
    local -a words_before found candidates shown
    local line word
    words_before=("${words[@]:0:$((CURRENT - 1))}")
    [[ "${words[CURRENT]}" == -* ]] && words_before+=("${words[CURRENT]}")
    found=("${(@f)$(` + describeVariable + `=1 "${words_before[@]}" ` + completionFlag + ` 2>/dev/null)}")
    for word in "${found[@]}"; do
        candidates+=("${word%%$'\t'*}")
        printf -v line '%-26s  %s' "${word%%$'\t'*}" "${${(M)word%$'\t'*}#$'\t'}"
        shown+=("${line[1,COLUMNS-1]}")
    done
    if [[ -n "${found[1]}" ]]; then
        compadd -l -d shown -- "${candidates[@]}"
    else
        _files
    fi
}
if [[ "$funcstack[1]" == "_convoso_archiver" ]]; then
    _convoso_archiver "$@"
else
    compdef _convoso_archiver convoso-archiver
fi
`

// fishScript requests words with explanations, which fish shows next to them, like zsh and PowerShell.
const fishScript = `# fish completion for convoso-archiver; try: convoso-archiver completion fish | source
function __convoso_archiver_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    if string match -q -- '-*' $current
        set -a words $current
    end
    set -l found (env ` + describeVariable + `=1 $words ` + completionFlag + ` 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\n' $found
    else
        __fish_complete_path $current
    end
end
complete -c convoso-archiver -f -a '(__convoso_archiver_complete)'
`

const powershellScript = `# PowerShell completion for convoso-archiver
# try: convoso-archiver completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName convoso-archiver -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)
    $words = @($commandAst.CommandElements | ForEach-Object { $_.ToString() })
    $program = $words[0]
    $before = @($words | Select-Object -Skip 1)
    if ($wordToComplete -and -not $wordToComplete.StartsWith('-')) {
        $before = @($before | Select-Object -SkipLast 1)
    }
    $env:` + describeVariable + ` = '1'
    try {
        $found = @(& $program @before ` + completionFlag + ` 2>$null)
    } finally {
        Remove-Item Env:` + describeVariable + `
    }
    $found | Where-Object { $_ -like "$wordToComplete*" } | ForEach-Object {
        $word, $about = $_.Split([char]9, 2)
        [System.Management.Automation.CompletionResult]::new($word, $word, 'ParameterValue', $(if ($about) { $about } else { $word }))
    }
}
`

func shells() []string { return []string{"bash", "fish", "powershell", "zsh"} }

func completionCommand() command {
	return command{
		name: "completion", usage: "print a script that completes commands and flags in a shell",
		arguments: "bash|fish|powershell|zsh", words: shells(),
		examples: []example{
			{"bash, for all sessions to come", `echo 'source <(convoso-archiver completion bash)' >> ~/.bashrc`},
			{"zsh, into a folder of $fpath", `convoso-archiver completion zsh > ~/.zsh/completions/_convoso-archiver`},
			{"fish", `convoso-archiver completion fish > ~/.config/fish/completions/convoso-archiver.fish`},
			{"PowerShell, for all sessions to come", `convoso-archiver completion powershell >> $PROFILE`},
		},
		run: func(_ context.Context, p *process, in input) outcome {
			script, err := completionScript(in.args)
			if err = cmp.Or(in.err, err); err != nil {
				return judge(err, nil, false)
			}
			_, err = io.WriteString(p.stdout, script)
			return outcome{unwritten: err}
		},
	}
}

func completionScript(args []string) (string, error) {
	try := "name one of " + strings.Join(shells(), ", ")
	switch {
	case len(args) == 0:
		return "", misuse(try, "the shell is missing")
	case len(args) > 1:
		return "", misuse(try, "there is more than one shell")
	}
	switch args[0] {
	case "bash":
		return bashScript, nil
	case "zsh":
		return zshScript, nil
	case "powershell":
		return powershellScript, nil
	case "fish":
		return fishScript, nil
	}
	return "", misuse(try, "unknown shell %q", args[0])
}

// completeWith prints what may follow the words so far: flags after a dash, the choices of a flag
// if it has some, otherwise the command's words.
func (p *process) completeWith(cmd command) cli.BashCompleteFunc {
	return func(*cli.Context) {
		for _, word := range completions(cmd, p.args) {
			if about := meaningOf(word, cmd); about != "" && p.env[describeVariable] != "" {
				word += "\t" + about
			}
			_, _ = fmt.Fprintln(p.stdout, word) // stdout stores the error
		}
	}
}

// meaningOf explains a command or a flag, and nothing else.
func meaningOf(word string, cmd command) string {
	if flag, ok := strings.CutPrefix(word, "--"); ok {
		s, _ := named(append(slices.Clone(cmd.settings), helpSetting()), flag)
		return s.usage
	}
	for _, c := range commands() {
		if c.name == word {
			return c.usage
		}
	}
	return ""
}

func completions(cmd command, args []string) []string {
	args = slices.DeleteFunc(slices.Clone(args), func(a string) bool { return a == completionFlag })
	last := ""
	if len(args) > 0 {
		last = args[len(args)-1]
	}
	if !strings.HasPrefix(last, "-") {
		return cmd.words
	}
	name := strings.TrimLeft(last, "-")
	settings := slices.Clone(cmd.settings)
	if _, ok := named(settings, "help"); !ok {
		settings = append(settings, helpSetting())
	}
	switch s, ok := named(settings, name); {
	case ok && s.kind == toggle: // it is complete, so the next word is requested
		return cmd.words
	case ok:
		return append(slices.Clone(s.choices), s.suggested...)
	}
	var words []string
	for _, s := range settings {
		flag := "--" + s.name
		if strings.HasPrefix(s.name, name) && !slices.Contains(args[:len(args)-1], flag) {
			words = append(words, flag)
		}
	}
	return words
}
