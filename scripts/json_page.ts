/** lib/docs/json.md, from the table of events. */
import { type EventRow, EVENTS, type Key } from "../lib/cli/events.ts";
import { deeds, LINE_LIMIT } from "../lib/cli/json_input.ts";
import { TEXT_LIMIT } from "../lib/limits.ts";
import { code, madeFrom, table } from "./markdown.ts";

const ARGUMENTS = {
  text: ',"text":"back at two"',
  number: ',"number":7',
  path: ',"path":"/home/alice/thesis.pdf"',
  transfer: ',"transfer":"3f2a"',
};

/** The page. */
export function jsonPage(): string {
  const rows = [...deeds(undefined)].map(([name, { about, key, does }]) => [
    code(
      `{"do":"${name}"${about === undefined && (!key || key === "text") ? "" : ',"with":"bob"'}${
        key ? ARGUMENTS[key] : ""
      }}`,
    ),
    does,
    deeds("bob").has(name) ? "everywhere" : "in the lobby",
  ]);
  return [
    "# JSON, out and in",
    madeFrom("lib/cli/events.ts` and `lib/cli/json_input.ts"),
    "With `--json` every command prints one JSON object a line on stdout. Each has an `event`. New " +
    "events and keys may come; those below stay. " +
    "[events.schema.json](../cli/events.schema.json) is a JSON Schema of them, made from the same " +
    "table; the tests check against it what the program prints.",
    "Texts of other people are in these events as they came. In the lines their controls, and what " +
    "cannot be seen, stand as `\\uXXXX`: a line may be read on a terminal. A program that prints what " +
    "it has decoded has to make it harmless itself.",
    "When a line cannot be written, because its reader has gone or the disk is full, the program ends " +
    "with 1 and says so on stderr. A message in such a line does not count as `read`, and the next " +
    "run shows it. What is said on stderr may vanish without harm.",
    "A reader may pause. `connect` then keeps what it has to tell, up to 16 MiB, takes no more lines and " +
    "counts nothing as `read` that it has not written; `serve` serves on, keeps 1 MiB and leaves out the " +
    "rest, and says in `suppressed` how many events those were. A signal ends both, read or not.",
    "## What connect reads",
    "A line on stdin that begins with `{` is an object. It says something, or does something:",
    [
      "```json",
      '{"to":"bob","text":"two\\nlines, and /quit is a text","ref":1}',
      '{"do":"accept","with":"dave","ref":"dave-1"}',
      "```",
    ].join("\n"),
    "`to` and `with` are not needed with `--to`; in the lobby a text without `to` goes to whom `/to` " +
    "named last. `ref`, a number within 2^53 or a text of 256 characters at most, is for the program: " +
    "the event `queued` of the message, every answer to a command and every error about the line repeat it. An " +
    "unknown key is an error.",
    table(["object", "what it does", "where"], rows),
    "**A program that hands on what others wrote writes objects**: a text in an object is never a " +
    "command, and never a line of its own. This one answers everybody, and nobody can drive it:",
    [
      "```sh",
      "mkfifo answers",
      "cifra connect --name echo --accept all --json < answers |",
      "  jq --unbuffered -c 'select(.event == \"message\") | {to: .from, text: .text}' > answers",
      "```",
    ].join("\n"),
    "Other lines are for people and simple scripts: with `--to` each is a message as it stands, in " +
    "the lobby what one would type there (`bob: hello`, `/to bob`, see " +
    "[slash_commands.md](slash_commands.md)).",
    "What lines are:",
    "- UTF-8, ended by LF or CRLF; the last may have no end. What is no UTF-8 becomes U+FFFD. A byte " +
    "order mark at the very beginning is no part of the first line.\n" +
    "- An empty line is an empty message with `--to`, and nothing in the lobby.\n" +
    "- NUL and other controls are characters of a message like any other.\n" +
    `- A text has at most ${TEXT_LIMIT} bytes of UTF-8, a line at most ${LINE_LIMIT} characters. What is ` +
    "longer is not sent, in no part: an error with the code `limit` or `usage` tells it, and the next " +
    "line is read.\n" +
    "- The end of stdin is not a message. With `--to` the other program reads `peer-ended`.",
    ...EVENTS.flatMap(({ title, about, events }) => [
      `## ${title}`,
      ...(about === undefined ? [] : [about]),
      table(
        ["event", "when", "keys"],
        Object.entries(events).map(([name, row]) => [code(name), row.when, keysOf(row)]),
      ),
    ]),
    "A key with `?` may be missing. Events that strangers can cause as often as they like (`refused`, " +
    "`handshake-failed`, `refused-connection`, `accept-trouble`, `bug`) are told once a second at " +
    "most; `suppressed` in the next one says how many were not.",
    "",
  ].join("\n\n");
}

function keysOf({ keys }: EventRow): string {
  return Object.entries(keys).map(([name, key]) =>
    `${code(name)}${key.isOptional ? "?" : ""}${notes(key)}`
  )
    .join(", ");
}

/** What is to be said of a key, in brackets. */
function notes({ kind, about }: Key): string {
  const words = typeof kind === "object" && "oneOf" in kind && kind.oneOf.length < 6
    ? [kind.oneOf.map(code).join(", ")]
    : typeof kind === "object" && "listOf" in kind
    ? [
      `each with ${
        Object.entries(kind.listOf).map(([name, key]) => code(name) + (key.isOptional ? "?" : ""))
          .join(
            ", ",
          )
      }`,
    ]
    : [];
  const all = [...words, ...(about === undefined ? [] : [about])];
  return all.length === 0 ? "" : ` (${all.join("; ")})`;
}
