/** Who is kept out, by name or by key, and who is forgotten (PROTOCOL.md 3.7). Rules over a store. */
import type { ServerStore } from "../store/server_store.ts";

/** Whom an operator means. */
export type Subject =
  | { readonly kind: "name"; readonly name: string }
  /** The fingerprint in 64 hexadecimal digits. */
  | { readonly kind: "key"; readonly fingerprint: string };

/**
 * Keeps a name and the keys that own it out, or one key, from `now` on (milliseconds since 1970). A key that is
 * kept out with a name remembers which, so that both are let in together whatever happens meanwhile. One that was
 * banned by itself is kept out for its own sake, whatever becomes of its name.
 */
export function ban(store: ServerStore, subject: Subject, now: number): void {
  if (subject.kind === "key") return putKeyBan(store, subject.fingerprint, now, undefined);
  const { name } = subject;
  store.putBan({ kind: "name", subject: name, since: now, name: undefined });
  for (const { fingerprint } of store.keysOf(name)) {
    if (!isBannedAlone(store, fingerprint)) putKeyBan(store, fingerprint, now, name);
  }
}

/** Lets a name in again with the keys that were kept out for its sake, or one key; false when none was. */
export function unban(store: ServerStore, subject: Subject): boolean {
  return subject.kind === "key"
    ? store.removeBan("key", subject.fingerprint)
    : store.removeBan("name", subject.name);
}

/** The fingerprints of a name's keys that are kept out by bans of their own. */
export function bannedAlone(store: ServerStore, name: string): readonly string[] {
  return store.keysOf(name).map(({ fingerprint }) => fingerprint)
    .filter((fingerprint) => isBannedAlone(store, fingerprint));
}

function isBannedAlone(store: ServerStore, fingerprint: string): boolean {
  return store.bans().some((ban) =>
    ban.kind === "key" && ban.subject === fingerprint && ban.name === undefined
  );
}

function putKeyBan(
  store: ServerStore,
  fingerprint: string,
  since: number,
  name: string | undefined,
): void {
  store.putBan({ kind: "key", subject: fingerprint, since, name });
}

/** Makes a name free, with its account, or takes one key from its name; false when it is not known. */
export function forget(store: ServerStore, subject: Subject): boolean {
  if (subject.kind === "name") {
    if (store.keysOf(subject.name).length === 0) return false;
    store.forget(subject.name);
  } else {
    if (!store.keyWith(subject.fingerprint)) return false;
    store.forgetKey(subject.fingerprint);
  }
  return true;
}

/** The ids of the invites by which somebody came, as far as they came with one. */
export function invitesOf(store: ServerStore, subject: Subject): readonly string[] {
  const keys = subject.kind === "name"
    ? store.keysOf(subject.name)
    : [store.keyWith(subject.fingerprint)];
  return [...new Set(keys.flatMap((key) => key?.invite ?? []))];
}

/** The names that were taken with this invite since a moment (milliseconds since 1970), in order. */
export function namesBy(store: ServerStore, invite: string, since: number): readonly string[] {
  const names: string[] = [];
  let after = "";
  for (;;) {
    const keys = store.keys(after, PAGE);
    if (keys.length === 0) return names;
    for (const key of keys) {
      // Who brought a name has its first key; the others were vouched for.
      const isFirst = store.keysOf(key.name)[0]?.fingerprint === key.fingerprint;
      if (isFirst && key.invite === invite && key.created >= since) names.push(key.name);
    }
    after = keys.at(-1)!.name;
  }
}

/** Names that are looked at in one go. */
const PAGE = 1000;
