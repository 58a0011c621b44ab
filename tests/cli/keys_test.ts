import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { parse } from "../../lib/cli/args.ts";
import { KEYS } from "../../lib/cli/keys_command.ts";
import { parseConnect } from "../../lib/cli/connect_options.ts";
import { helpOf } from "../../lib/cli/help.ts";
import { connectCommand } from "../../lib/cli/server_options.ts";
import { CifraError, type ErrorCode } from "../../lib/errors.ts";

function refusal(parse: () => unknown, code: ErrorCode = "usage"): string {
  const error = assertThrows(parse, CifraError);
  assertEquals(error.code, code);
  return error.message;
}

function parseKeys(args: readonly string[]) {
  return parse(KEYS, args);
}

Deno.test("keys shows the keys when nothing is said", () => {
  for (const args of [[], ["show"], ["--json"]]) assertEquals(parseKeys(args).action, "show");
  const { name, suite, yes, "passphrase-fd": passphraseFd, state } = parseKeys([]).given;
  assertEquals([name, suite, yes, passphraseFd, state], [
    undefined,
    undefined,
    false,
    undefined,
    undefined,
  ]);
});

Deno.test("keys is told what is to be done, with whom or what, and how", () => {
  const verify = parseKeys(["verify", "bob", "--name", "alice", "--suite", "rsa", "--yes"]);
  assertEquals([verify.action, verify.words], ["verify", ["bob"]]);
  const { name, suite, yes } = verify.given;
  assertEquals([name, suite, yes], ["alice", "rsa", true]);
  const file = parseKeys(["export", "../My Keys", "--passphrase-fd", "0", "--state", "/s"]);
  assertEquals([file.action, file.words], ["export", ["../My Keys"]]);
  assertEquals([file.given["passphrase-fd"], file.given.state], [0, "/s"]);
  for (const action of ["unpin bob", "import f", "passphrase", "peers"]) {
    assertStringIncludes(helpOf(KEYS), `  ${action.split(" ")[0]}`);
    assertEquals(parseKeys(action.split(" ")).action, action.split(" ")[0]);
  }
});

Deno.test("keys refuses what is not known, not whole or too much", () => {
  const bad = [
    ["frob"],
    ["verify"],
    ["unpin", "--name", "alice"],
    ["export"],
    ["show", "bob"],
    ["peers", "bob"],
    ["passphrase", "secret"],
    ["verify", "bob", "carol"],
    ["--name", "alice", "verify"],
    ["show", "--yes"],
    ["unpin", "bob", "--suite", "rsa"],
    ["verify", "bob", "--suite", "quantum"],
    ["passphrase", "--passphrase-fd", "-1"],
    ["passphrase", "--passphrase-fd", "256"],
    ["passphrase", "--passphrase", "secret"],
  ];
  for (const args of bad) refusal(() => parseKeys(args));
  for (const name of ["../bob", "Bob", "server", "b\x1b"]) {
    refusal(() => parseKeys(["verify", name]), "bad_name");
    refusal(() => parseKeys(["show", "--name", name]), "bad_name");
  }
});

Deno.test("parseConnect() signs up or in, and takes a descriptor only for that", () => {
  const usual = ["--name", "alice", "--to", "bob"];
  const plain = parseConnect(usual);
  assertEquals([plain.signUp, plain.signIn, plain.passwordFd], [false, false, undefined]);
  const up = parseConnect([...usual, "--sign-up", "--password-fd", "0", "--passphrase-fd", "4"]);
  assertEquals([up.signUp, up.signIn, up.passwordFd, up.passphraseFd], [true, false, 0, 4]);
  // Also in the lobby.
  const { to, signIn } = parseConnect(["--name", "alice", "--sign-in"]);
  assertEquals([to, signIn], [undefined, true]);
  refusal(() => parseConnect([...usual, "--sign-up", "--sign-in"]));
  refusal(() => parseConnect([...usual, "--password-fd", "0"]));
  for (const fd of ["x", "-1", "1.5", "256"]) {
    refusal(() => parseConnect([...usual, "--sign-in", "--password-fd", fd]));
  }
  // A password itself is nothing that the program would take.
  for (const flag of ["--password", "--passphrase"]) {
    refusal(() => parseConnect([...usual, "--sign-in", flag, "secret"]));
  }
});

Deno.test("connectCommand() is a command line for the same server, suite and folder", () => {
  const options = (...more: readonly string[]) => parseConnect(["--name", "alice", ...more]);
  assertEquals(connectCommand(options(), ["--to", "bob"]), "cifra connect --name alice --to bob");
  assertEquals(
    connectCommand(options("--server", "10.0.0.1", "--suite", "rsa", "--state", "/s"), []),
    "cifra connect --name alice --server 10.0.0.1:7411 --suite rsa --state /s",
  );
  assertEquals(
    connectCommand(options("--server", "[::1]:80", "--state", "/it's here"), []),
    "cifra connect --name alice --server '[::1]:80' --state '/it'\\''s here'",
  );
});
