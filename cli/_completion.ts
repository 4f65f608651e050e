/**
 * Completion for shells, made from the table of verbs.
 *
 * @module
 */
import type { Flag } from "./_flags.ts";
import { UsageError } from "./_values.ts";
import { flagsOf, VERBS } from "./_verbs.ts";

const SHELLS = ["bash", "zsh"];

/** The script that a shell sources to complete the command lines of the tool. */
export function completion([shell, ...others]: readonly string[]): string {
  if (shell === undefined || !SHELLS.includes(shell) || others.length > 0) {
    throw new UsageError(
      `completion needs the name of a shell: ${SHELLS.join(" or ")}`,
    );
  }
  return shell === "bash" ? bash() : zsh();
}

const NAMES = [...VERBS.map(({ name }) => name), "completion", "help"];

/** All flags of all verbs, each once. */
function allFlags(): Flag[] {
  const flags = new Map(
    VERBS.flatMap(flagsOf).map((flag) => [flag.name, flag]),
  );
  return [...flags.values()];
}

function wordsOf({ name, short }: Flag): string[] {
  return short === undefined ? [`--${name}`] : [`-${short}`, `--${name}`];
}

function bash(): string {
  const withChoices = allFlags().flatMap(({ name, choices }) =>
    choices === undefined ? [] : [
      `    --${name}) COMPREPLY=($(compgen -W "${
        choices.join(" ")
      }" -- "$word")); return ;;`,
    ]
  );
  const files = allFlags().filter(({ isFile }) => isFile)
    .map(({ name }) => `--${name}`);
  const verbs = VERBS.map((verb) =>
    `    ${verb.name}) words="${flagsOf(verb).flatMap(wordsOf).join(" ")}" ;;`
  );
  return `# Completion for bash: source <(framed completion bash)
_framed() {
  local word=\${COMP_WORDS[COMP_CWORD]} words=""
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${NAMES.join(" ")}" -- "$word"))
    return
  fi
  case \${COMP_WORDS[COMP_CWORD - 1]} in
${withChoices.join("\n")}
    ${files.join("|")}) COMPREPLY=($(compgen -f -- "$word")); return ;;
  esac
  case \${COMP_WORDS[1]} in
${verbs.join("\n")}
    completion) words="${SHELLS.join(" ")}" ;;
    help) words="${VERBS.map(({ name }) => name).join(" ")}" ;;
  esac
  if [ "\${COMP_WORDS[1]}" = replay ] && [ "$COMP_CWORD" -eq 2 ]; then
    COMPREPLY=($(compgen -f -- "$word"))
  else
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  fi
}
complete -o filenames -F _framed framed
`;
}

/** Text for single quotes within an argument of `_arguments`. */
function quoted(text: string): string {
  return text.replaceAll("\\", "\\\\").replace(/[[\]:]/g, "\\$&")
    .replaceAll("'", "'\\''");
}

function zshFlag(
  { name, short, value, choices, isFile, isMultiple, help }: Flag,
): string {
  const action = isFile
    ? "_files"
    : choices === undefined
    ? " "
    : `(${choices.join(" ")})`;
  const argument = value === undefined ? "" : `:${quoted(value)}:${action}`;
  const rest = `'[${quoted(help)}]${argument}'`;
  const star = isMultiple ? "*" : "";
  return short === undefined
    ? `'${star}--${name}'${rest}`
    : `${
      isMultiple ? "'*'" : `'(-${short} --${name})'`
    }{-${short},--${name}}${rest}`;
}

function zsh(): string {
  const verbs = VERBS.map((verb) => {
    const args = verb.args.map((name, index) =>
      `'${index + 1}:${name}:${name === "FILE" ? "_files" : " "}'`
    );
    const lines = [...flagsOf(verb).map(zshFlag), ...args];
    return `    ${verb.name})\n      _arguments -s \\\n        ${
      lines.join(" \\\n        ")
    }\n      ;;`;
  });
  return `#compdef framed
# Completion for zsh: source <(framed completion zsh)
_framed() {
  local -a verbs=(
${
    VERBS.map(({ name, summary }) => `    '${name}:${quoted(summary)}'`).join(
      "\n",
    )
  }
    'completion:Print the completion for bash or zsh'
    'help:Show the flags of a verb, with examples'
  )
  if (( CURRENT == 2 )); then
    _describe verb verbs
    return
  fi
  local verb=$words[2]
  shift words
  (( CURRENT-- ))
  case $verb in
${verbs.join("\n")}
    completion) _values shell ${SHELLS.join(" ")} ;;
    help) _values verb ${VERBS.map(({ name }) => name).join(" ")} ;;
  esac
}
if [[ \${zsh_eval_context[-1]} == loadautofunc ]]; then
  _framed "$@"
else
  compdef _framed framed
fi
`;
}
