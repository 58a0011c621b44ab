/** The mailbag of a profile in its database of messages. */
import type { Bytes } from "../bytes.ts";
import type { PrekeyKind } from "../crypto/prekeys.ts";
import { CifraError } from "../errors.ts";
import {
  MESSAGE_NUMBER_LIMIT,
  PREKEY_SECRET_LIFETIME,
  SESSION_MEMORY,
  SIGNED_PREKEYS_NEWER,
} from "../limits.ts";
import type {
  Box,
  Correspondent,
  Deposit,
  KeptPrekey,
  Mailbag,
  Moment,
  NewDeposit,
  ReadingSession,
  WritingSession,
} from "./mailbag.ts";
import { type AtRest, prekeyName } from "./at_rest.ts";
import { requireNumber } from "./message_rules.ts";
import type { SqliteFile } from "./sqlite_file.ts";

type Row<T> = { readonly [K in keyof T]: T[K] extends number | boolean ? bigint : T[K] };
type BoxRow = Row<Box>;
type PrekeyRow = Pick<KeptPrekey, "kind" | "number"> & KeptPrekey["secret"] & {
  readonly box: Bytes;
};
type ReadingRow = Row<ReadingSession>;
type WritingRow = Row<WritingSession>;
type DepositRow = Row<Deposit>;
type CorrespondentRow = Row<Omit<Correspondent, "pass">> & { readonly pass: Bytes | null };

/** Runs `work` in the next transaction. */
type Change = <T>(work: () => T) => Promise<T>;

function prepareStatements(file: SqliteFile) {
  const prepare = (sql: string) => file.prepare(sql);
  const prekey = "box, kind, number, x25519, mlkem";
  const boxOf = "(SELECT name FROM box WHERE server = ?)";
  return {
    box: prepare(
      "SELECT name, pass_key AS passKey, highest, signed, anew FROM box WHERE server = ?",
    ),
    serverOf: prepare("SELECT server FROM box WHERE name = ?"),
    deleteBox: prepare("DELETE FROM box WHERE server = ?"),
    insertBox: prepare("INSERT INTO box VALUES (?, ?, ?, 0, 0, 1)"),
    setNumbers: prepare(`
      UPDATE box SET highest = ?, signed = ? WHERE server = ?`),
    setAnew: prepare("UPDATE box SET anew = 0 WHERE server = ?"),
    insertPrekey: prepare(`
      INSERT INTO prekey (box, kind, number, x25519, mlkem) VALUES (${boxOf}, ?, ?, ?, ?)`),
    prekey: prepare(`SELECT ${prekey} FROM prekey WHERE box = ? AND kind = ? AND number = ?`),
    prekeys: prepare(`
      SELECT ${prekey} FROM prekey WHERE box = ${boxOf} AND kind = ? AND retired_here IS NULL
      ORDER BY number`),
    deletePrekey: prepare("DELETE FROM prekey WHERE box = ? AND kind = ? AND number = ?"),
    signedSince: prepare(`
      SELECT retired_here AS since FROM prekey
      WHERE box = ${boxOf} AND kind = 'signed' AND retired_here IS NOT NULL
      ORDER BY number DESC LIMIT 1`),
    retire: prepare(`
      UPDATE prekey SET retired_here = ?, retired_there = ?
      WHERE box = ${boxOf} AND kind = ? AND number < ? AND retired_here IS NULL`),
    expirePrekeys: prepare(`
      DELETE FROM prekey WHERE retired_here <= ? AND retired_there <= ? OR kind = 'signed'
        AND number <= (
          SELECT number FROM prekey AS newer WHERE newer.box = prekey.box AND newer.kind = 'signed'
          ORDER BY number DESC LIMIT 1 OFFSET ${SIGNED_PREKEYS_NEWER}
        )`),
    // A session without a one-time prekey is what remembers that its first envelope was here.
    expireReading: prepare(`
      DELETE FROM reading WHERE iif(once > 0, last_here <= ? AND last_there <= ?, NOT EXISTS (
        SELECT * FROM prekey
        WHERE prekey.box = reading.box AND kind = 'signed' AND number = reading.signed
      ))`),
    reading: prepare(`
      SELECT id, peer, sender, box, signed, once, transcript, chain, next FROM reading WHERE id = ?`),
    moveReading: prepare(`
      UPDATE reading SET chain = ?, next = ?, last_here = ?, last_there = ? WHERE id = ?`),
    insertReading: prepare(`
      INSERT INTO reading
        (id, peer, sender, box, signed, once, transcript, chain, next, last_here, last_there)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`),
    writing: prepare(`
      SELECT owner, header, transcript, chain, next, began FROM writing
      WHERE peer = ? AND server = ?`),
    setWriting: prepare(`
      INSERT OR REPLACE INTO writing (peer, server, owner, header, transcript, chain, next, began)
      VALUES (?, ?, ?, ?, ?, ?, ?, ?)`),
    moveWriting: prepare(`
      UPDATE writing SET chain = ?1, next = ?2
      WHERE peer = ?3 AND server = ?4 AND header = ?5 AND next < ?2`),
    insertDeposit: prepare(`
      INSERT INTO deposit
        (id, peer, server, box, log, first, last, at, confirmed, paid, outdated)
      SELECT :id, :peer, :server, :box, log.id, :first, :last, :at, 0, coalesce(
        (SELECT owed FROM correspondent WHERE peer = :peer AND server = :server), 0), 0
      FROM log JOIN side ON side.id = log.side
      WHERE side.peer = :peer AND side.suite = 'modern' AND side.direction = 'sent'
        AND log.name = :log`),
    confirm: prepare("UPDATE deposit SET confirmed = 1 WHERE id = ?"),
    // What was to bring a receipt and never was there leaves it owed.
    oweAgain: prepare(`
      UPDATE correspondent SET owed = 1 WHERE (peer, server) =
        (SELECT peer, server FROM deposit WHERE id = ? AND confirmed = 0 AND paid = 1)`),
    drop: prepare("DELETE FROM deposit WHERE id = ?"),
    outdate: prepare(`
      UPDATE deposit SET outdated = 1 WHERE log = ?1 AND first <= ?2 AND last >= ?2`),
    deposits: prepare(`
      SELECT deposit.id, peer, box, log.name AS log, first, deposit.last, at,
        confirmed AS isConfirmed, outdated AS isOutdated
      FROM deposit JOIN log ON log.id = deposit.log WHERE server = ? ORDER BY deposit.rowid`),
    correspondent: prepare(`
      SELECT owner, pass, highest_signed AS highestSigned, owed AS isOwed FROM correspondent
      WHERE peer = ? AND server = ?`),
    forgetOther: prepare("DELETE FROM correspondent WHERE peer = ? AND server = ? AND owner <> ?"),
    insertCorrespondent: prepare(
      "INSERT INTO correspondent VALUES (?, ?, ?, NULL, 0, 0) ON CONFLICT DO NOTHING",
    ),
    setSigned: prepare(`
      UPDATE correspondent SET highest_signed = max(highest_signed, ?) WHERE peer = ? AND server = ?`),
    setPass: prepare("UPDATE correspondent SET pass = ? WHERE peer = ? AND server = ?"),
    setOwed: prepare("UPDATE correspondent SET owed = ? WHERE peer = ? AND server = ?"),
    owed: prepare("SELECT peer FROM correspondent WHERE server = ? AND owed = 1"),
  };
}

/** The mailbag in an open file of messages. */
export class SqliteMailbag implements Mailbag {
  readonly #file: SqliteFile;
  readonly #atRest: AtRest;
  readonly #change: Change;
  readonly #statements: ReturnType<typeof prepareStatements>;

  /** `change` runs its work in a transaction of the file, and refuses when that is closed. Throws `local`. */
  constructor(file: SqliteFile, atRest: AtRest, change: Change) {
    this.#file = file;
    this.#atRest = atRest;
    this.#change = change;
    this.#statements = prepareStatements(file);
  }

  box(server: string): Box | undefined {
    const row = this.#get<BoxRow>(() => this.#statements.box.get(server));
    return row && { ...row, anew: row.anew === 1n };
  }

  async beginBox(server: string, name: Bytes, passKey: Bytes): Promise<void> {
    const values = [name.slice(), passKey.slice()] as const;
    await this.#change(() => {
      this.#statements.deleteBox.run(server);
      this.#statements.insertBox.run(server, ...values);
    });
  }

  async addPrekeys(server: string, prekeys: readonly KeptPrekey[]): Promise<void> {
    const rows = prekeys.map(({ kind, number, secret: { x25519, mlkem } }) => {
      requireNumber(number);
      return { kind, number, x25519: x25519.slice(), mlkem: mlkem.slice() };
    });
    const isFollowing = await this.#change(() => {
      const box = this.box(server);
      if (!box) return false;
      const last = { signed: box.signed, once: box.highest };
      for (const { kind, number } of rows) {
        if (number <= last[kind]) return false;
        last[kind] = number;
      }
      for (const { kind, number, x25519, mlkem } of rows) {
        const name = prekeyName(box.name, kind, number);
        const secrets = [
          this.#atRest.seal("x25519", name, x25519),
          this.#atRest.seal("mlkem", name, mlkem),
        ] as const;
        this.#statements.insertPrekey.run(server, kind, number, ...secrets);
      }
      this.#statements.setNumbers.run(last.once, last.signed, server);
      return true;
    });
    if (!isFollowing) throw new CifraError("bad_state", "A prekey cannot have a number again");
  }

  async noteAnew(server: string): Promise<void> {
    await this.#change(() => this.#statements.setAnew.run(server));
  }

  prekey(box: Bytes, kind: PrekeyKind, number: bigint): KeptPrekey | undefined {
    if (number > MESSAGE_NUMBER_LIMIT) return undefined;
    const row = this.#get<PrekeyRow>(() => this.#statements.prekey.get(box, kind, number));
    return row && this.#keptPrekey(row);
  }

  prekeys(server: string, kind: PrekeyKind): readonly KeptPrekey[] {
    const rows = this.#all<PrekeyRow>(() => this.#statements.prekeys.all(server, kind));
    return rows.map((row) => this.#keptPrekey(row));
  }

  signedSince(server: string): number | undefined {
    const row = this.#get<{ since: bigint }>(() => this.#statements.signedSince.get(server));
    return row && Number(row.since);
  }

  async retire(
    server: string,
    before: { signed: bigint; once: bigint },
    { here, there }: Moment,
  ): Promise<void> {
    await this.#change(() => {
      for (const kind of ["signed", "once"] as const) {
        const number = before[kind] > MESSAGE_NUMBER_LIMIT ? MESSAGE_NUMBER_LIMIT : before[kind];
        this.#statements.retire.run(here, there, server, kind, number);
      }
    });
  }

  async expire({ here, there }: Moment): Promise<void> {
    await this.#change(() => {
      const { expirePrekeys, expireReading } = this.#statements;
      expirePrekeys.run(here - PREKEY_SECRET_LIFETIME, there - PREKEY_SECRET_LIFETIME);
      expireReading.run(here - SESSION_MEMORY, there - SESSION_MEMORY);
    });
  }

  reading(id: Bytes): ReadingSession | undefined {
    const row = this.#get<ReadingRow>(() => this.#statements.reading.get(id));
    if (!row) return undefined;
    const chain = this.#atRest.unseal("reading", id, row.chain);
    return { ...row, chain, next: Number(row.next) };
  }

  writing(peer: string, server: string): WritingSession | undefined {
    const row = this.#get<WritingRow>(() => this.#statements.writing.get(peer, server));
    if (!row) return undefined;
    const chain = this.#atRest.unseal("writing", row.header, row.chain);
    return { ...row, chain, next: Number(row.next), began: Number(row.began) };
  }

  async begin(
    peer: string,
    server: string,
    session: WritingSession,
    signed: bigint,
  ): Promise<void> {
    requireNumber(signed);
    const { owner, header, transcript, next, began, ...secret } = ownBytes(session);
    const chain = this.#atRest.seal("writing", header, secret.chain);
    await this.#change(() => {
      this.#statements.setWriting.run(peer, server, owner, header, transcript, chain, next, began);
      this.#meet(peer, server, owner);
      this.#statements.setSigned.run(signed, peer, server);
    });
  }

  async seal(
    peer: string,
    server: string,
    session: Pick<WritingSession, "header" | "chain" | "next">,
    deposit: NewDeposit,
  ): Promise<void> {
    const { header, next, ...secret } = ownBytes(session);
    const chain = this.#atRest.seal("writing", header, secret.chain);
    const values = ownBytes(deposit);
    const isKept = await this.#change(() => {
      const { moveWriting, insertDeposit, setOwed } = this.#statements;
      if (Number(moveWriting.run(chain, next, peer, server, header).changes) === 0) return false;
      if (Number(insertDeposit.run({ ...values, peer, server }).changes) === 0) return false;
      setOwed.run(0, peer, server);
      return true;
    });
    if (!isKept) {
      throw new CifraError("bad_state", "The session has moved on, or the log is another");
    }
  }

  async confirm(id: Bytes, replaced: readonly Bytes[]): Promise<void> {
    const copy = id.slice(), others = replaced.map((id) => id.slice());
    await this.#change(() => {
      this.#statements.confirm.run(copy);
      for (const other of others) this.#statements.drop.run(other);
    });
  }

  async drop(ids: readonly Bytes[]): Promise<void> {
    const copies = ids.map((id) => id.slice());
    await this.#change(() => {
      for (const id of copies) {
        this.#statements.oweAgain.run(id);
        this.#statements.drop.run(id);
      }
    });
  }

  deposits(server: string): readonly Deposit[] {
    const rows = this.#all<DepositRow>(() => this.#statements.deposits.all(server));
    return rows.map((row) => ({
      ...row,
      at: Number(row.at),
      isConfirmed: row.isConfirmed === 1n,
      isOutdated: row.isOutdated === 1n,
    }));
  }

  correspondent(peer: string, server: string): Correspondent | undefined {
    const row = this.#get<CorrespondentRow>(() => this.#statements.correspondent.get(peer, server));
    return row && { ...row, pass: row.pass ?? undefined, isOwed: row.isOwed === 1n };
  }

  async owe(peer: string, server: string, owner: Bytes): Promise<void> {
    const copy = owner.slice();
    await this.#change(() => this.#owe(peer, server, copy));
  }

  owed(server: string): readonly string[] {
    const rows = this.#all<{ readonly peer: string }>(() => this.#statements.owed.all(server));
    return rows.map(({ peer }) => peer);
  }

  /**
   * In a transaction: an envelope was opened that left its session at this place. False when the session has come so
   * far before, or what opens it is gone; a receipt is owed then.
   */
  takeSession(session: ReadingSession, { here, there }: Moment): boolean {
    const { id, peer, sender, box, signed, once, transcript, next } = session;
    const chain = this.#atRest.seal("reading", id, session.chain);
    const { reading, moveReading, insertReading, deletePrekey, prekey } = this.#statements;
    const server = this.#serverOf(box);
    if (server === undefined) return false;
    const known = reading.get(id) as ReadingRow | undefined;
    const isAhead = known ? known.next < next : prekey.get(box, "signed", signed) !== undefined &&
      (once === 0n || Number(deletePrekey.run(box, "once", once).changes) === 1);
    if (!isAhead) {
      this.#owe(peer, server, sender);
      return false;
    }
    if (known) moveReading.run(chain, next, here, there, id);
    else {
      const prekeys = [signed, once] as const, state = [transcript, chain, next] as const;
      insertReading.run(id, peer, sender, box, ...prekeys, ...state, here, there);
    }
    return true;
  }

  /** In a transaction: what an envelope of this session said beside its messages. */
  noteEnvelope(
    { peer, sender, box }: ReadingSession,
    { pass, isOwed }: { readonly pass: Bytes | undefined; readonly isOwed: boolean },
  ): void {
    const server = this.#serverOf(box)!;
    if (isOwed) this.#owe(peer, server, sender);
    else this.#meet(peer, server, sender);
    if (pass) this.#statements.setPass.run(pass, peer, server);
  }

  /** In a transaction: envelopes that hold this message of the log are to be replaced. */
  outdate(log: bigint, number: bigint): void {
    this.#statements.outdate.run(log, number);
  }

  #serverOf(box: Bytes): string | undefined {
    return (this.#statements.serverOf.get(box) as { readonly server: string } | undefined)?.server;
  }

  /** What was known of somebody with another key is of no use. */
  #meet(peer: string, server: string, owner: Bytes): void {
    this.#statements.forgetOther.run(peer, server, owner);
    this.#statements.insertCorrespondent.run(peer, server, owner);
  }

  #owe(peer: string, server: string, owner: Bytes): void {
    this.#meet(peer, server, owner);
    this.#statements.setOwed.run(1, peer, server);
  }

  #keptPrekey({ box, kind, number, x25519, mlkem }: PrekeyRow): KeptPrekey {
    const name = prekeyName(box, kind, number);
    const secret = {
      x25519: this.#atRest.unseal("x25519", name, x25519),
      mlkem: this.#atRest.unseal("mlkem", name, mlkem),
    };
    return { kind, number, secret };
  }

  #get<T>(find: () => unknown): T | undefined {
    return this.#file.use(find) as T | undefined;
  }

  #all<T>(find: () => unknown): readonly T[] {
    return this.#file.use(find) as readonly T[];
  }
}

/** A copy whose bytes are its own: who gave them may use them again. */
export function ownBytes<T extends object>(values: T): T {
  const copies = Object.entries(values).map(([key, value]) =>
    [key, value instanceof Uint8Array ? value.slice() : value] as const
  );
  return Object.fromEntries(copies) as T;
}
