/**
 * Whom we know: one line for each server or person, `subject suite fingerprint bundle first-seen`, and
 * `verified` after those whose words were compared. A line that cannot be read is never skipped silently: it
 * may have been the pin that protects us.
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
const VERIFIED = "verified";

/** A pinned identity. */
export interface Known {
  /** `host:port` of a server, or the name of a person. */
  readonly subject: string;
  readonly suite: SuiteName;
  readonly fingerprint: Bytes;
  readonly bundle: Bytes;
  readonly firstSeen: string;
  /** A person has compared words with them, by another way than through us. */
  readonly isVerified: boolean;
}

/** One file of pinned identities. */
export class Pins {
  readonly #folder: PrivateFolder;
  readonly #file: string;
  #known: readonly Known[];
  #damagedLines: readonly number[];
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(folder: PrivateFolder, file: string, text: string) {
    this.#folder = folder;
    this.#file = file;
    ({ known: this.#known, damagedLines: this.#damagedLines } = parseKnown(text));
  }

  /** Reads `file` in `folder`; an absent file knows nobody. */
  static async open(folder: PrivateFolder, file: string): Promise<Pins> {
    return new Pins(folder, file, await folder.read(file) ?? "");
  }

  /** The identity pinned for `subject` in `suite`. */
  async find(subject: string, suite: SuiteName): Promise<PublicIdentity | undefined> {
    const line = this.knownAs(subject, suite);
    if (!line) return undefined;
    const identity = await readIdentity(line.bundle).catch(() => undefined);
    if (!identity || !timingSafeEqual(identity.fingerprint, line.fingerprint)) {
      throw this.#damaged(`the entry of ${subject}`);
    }
    return identity;
  }

  /** What is pinned for `subject` in `suite`, as it stands in the file. */
  knownAs(subject: string, suite: SuiteName): Known | undefined {
    return this.#known.find((known) => known.subject === subject && known.suite === suite);
  }

  /** Everybody who is pinned, in the order of the file. */
  get everybody(): readonly Known[] {
    return this.#known;
  }

  /** Whether `fingerprint` is pinned for `subject` in `suite`, and marked as verified. */
  isVerified(subject: string, suite: SuiteName, fingerprint: Bytes): boolean {
    return this.#known.some((known) =>
      known.isVerified && isFor(known, subject, suite, fingerprint)
    );
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

  /** Pins `identity` for `subject`, replacing what was pinned in this suite, and its mark. */
  async pin(subject: string, suite: SuiteName, identity: PublicIdentity, now: Date): Promise<void> {
    this.requireUndamaged();
    const { fingerprint, bundle } = identity;
    const firstSeen = now.toISOString();
    const entry = { subject, suite, fingerprint, bundle, firstSeen, isVerified: false };
    await this.#change((known) => [
      ...known.filter((one) => one.subject !== subject || one.suite !== suite),
      entry,
    ]);
  }

  /**
   * Marks the identity pinned for `subject` as verified. Throws `usage` when it has another fingerprint, or is
   * of the suite classic, whose keys prove nothing.
   */
  async verify(subject: string, suite: SuiteName, fingerprint: Bytes): Promise<void> {
    if (suite === "classic") {
      throw new CifraError("usage", `Cannot mark ${subject}: the suite classic is for study`);
    }
    const isMeant = (known: Known) => isFor(known, subject, suite, fingerprint);
    if (!this.#known.some(isMeant)) {
      throw new CifraError("usage", `Cannot mark ${subject}, who is not known by this key`);
    }
    this.requireUndamaged();
    await this.#change((known) =>
      known.map((one) => isMeant(one) ? { ...one, isVerified: true } : one)
    );
  }

  /** Forgets `subject` in all suites; returns whom it forgot. Whoever comes next is new. */
  async unpin(subject: string): Promise<readonly Known[]> {
    this.requireUndamaged();
    const gone = this.#known.filter((known) => known.subject === subject);
    if (gone.length > 0) await this.#change((all) => all.filter((one) => one.subject !== subject));
    return gone;
  }

  /** One change after the other, each known here when it is on disk. */
  #change(alter: (known: readonly Known[]) => readonly Known[]): Promise<void> {
    const changed = this.#writing.then(async () => {
      const known = alter(this.#known);
      await this.#folder.write(this.#file, known.map(formatKnown).join(""));
      this.#known = known;
    });
    this.#writing = changed.catch(() => {});
    return changed;
  }

  #damaged(what: string): CifraError {
    const path = `${this.#folder.path}/${this.#file}`;
    return new CifraError("local", `Cannot trust ${path}: ${what} is damaged`, {
      hint: "mend or remove what is damaged; nobody new is trusted until then",
    });
  }
}

function isFor(known: Known, subject: string, suite: SuiteName, fingerprint: Bytes): boolean {
  return known.subject === subject && known.suite === suite &&
    timingSafeEqual(known.fingerprint, fingerprint);
}

function formatKnown(known: Known): string {
  const { subject, suite, fingerprint, bundle, firstSeen, isVerified } = known;
  const fields = [
    subject,
    suite,
    formatFingerprint(fingerprint),
    encodeBase64Url(bundle),
    firstSeen,
    ...(isVerified ? [VERIFIED] : []),
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
  const [subject, suite, fingerprint, bundle, firstSeen, mark, ...more] = line.split(" ");
  if (!subject || !suite || !fingerprint || !bundle || !firstSeen || more.length > 0) {
    return undefined;
  }
  const isVerified = mark === VERIFIED;
  if (mark !== undefined && (!isVerified || suite === "classic")) return undefined;
  if (!isSuiteName(suite) || !/^\d{4}-\d\d-\d\dT[\d:.]+Z$/.test(firstSeen)) return undefined;
  try {
    return {
      subject,
      suite,
      fingerprint: parseFingerprint(fingerprint),
      bundle: decodeBase64Url(bundle),
      firstSeen,
      isVerified,
    };
  } catch {
    return undefined;
  }
}
