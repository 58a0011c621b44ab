/** What a command is: a row of the table in `commands.ts`. */
import type { OptionTable } from "./options.ts";

/** An argument that is no option. */
export interface Word {
  /** What stands for it in help, such as `FILE`. */
  readonly name: string;
  readonly isOptional?: boolean;
  /** There may be several of it: the last one of a command. */
  readonly isMany?: boolean;
  readonly choices?: readonly string[];
  readonly isFile?: boolean;
  /** It is the path of something that is only read; other files are written as well. */
  readonly isRead?: boolean;
  /** Checks it; throws `usage` or `bad_name`. */
  readonly read?: (text: string) => unknown;
}

/** One of several things that a command does. */
export interface Action {
  readonly name: string;
  readonly does: string;
  readonly words: readonly Word[];
  /** The options of the command that it takes. */
  readonly options: readonly string[];
  /** What it does not need of the permissions of the command. */
  readonly unneeded?: readonly ("net" | "networkInterfaces")[];
  /** Those of them that no setting stands in for. */
  readonly typed?: readonly string[];
}

/** What Deno allows a command: the flags of its task. */
export interface Permissions {
  readonly net: boolean;
  /** But never these hosts. */
  readonly denyNet?: readonly string[];
  readonly sys: readonly string[];
  readonly env: readonly string[];
  /** Which files: none; the settings and the state folder, to look or also to write; or all. */
  readonly files: "none" | "looked at" | "state" | "all";
  /** A person types at it, who may press Ctrl-Z: see `suspend.ts`. */
  readonly suspends?: boolean;
  /** It may start the shell with what an option of it says; every other command line gives that up. */
  readonly runs?: boolean;
  /** What else the task tells Deno. */
  readonly flags?: readonly string[];
}

/** A row of the table. */
export interface Command {
  readonly name: string;
  /** What it does: a clause without full stop. */
  readonly does: string;
  /** How it is called; the default is `cifra NAME`. */
  readonly call?: string;
  readonly words?: readonly Word[];
  readonly actions?: {
    /** The heading of their list. */
    readonly title: string;
    readonly rows: readonly Action[];
    /** What is done when none is named; without it the command has something of its own to do. */
    readonly otherwise?: string;
  };
  /** By heading. */
  readonly options: Readonly<Record<string, OptionTable>>;
  /** Paragraphs for whoever wants to know more. */
  readonly about: readonly string[];
  /** Command lines that work as they stand, in a shell; the first is the most usual one. */
  readonly examples: readonly string[];
  /** Undefined for a program that has a task of its own. */
  readonly permissions?: Permissions;
}

/** How a command is called: `cifra connect`. */
export function callOf({ call, name }: Command): string {
  return call ?? `cifra ${name}`;
}

/** The options of all headings, by name. */
export function optionsOf({ options }: Command): OptionTable {
  return Object.assign({}, ...Object.values(options));
}
