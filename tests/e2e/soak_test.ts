/** A short soak, as it is run for hours elsewhere. */
import { assert, assertEquals } from "@std/assert";
import { within } from "../testkit/time_limit.ts";

const SOAK = new URL("../soak/soak.ts", import.meta.url);

function numberOf(label: string, table: string): number {
  const found = new RegExp(`^${label} +(\\d+)$`, "m").exec(table);
  assert(found, `no "${label}" in\n${table}`);
  return Number(found[1]);
}

Deno.test(
  "half a minute of kills and cuts loses, repeats and reorders nothing",
  within(180, async () => {
    const [random] = crypto.getRandomValues(new Uint32Array(1));
    const seed = random! % 1_000_000;
    const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--allow-all", SOAK.pathname, "--quick", "--seed", `${seed}`],
      stdin: "null",
      env: { NO_COLOR: "1" },
    }).output();
    const said = new TextDecoder().decode(stdout);
    assertEquals(code, 0, `${said}\n${new TextDecoder().decode(stderr)}`);
    for (const fault of ["kills of clients", "connections cut"]) {
      assert(numberOf(fault, said) > 0, said);
    }
    const given = numberOf("messages given to a program", said);
    const accepted = numberOf("accepted by it", said);
    assert(accepted > 500 && accepted <= given, said);
    // What was on disk and not yet told when the program was killed is shown as well.
    assert(numberOf("shown there", said) >= accepted, said);
    assertEquals(numberOf("acknowledged by the other side", said), accepted);
    assertEquals(numberOf("lost", said), 0);
  }),
);
