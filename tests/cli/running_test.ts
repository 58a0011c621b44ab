/** The program that has a profile, asked by other commands. */
import { assertEquals, assertRejects } from "@std/assert";
import { askAt } from "../../lib/cli/local_lines.ts";
import {
  answerForProgram,
  askComparison,
  askUsers,
  reachHistory,
  runningSocket,
} from "../../lib/cli/running.ts";
import { ProfileKey } from "../../lib/crypto/profile_key.ts";
import type { HistoryEntry, HistoryFilter } from "../../lib/store/message_store.ts";
import { CifraError, type ErrorReport } from "../../lib/errors.ts";
import { listenLocally } from "../../lib/net/local_socket.ts";
import { Profile } from "../../lib/client/profile.ts";
import { test } from "../testkit/adversary.ts";
import { ManualTime } from "../testkit/clock.ts";
import { withFolder } from "../testkit/server.ts";

interface Failure {
  readonly failed: ErrorReport;
}

const noTransfers = {
  transfers: () => [],
  offerFiles: () => Promise.reject(new CifraError("locked", "It reads none")),
  cancelTransfer: () => Promise.reject(new CifraError("usage", "There is none")),
};

test("a running program tells who is in the lobby, and refuses what is no question", () =>
  withFolder(async (state) => {
    const profile = await Profile.open(state, "alice", "modern");
    const stop = answerForProgram(profile, {
      people: () => Promise.resolve([["bob", "here"]]),
      everybody: () => Promise.resolve([]),
      history: () => [],
      ...noTransfers,
    });
    assertEquals(await askUsers(profile.path), [["bob", "here"]]);
    const program = await askAt(runningSocket(profile.path), new ManualTime());
    for (const line of ["{", "null", "7", '"users"', "{}", '{"ask":"passphrase"}']) {
      const failed = await program.ask(line, (value) => (value as Failure).failed.code);
      assertEquals([line, failed], [line, "usage"]);
    }
    assertEquals(await program.ask('{"ask":"users"}', (value) => value), [["bob", "here"]]);
    program[Symbol.dispose]();
    stop();
    await profile.close();
  }));

test("the history of a sealed profile is for whoever shows its key; it ends with the program", () =>
  withFolder(async (state) => {
    const said = (n: number): HistoryEntry => ({
      type: "text",
      peer: "bob",
      direction: "received",
      number: BigInt(n),
      written: n,
      text: `${n}`,
      state: "received",
    });
    const all = Array.from({ length: 250 }, (_, n) => said(n + 1));
    const gap: HistoryEntry = { type: "gap", peer: "bob", from: 251n, to: 2n ** 63n };
    const profile = await Profile.open(state, "alice", "modern");
    const asked: unknown[] = [];
    const answerer = () =>
      answerForProgram(profile, {
        people: () => Promise.resolve([]),
        everybody: () => Promise.resolve([]),
        ...noTransfers,
        history: (filter) => {
          asked.push(filter);
          return [...all, gap];
        },
      });
    let stop = answerer();
    const hear = async (filter: HistoryFilter, key?: ProfileKey) =>
      await Array.fromAsync((await reachHistory(profile.path))!.tell(filter, key));
    assertEquals(await hear({ peer: "bob" }), [...all, gap]);
    assertEquals(await hear({ search: "24", last: 2 }), [said(248), said(249)]);
    assertEquals(asked.length, 2);
    await profile.keys.seal("open sesame");
    const key = (await profile.keys.findMessagesKey())!;
    assertEquals((await hear({}, key)).length, 251);
    for (const wrong of [undefined, ProfileKey.generate()]) {
      await assertRejects(() => hear({}, wrong), CifraError, "sealed by a passphrase");
    }
    assertEquals(asked.length, 3);
    const late = (await reachHistory(profile.path))!.tell({}, key)[Symbol.asyncIterator]();
    await late.next();
    stop();
    const rest = async () => {
      while (!(await late.next()).done);
    };
    await assertRejects(rest, CifraError, "has ended");
    assertEquals(await reachHistory(profile.path), undefined);
    stop = answerer();
    const program = await askAt(runningSocket(profile.path), new ManualTime());
    for (
      const line of ['{"ask":"more"}', '{"ask":"history","with":7}', '{"ask":"history","last":-1}']
    ) {
      const failed = await program.ask(line, (value) => (value as Failure).failed.code);
      assertEquals([line, failed], [line, "usage"]);
    }
    program[Symbol.dispose]();
    stop();
    key.drop();
    await profile.close();
  }));

test("a program that answers something else is told as such, and crashes nobody", () =>
  withFolder(async (path) => {
    let answer = "";
    const end = listenLocally(runningSocket(path), async (connection) => {
      await connection.read(new Uint8Array(1000));
      await connection.write(new TextEncoder().encode(`${answer}\n`));
      connection.close();
    });
    const options = { suite: undefined, mark: false };
    const users = () => askUsers(path);
    const compare = () => askComparison(path, "bob", options);
    const wrong = ["not json", "null", "7", '"x"', "{}", '{"failed":null}', '{"failed":{}}'];
    const ofUsers = ['[["bob"]]', '[["\\u001b","here"]]', '[["bob","gone"]]', "[null]"];
    const history = async () =>
      await Array.fromAsync((await reachHistory(path))!.tell({}, undefined));
    const line = {
      type: "text",
      peer: "bob",
      direction: "sent",
      number: "1",
      written: 1,
      text: "",
    };
    const ofHistory = [
      { isLast: true },
      { entries: [] },
      { entries: [null], isLast: true },
      ...[{}, { state: "gone" }, { state: "read", peer: "\u001b" }, { state: "read", number: 1 }]
        .map((change) => ({ entries: [{ ...line, ...change }], isLast: true })),
      { entries: [{ type: "gap", peer: "bob", from: "1", to: "-1" }], isLast: true },
    ].map((value) => JSON.stringify(value));
    const ofWords = [
      '{"suite":"none","words":[],"isVerified":true}',
      '{"suite":"modern","words":5}',
    ];
    for (
      const [ask, answers] of [[users, [...wrong, ...ofUsers]], [history, [
        ...wrong,
        ...ofHistory,
      ]], [compare, [
        ...wrong,
        ...ofWords,
      ]]] as const
    ) {
      for (answer of answers) {
        const error = await assertRejects<CifraError>(ask, CifraError);
        assertEquals([answer, error.code], [answer, "bad_frame"]);
      }
    }
    answer = '{"failed":{"code":"toString","message":"x"}}';
    assertEquals((await assertRejects<CifraError>(users, CifraError)).code, "bad_frame");
    answer = '{"failed":{"code":"local","message":"The disk is full","hint":"make room"}}';
    const told = await assertRejects<CifraError>(users, CifraError, "The disk is full");
    assertEquals([told.code, told.hint], ["local", "make room"]);
    end();
  }));
