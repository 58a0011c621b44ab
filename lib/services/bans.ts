/** Who is kept out, by name or by key, and who is forgotten (PROTOCOL.md 3.7). Rules over a store. */
import type { ServerStore } from "../store/server_store.ts";

/** Whom an operator means. */
export type Subject =
  | { readonly kind: "name"; readonly name: string }
  /** The fingerprint in 64 hexadecimal digits. */
  | { readonly kind: "key"; readonly fingerprint: string };

/**
 * Keeps a name and the keys that own it out, or one key, from `now` on (milliseconds since 1970). Each ban of
 * a key keeps the name for whose sake it was made, so that it is lifted with it whatever happens meanwhile.
 */
export function ban(store: ServerStore, subject: Subject, now: number): void {
  if (subject.kind === "name") {
    const { name } = subject;
    store.putBan({ kind: "name", subject: name, since: now, name: undefined });
    for (const key of store.keysOf(name)) {
      store.putBan({ kind: "key", subject: key.fingerprint, since: now, name });
    }
  } else {
    const { fingerprint } = subject;
    const name = store.keyWith(fingerprint)?.name;
    store.putBan({ kind: "key", subject: fingerprint, since: now, name });
  }
}

/** Lets a name and all keys in again that were kept out with it, or one key; false when none was kept out. */
export function unban(store: ServerStore, subject: Subject): boolean {
  if (subject.kind === "key") return store.removeBan("key", subject.fingerprint);
  const { name } = subject;
  const lifted = store.keysOf(name).map((key) => store.removeBan("key", key.fingerprint));
  return [store.removeBan("name", name), ...lifted].includes(true);
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
