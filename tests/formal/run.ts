/**
 * Runs the symbolic models, each as it stands and with the one thing taken away that an ablation is about, and
 * compares what ProVerif says with what it must say (tests/formal/README.md). Ends with 1 when something differs.
 *
 *     deno run --allow-run=proverif --allow-read --allow-write tests/formal/run.ts [PROVERIF]
 */
import { MAILBOX_MODELS, MAILBOX_VARIANTS } from "./mailbox_variants.ts";
import { ABLATIONS, MODELS, type Variant } from "./variants.ts";

const HERE = new URL(".", import.meta.url).pathname;

/** What ProVerif found for each query, in their order: `holds`, `fails`, `repeats` (holds, but not once), `unproved`. */
function results(output: string): string[] {
  const found: string[] = [];
  for (const line of output.split("\n")) {
    // What is said in brackets belongs to the injective query before it, which does not hold.
    if (/^RESULT \(but .* is true/.test(line)) found[found.length - 1] = "repeats";
    const verdict = /^RESULT (?!\().* (is true|is false|cannot be proved)/.exec(line)?.[1];
    if (verdict) found.push({ "is true": "holds", "is false": "fails" }[verdict] ?? "unproved");
  }
  if (!output.includes("RESULT Observational equivalence")) return found;
  // An equivalence is never said to be false: ProVerif shows how the two sides are told apart.
  return [
    found[0] === "unproved" && output.includes("A trace has been found") ? "fails" : found[0]!,
  ];
}

/** The text of a model with its edits made; throws when there is nothing to edit. */
function edited(text: string, { edits }: Variant): string {
  return edits.reduce((before, [from, to]) => {
    if (!before.includes(from)) throw new Error(`The model has no line to edit: ${from}`);
    return before.replaceAll(from, to);
  }, text);
}

const prover = Deno.args[0] ?? "proverif";
const folder = await Deno.makeTempDir();
let failed = 0, passed = 0;
try {
  for (const variant of [...MODELS, ...MAILBOX_MODELS, ...ABLATIONS, ...MAILBOX_VARIANTS]) {
    const file = `${folder}/model.pv`;
    await Deno.writeTextFile(file, edited(await Deno.readTextFile(HERE + variant.model), variant));
    const began = performance.now();
    const { stdout } = await new Deno.Command(prover, { args: [file], stdin: "null" }).output();
    const found = results(new TextDecoder().decode(stdout)).join(" ");
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const good = found === variant.expected;
    if (good) passed++;
    else failed++;
    console.log(
      `${good ? "ok  " : "FAIL"} ${variant.model}: ${variant.what}: ${found} (${seconds} s)`,
    );
    if (!good) console.log(`     expected ${variant.expected}`);
  }
} finally {
  await Deno.remove(folder, { recursive: true });
}
console.log(`${passed} passed, ${failed} failed`);
if (failed) Deno.exit(1);
