/** `cifra config`: every setting, its value, and where that comes from. */
import { tableLines } from "../server/table.ts";
import { stateFolder } from "../store/state_folder.ts";
import { parse } from "./args.ts";
import { CONFIG } from "./commands.ts";
import { defaultOf } from "./help.ts";
import type { Option, Section } from "./options.ts";
import { type Found, type Setting, SETTINGS, type Source } from "./settings.ts";
import { meant } from "./small_names.ts";
import { placeOf } from "./settings_sources.ts";
import type { Terminal } from "./terminal.ts";
import { readSettings } from "./with_settings.ts";

/** A setting as it is now. */
interface Effective extends Setting {
  /** Undefined when there is neither a value nor a default, or the default is no value. */
  readonly value: string | number | boolean | readonly string[] | undefined;
  readonly from: Source["from"] | "option" | "default";
  /** The variable, or the file and the line. */
  readonly where: string | undefined;
}

/** Prints the settings; returns the exit code. Throws what one of them is refused with. */
export async function config(args: readonly string[], terminal: Terminal): Promise<number> {
  const { given } = parse(CONFIG, args);
  const { layers, file } = await readSettings(CONFIG, args);
  const settings = [...SETTINGS].map(([id, setting]): Effective => {
    const found = layers.map((layer) => layer.get(id)).find((found) => found !== undefined);
    if (setting.name !== "state") return effective(setting, found);
    const state = { ...effective(setting, found), value: stateFolder(given.state) };
    const isTyped = given.state !== undefined && given.state !== found?.texts[0];
    return isTyped ? { ...state, from: "option", where: "--state" } : state;
  });
  if (terminal.json) {
    const isThere = file?.text !== undefined;
    terminal.emit({ event: "settings-file", ...(file && { path: file.path, isThere }) });
    for (const { section, name, value = null, from, where } of settings) {
      const place = where === undefined ? {} : { where };
      terminal.emit({ event: "setting", section, key: name, value, from, ...place });
    }
    return 0;
  }
  terminal.print(describeFile(file));
  for (const section of ["both", "connect", "serve"] as const) {
    terminal.print("");
    if (section !== "both") terminal.print(`[${section}]`);
    printSection(settings, section, terminal);
  }
  return 0;
}

function effective(setting: Setting, found: Found | undefined): Effective {
  const { option } = setting;
  if (!found) {
    const value = option.kind === "flag" ? false : "default" in option ? option.default : undefined;
    return { ...setting, value, from: "default", where: undefined };
  }
  const { texts, source } = found;
  return {
    ...setting,
    value: valueOf(option, meant(option, texts)),
    from: source.from,
    where: whereOf(source),
  };
}

function valueOf({ kind }: Option, texts: readonly string[]): Effective["value"] {
  if (kind === "flag") return texts.length > 0;
  if (kind === "list") return texts;
  return kind === "number" ? Number(texts[0]) : texts[0];
}

function whereOf(source: Source): string | undefined {
  switch (source.from) {
    case "environment":
      return source.variable;
    case "file":
      return placeOf(source.path, source.line);
    case "remembered":
      return undefined;
  }
}

function describeFile(file: Awaited<ReturnType<typeof readSettings>>["file"]): string {
  if (!file) return "there is no place for cifra.toml: the environment names no home folder";
  const { path, text, isAllowed } = file;
  if (!isAllowed) return `settings in ${path}: this program was not given access to it`;
  return `settings in ${path}${text === undefined ? ", which is not there" : ""}`;
}

function printSection(
  settings: readonly Effective[],
  section: Section,
  terminal: Terminal,
): void {
  const rows = settings.filter((setting) => setting.section === section).map((setting) => {
    const { name, option, value, from, where } = setting;
    return [
      name,
      formatted(value ?? defaultOf(option)),
      from === "remembered" ? "as last time" : where ?? from,
    ];
  });
  for (const line of tableLines(rows)) terminal.print(line);
}

function formatted(value: Effective["value"]): string {
  if (value === undefined) return "none";
  return typeof value === "object" ? value.join(", ") : String(value);
}
