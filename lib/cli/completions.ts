/** `cifra completions`: scripts that complete the table of commands in bash, zsh and fish. */
import { parse } from "./args.ts";
import { type Action, type Command, optionsOf, type Word } from "./command.ts";
import { COMMANDS, COMPLETIONS } from "./commands.ts";
import type { Option } from "./options.ts";
import type { Terminal } from "./terminal.ts";

/** Prints the script for a shell; returns the exit code. */
export function completions(args: readonly string[], terminal: Terminal): number {
  const [shell] = parse(COMPLETIONS, args).words;
  terminal.print(completionScript(shell as typeof COMPLETIONS["words"][0]["choices"][number]));
  return 0;
}

/** The script for a shell. */
export function completionScript(shell: typeof COMPLETIONS["words"][0]["choices"][number]): string {
  return { bash, zsh, fish }[shell]();
}

/** What an argument may be: one of these words, a path, or something that no shell can guess. */
type Guess = readonly string[] | "file" | "folder" | undefined;

function guessOption(option: Option): Guess {
  if (option.kind === "choice") return option.choices;
  return option.kind === "flag" ? undefined : option.access?.path;
}

function guessWord({ name, choices, isFile }: Word): Guess {
  if (name === "COMMAND") return COMMANDS.map((command) => command.name);
  return choices ?? (isFile ? "file" : undefined);
}

/** What comes first after a command: its actions, or its first word. */
function guessFirst({ actions, words: [word] = [] }: Command): Guess {
  return actions ? actions.rows.map(({ name }) => name) : word && guessWord(word);
}

// --- bash ---

function bash(): string {
  const names = COMMANDS.map(({ name }) => name).join(" ");
  return `# Completions of cifra for bash: source <(cifra completions bash)
_cifra() {
  local IFS=$' \\t\\n'
  local word=\${COMP_WORDS[COMP_CWORD]} option=\${COMP_WORDS[COMP_CWORD - 1]} words= path=
  # bash takes --suite=modern for three words.
  if [[ $word == "=" ]]; then
    word=
  elif [[ $option == "=" ]]; then
    option=\${COMP_WORDS[COMP_CWORD - 2]}
  fi
  if ((COMP_CWORD == 1)); then
    words="${names} --help --version"
  else
    case \${COMP_WORDS[1]} in
${COMMANDS.map(bashCommand).join("\n")}
    esac
  fi
  if [[ -n $path ]]; then
    local IFS=$'\\n'
    COMPREPLY=($(compgen "$path" -- "$word"))
    compopt -o filenames 2>/dev/null
  else
    COMPREPLY=($(compgen -W "$words" -- "$word"))
  fi
}
complete -F _cifra cifra`;
}

function bashCommand(command: Command): string {
  const options = optionsOf(command);
  const groups = new Map<string, string[]>();
  for (const [name, option] of Object.entries(options)) {
    if (option.kind === "flag") continue;
    const does = bashGuess(guessOption(option));
    groups.set(does, [...groups.get(does) ?? [], `--${name}`]);
  }
  const own = [...Object.keys(options), "help"].map((name) => `--${name}`).join(" ");
  const first = guessFirst(command);
  const files = command.actions?.rows.filter(({ words }) => words.some(({ isFile }) => isFile));
  return [
    `      ${command.name})`,
    "        case $option in",
    ...[...groups].map(([does, names]) => `          ${names.join(" | ")}) ${does} ;;`),
    ...(files?.length ? [`          ${files.map(nameOf).join(" | ")}) path=-f ;;`] : []),
    ...(Array.isArray(first)
      ? [`          ${command.name}) words="${[...first, own].join(" ")}" ;;`]
      : []),
    command.words?.some(({ isFile }) => isFile)
      ? `          *) [[ $word == -* ]] && words="${own}" || path=-f ;;`
      : `          *) words="${own}" ;;`,
    "        esac",
    "        ;;",
  ].join("\n");
}

function bashGuess(guess: Guess): string {
  if (guess === "file") return "path=-f";
  if (guess === "folder") return "path=-d";
  return `words="${(guess ?? []).join(" ")}"`;
}

function nameOf({ name }: Action): string {
  return name;
}

// --- zsh ---

function zsh(): string {
  const commands = COMMANDS.map(({ name, does }) =>
    quote(`${name}:${does.replaceAll(":", "\\:")}`)
  );
  return `#compdef cifra
# Completions of cifra for zsh: save them as _cifra in a folder of your $fpath
_cifra() {
  local context state state_descr line
  typeset -A opt_args
  local -a commands=(
${commands.map((line) => `    ${line}`).join("\n")}
  )
  _arguments -C '(- *)'{-h,--help}'[print help]' '(- *)--version[print the version]' \\
    '1:command:->command' '*::argument:->argument'
  case $state in
    command) _describe command commands ;;
    argument)
      case $line[1] in
${COMMANDS.map(zshCommand).join("\n")}
      esac
      ;;
  esac
}
if [[ $funcstack[1] == _cifra ]]; then _cifra "$@"; else compdef _cifra cifra; fi`;
}

function zshCommand(command: Command): string {
  const { name, actions, words = [] } = command;
  const specs = Object.entries(optionsOf(command)).map(([option, data]) => zshOption(option, data));
  specs.push(quote("(- *)--help[print help]"));
  if (actions) {
    const rows = actions.rows.map(({ name, does }) => `${name}\\:${quoteWords(does)}`);
    const hasFiles = actions.rows.some(({ words }) => words.some(({ isFile }) => isFile));
    specs.push(
      quote(`1:action:((${rows.join(" ")}))`),
      quote(`*:argument:${hasFiles ? "_files" : ""}`),
    );
  }
  for (const word of words) {
    specs.push(quote(`${word.isMany ? "*" : ""}:${word.name}:${zshGuess(guessWord(word))}`));
  }
  return [
    `        ${name})`,
    `          _arguments \\\n${specs.map((spec) => `            ${spec}`).join(" \\\n")}`,
    "          ;;",
  ].join("\n");
}

function zshOption(name: string, option: Option): string {
  const repeats = option.kind === "list" ? "*" : "";
  const others = [...option.excludes ?? [], ...(repeats ? [] : [name])].map((other) =>
    `--${other}`
  );
  const not = repeats && others.length === 0 ? "" : `(${others.join(" ")})`;
  const does = option.does.replace(/[[\]\\]/g, "\\$&");
  if (option.kind === "flag") return quote(`${not}--${name}[${does}]`);
  const value = option.value.replace(/[[\]:\\]/g, "\\$&");
  return quote(`${not}${repeats}--${name}=[${does}]:${value}:${zshGuess(guessOption(option))}`);
}

function zshGuess(guess: Guess): string {
  if (guess === "file") return "_files";
  if (guess === "folder") return "_files -/";
  return guess ? `(${guess.join(" ")})` : " ";
}

/** For a list within parentheses, where blanks and colons mean something. */
function quoteWords(text: string): string {
  return text.replace(/[\s:()'"\\;]/g, "\\$&");
}

// --- fish ---

function fish(): string {
  const none = "-n __fish_use_subcommand";
  return [
    "# Completions of cifra for fish: save them as ~/.config/fish/completions/cifra.fish",
    "complete -c cifra -f",
    `complete -c cifra -s h -l help -d 'print help'`,
    `complete -c cifra ${none} -l version -d 'print the version'`,
    ...COMMANDS.map(({ name, does }) =>
      `complete -c cifra ${none} -a ${name} -d ${fishQuote(does)}`
    ),
    ...COMMANDS.flatMap(fishCommand),
  ].join("\n");
}

function fishCommand(command: Command): string[] {
  const { name, actions, words = [] } = command;
  const seen = `__fish_seen_subcommand_from ${name}`;
  const lines = Object.entries(optionsOf(command)).map(([option, data]) =>
    `complete -c cifra -n '${seen}' -l ${option}${fishValue(data)} -d ${fishQuote(data.does)}`
  );
  const rows = actions?.rows ?? [];
  const names = rows.map(nameOf).join(" ");
  for (const action of rows) {
    const first = `'${seen}; and not __fish_seen_subcommand_from ${names}'`;
    lines.push(`complete -c cifra -n ${first} -a ${action.name} -d ${fishQuote(action.does)}`);
    if (action.words.some(({ isFile }) => isFile)) {
      lines.push(
        `complete -c cifra -n '${seen}; and __fish_seen_subcommand_from ${action.name}' -F`,
      );
    }
  }
  for (const word of words) {
    const guess = guessWord(word);
    if (guess === "file") lines.push(`complete -c cifra -n '${seen}' -F`);
    if (Array.isArray(guess)) {
      lines.push(`complete -c cifra -n '${seen}' -a ${fishQuote(guess.join(" "))}`);
    }
  }
  return lines;
}

function fishValue(option: Option): string {
  if (option.kind === "flag") return "";
  const guess = guessOption(option);
  if (guess === "file") return " -r -F";
  if (guess === "folder") return " -x -a '(__fish_complete_directories)'";
  return ` -x${guess ? ` -a ${fishQuote(guess.join(" "))}` : ""}`;
}

/** For sh, bash and zsh. */
function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function fishQuote(text: string): string {
  return `'${text.replace(/['\\]/g, "\\$&")}'`;
}
