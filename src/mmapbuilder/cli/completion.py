"""`mmapbuilder completion`: what shells need to complete the command, from its own arguments."""

import argparse
from argparse import ArgumentParser, Namespace
from collections.abc import Callable

from .ends import OK
from .screen import Screen

NAME = "completion"
SUMMARY = "print what a shell needs to complete this command"
EXAMPLES = [
    ('eval "$(mmapbuilder completion bash)"', "in ~/.bashrc"),
    ("mmapbuilder completion zsh > ~/.zfunc/_mmapbuilder", "in a folder of zsh's fpath"),
    ("mmapbuilder completion fish > ~/.config/fish/completions/mmapbuilder.fish", "for fish"),
]


def add_arguments(parser: ArgumentParser) -> None:
    """Add what the command takes."""
    parser.add_argument("shell", choices=tuple(_SHELLS), help="the shell")


def run(arguments: Namespace, screen: Screen) -> int:
    """Run the command."""
    print(_SHELLS[arguments.shell](arguments.parser), end="")
    return OK


def commands_of(parser: ArgumentParser) -> dict[str, ArgumentParser]:
    """Return the parsers of the commands by name."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def options_of(parser: ArgumentParser) -> list[argparse.Action]:
    """Return the options of a parser."""
    return [action for action in parser._actions if action.option_strings]


def positionals_of(parser: ArgumentParser) -> list[argparse.Action]:
    """Return what a parser takes without a name."""
    return [
        action
        for action in parser._actions
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction)
    ]


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def _completes(action: argparse.Action) -> str:
    return getattr(action, "completes", "")


def _words(parser: ArgumentParser) -> str:
    return " ".join(name for action in options_of(parser) for name in action.option_strings)


# ---- bash -------------------------------------------------------------------------------


def _bash(parser: ArgumentParser) -> str:
    commands = commands_of(parser)
    cases = []
    for name, each in commands.items():
        values = "".join(_bash_value(action) for action in options_of(each) if _takes_value(action))
        rest = _bash_rest(each)
        cases.append(
            f"    {name})\n"
            f'        case "$before" in\n{values}        esac\n'
            f'        case "$word" in\n'
            f'        -*) COMPREPLY=($(compgen -W "{_words(each)}" -- "$word")) ;;\n'
            f"        *) {rest} ;;\n"
            f"        esac ;;\n"
        )
    names = " ".join(commands)
    own = [action for action in options_of(parser) if _takes_value(action)]
    valued = "|".join(name for action in own for name in action.option_strings)
    values = "".join(map(_bash_value, own))
    return f"""\
# Completion of mmapbuilder for bash. Made by `mmapbuilder completion bash`.
_mmapbuilder() {{
    local word="${{COMP_WORDS[COMP_CWORD]}}" before="${{COMP_WORDS[COMP_CWORD - 1]}}"
    local command="" skip="" each
    COMPREPLY=()
    for each in "${{COMP_WORDS[@]:1:COMP_CWORD - 1}}"; do
        if [ -n "$skip" ]; then skip=""; continue; fi
        case "$each" in
        {valued}) skip=1 ;;
        -*) ;;
        *) command="$each"; break ;;
        esac
    done
    case "$command" in
    "")
        case "$before" in
{values}        esac
        COMPREPLY=($(compgen -W "{names} {_words(parser)}" -- "$word")) ;;
{"".join(cases)}    esac
}}
complete -F _mmapbuilder -o filenames mmapbuilder
"""


def _bash_value(action: argparse.Action) -> str:
    pattern = "|".join(action.option_strings)
    if action.choices is not None:
        words = " ".join(map(str, action.choices))
        reply = f'COMPREPLY=($(compgen -W "{words}" -- "$word"))'
    elif _completes(action) == "files":
        reply = 'COMPREPLY=($(compgen -f -- "$word"))'
    elif _completes(action) == "directories":
        reply = 'COMPREPLY=($(compgen -d -- "$word"))'
    else:
        reply = "COMPREPLY=()"
    return f"        {pattern}) {reply}; return ;;\n"


def _bash_rest(parser: ArgumentParser) -> str:
    for action in positionals_of(parser):
        if action.choices is not None:
            words = " ".join(map(str, action.choices))
            return f'COMPREPLY=($(compgen -W "{words}" -- "$word"))'
    return 'COMPREPLY=($(compgen -f -- "$word"))'


# ---- zsh --------------------------------------------------------------------------------


def _quoted(text: str) -> str:
    return text.replace("'", "'\\''")


def _zsh_text(text: "str | None") -> str:
    plain = (text or "").replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]")
    return _quoted(plain.replace(":", "\\:"))


def _zsh_value(action: argparse.Action) -> str:
    if action.choices is not None:
        return f"({' '.join(map(str, action.choices))})"
    return {"files": "_files", "directories": "_files -/"}.get(_completes(action), " ")


def _zsh_option(action: argparse.Action) -> list[str]:
    value = ""
    if _takes_value(action):
        value = f":{_zsh_text(str(action.metavar or action.dest))}:{_zsh_value(action)}"
    help_text = _zsh_text(action.help)
    return [f"'{name}[{help_text}]{value}'" for name in action.option_strings]


def _zsh(parser: ArgumentParser) -> str:
    commands = commands_of(parser)
    listed = "\n".join(
        f"        '{name}:{_zsh_text(each.description)}'" for name, each in commands.items()
    )
    cases = []
    for name, each in commands.items():
        specs = [spec for action in options_of(each) for spec in _zsh_option(action)]
        for action in positionals_of(each):
            many = "*" if action.nargs == "+" else ""
            what = _zsh_text(str(action.metavar or action.dest))
            specs.append(f"'{many}:{what}:{_zsh_value(action)}'")
        lines = " \\\n            ".join(specs)
        cases.append(f"    {name})\n        _arguments \\\n            {lines} ;;\n")
    own = " \\\n        ".join(
        spec for action in options_of(parser) for spec in _zsh_option(action)
    )
    return f"""\
#compdef mmapbuilder
# Completion of mmapbuilder for zsh. Made by `mmapbuilder completion zsh`.
_mmapbuilder() {{
    local -a commands
    local context state state_descr line
    typeset -A opt_args
    commands=(
{listed}
    )
    _arguments -C \\
        {own} \\
        '1: :->command' \\
        '*:: :->arguments'
    if [[ $state == command ]]; then
        _describe 'command' commands
        return
    fi
    case "$words[1]" in
{"".join(cases)}    esac
}}
if [[ "$funcstack[1]" == _mmapbuilder ]]; then
    _mmapbuilder "$@"
else
    compdef _mmapbuilder mmapbuilder
fi
"""


# ---- fish -------------------------------------------------------------------------------


def _fish_text(text: "str | None") -> str:
    return (text or "").replace("\\", "\\\\").replace("'", "\\'")


def _fish_option(action: argparse.Action, condition: str) -> str:
    names = " ".join(
        f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
        for name in action.option_strings
    )
    value = ""
    if action.choices is not None:
        value = f" -x -a '{' '.join(map(str, action.choices))}'"
    elif _takes_value(action):
        value = {"files": " -r -F", "directories": " -x -a '(__fish_complete_directories)'"}.get(
            _completes(action), " -x"
        )
    return f"complete -c mmapbuilder -n '{condition}' {names}{value} -d '{_fish_text(action.help)}'"


def _fish(parser: ArgumentParser) -> str:
    commands = commands_of(parser)
    lines = [
        "# Completion of mmapbuilder for fish. Made by `mmapbuilder completion fish`.",
        "complete -c mmapbuilder -n __fish_use_subcommand -f",
    ]
    lines += [_fish_option(action, "__fish_use_subcommand") for action in options_of(parser)]
    for name, each in commands.items():
        lines.append(
            f"complete -c mmapbuilder -n __fish_use_subcommand -a {name} "
            f"-d '{_fish_text(each.description)}'"
        )
    for name, each in commands.items():
        condition = f"__fish_seen_subcommand_from {name}"
        lines += [_fish_option(action, condition) for action in options_of(each)]
        for action in positionals_of(each):
            if action.choices is not None:
                words = " ".join(map(str, action.choices))
                lines.append(f"complete -c mmapbuilder -n '{condition}' -f -a '{words}'")
    return "\n".join(lines) + "\n"


_SHELLS: dict[str, Callable[[ArgumentParser], str]] = {"bash": _bash, "zsh": _zsh, "fish": _fish}
