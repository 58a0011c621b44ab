/**
 * Whom we know: one line for each server or person, `subject suite fingerprint bundle first-seen`. A line
 * that cannot be read is never skipped silently: it may have been the pin that protects us.
 */
import { decodeBase64Url, encodeBase64Url } from "@std/encoding/base64url";
import {
  formatFingerprint,
  parseFingerprint,
  type PublicIdentity,
  readIdentity,
} from "../crypto/identity.ts";
import { isSuiteName, type SuiteName } from "../crypto/suite.ts";
import { timingSafeEqual } from "../crypto/platform.ts";
import type { Bytes } from "../bytes.ts";
import { CifraError } from "../errors.ts";
import type { PrivateFolder } from "../store/private_files.ts";

const LONGEST_LINE = 1024;

/** A pinned identity. */
export interface Known {
  /** `host:port` of a server, or the name of a person. */
  readonly subject: string;
  readonly suite: SuiteName;
  readonly fingerprint: Bytes;
  readonly bundle: Bytes;
  readonly firstSeen: string;
}

/** One file of pinned identities. */
export class KnownIdentities {
  readonly #folder: PrivateFolder;
  readonly #file: string;
  #known: readonly Known[];
  #damagedLines: readonly number[];

  private constructor(folder: PrivateFolder, file: string, text: string) {
    this.#folder = folder;
    this.#file = file;
    ({ known: this.#known, damagedLines: this.#damagedLines } = parseKnown(text));
  }

  /** Reads `file` in `folder`; an absent file knows nobody. */
  static async open(folder: PrivateFolder, file: string): Promise<KnownIdentities> {
    return new KnownIdentities(folder, file, await folder.read(file) ?? "");
  }

  /** The identity pinned for `subject` in `suite`. */
  async find(subject: string, suite: SuiteName): Promise<PublicIdentity | undefined> {
    const line = this.#known.find((known) => known.subject === subject && known.suite === suite);
    if (!line) return undefined;
    const identity = await readIdentity(line.bundle).catch(() => undefined);
    if (!identity || !timingSafeEqual(identity.fingerprint, line.fingerprint)) {
      throw this.#damaged(`the entry of ${subject}`);
    }
    return identity;
  }

  /** What is pinned for `subject` in other suites. */
  inOtherSuites(subject: string, suite: SuiteName): readonly Known[] {
    return this.#known.filter((known) => known.subject === subject && known.suite !== suite);
  }

  /** Throws `local` when a line is damaged: then nobody may be trusted on first sight. */
  requireUndamaged(): void {
    if (this.#damagedLines.length > 0) {
      throw this.#damaged(`line ${this.#damagedLines.join(", ")}`);
    }
  }

  /** Pins `identity` for `subject`, replacing what was pinned in this suite. */
  async pin(subject: string, suite: SuiteName, identity: PublicIdentity, now: Date): Promise<void> {
    this.requireUndamaged();
    const { fingerprint, bundle } = identity;
    const entry = { subject, suite, fingerprint, bundle, firstSeen: now.toISOString() };
    const others = this.#known.filter((known) =>
      known.subject !== subject || known.suite !== suite
    );
    this.#known = [...others, entry];
    await this.#folder.write(this.#file, this.#known.map(formatKnown).join(""));
  }

  #damaged(what: string): CifraError {
    const path = `${this.#folder.path}/${this.#file}`;
    return new CifraError("local", `Cannot trust ${path}: ${what} is damaged`, {
      hint: "mend or remove what is damaged; nobody new is trusted until then",
    });
  }
}

function formatKnown({ subject, suite, fingerprint, bundle, firstSeen }: Known): string {
  const fields = [
    subject,
    suite,
    formatFingerprint(fingerprint),
    encodeBase64Url(bundle),
    firstSeen,
  ];
  return fields.join(" ") + "\n";
}

/** Reads the lines of a file; those that cannot be read, or say something twice, by their numbers. */
export function parseKnown(text: string): { known: Known[]; damagedLines: number[] } {
  const known: Known[] = [];
  const damagedLines: number[] = [];
  const seen = new Set<string>();
  const lines = text.split("\n");
  if (lines.at(-1) === "") lines.pop();
  for (const [index, line] of lines.entries()) {
    const entry = parseLine(line);
    const key = entry && `${entry.subject} ${entry.suite}`;
    if (!entry || seen.has(key!)) damagedLines.push(index + 1);
    else {
      seen.add(key!);
      known.push(entry);
    }
  }
  return { known, damagedLines };
}

function parseLine(line: string): Known | undefined {
  if (line.length > LONGEST_LINE) return undefined;
  const [subject, suite, fingerprint, bundle, firstSeen, ...more] = line.split(" ");
  if (!subject || !suite || !fingerprint || !bundle || !firstSeen || more.length > 0) {
    return undefined;
  }
  if (!isSuiteName(suite) || !/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(firstSeen)) return undefined;
  try {
    return {
      subject,
      suite,
      fingerprint: parseFingerprint(fingerprint),
      bundle: decodeBase64Url(bundle),
      firstSeen,
    };
  } catch {
    return undefined;
  }
}
