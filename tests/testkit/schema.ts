/** Checks values against a JSON Schema, as far as ours go; strictly: what the schema does not name is wrong. */

type Schema = Readonly<Record<string, unknown>>;

/** Why `value` is not what `schema` says; undefined when it is. `root` is where references are looked up. */
export function mismatch(
  value: unknown,
  schema: Schema,
  root: Schema = schema,
): string | undefined {
  if (typeof schema.$ref === "string") return mismatch(value, refer(root, schema.$ref), root);
  if (Array.isArray(schema.anyOf)) return mismatchOfAll(value, schema.anyOf, root);
  if ("const" in schema) return value === schema.const ? undefined : `is not ${schema.const}`;
  if (Array.isArray(schema.enum) && !schema.enum.includes(value)) {
    return `is none of ${schema.enum.join(", ")}`;
  }
  switch (schema.type) {
    case undefined:
      return undefined;
    case "array": {
      if (!Array.isArray(value)) return "is no array";
      const items = schema.items as Schema;
      return value.map((each) => mismatch(each, items, root)).find((why) => why !== undefined);
    }
    case "object":
      return mismatchOfObject(value, schema, root);
    default:
      return (typeof value as string) === schema.type ? undefined : `is no ${schema.type}`;
  }
}

/** The one that has the same `event` tells best. */
function mismatchOfAll(value: unknown, all: readonly Schema[], root: Schema): string | undefined {
  const why = all.map((each) => mismatch(value, each, root));
  if (why.includes(undefined)) return undefined;
  return why.find((each) => !each!.startsWith("event is not")) ?? why[0];
}

function mismatchOfObject(value: unknown, schema: Schema, root: Schema): string | undefined {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return "is no object";
  const { properties = {}, required = [], additionalProperties } = schema as {
    readonly properties?: Readonly<Record<string, Schema>>;
    readonly required?: readonly string[];
    readonly additionalProperties?: Schema;
  };
  // The event first: of another one nothing else is of interest.
  const keys = Object.entries(value).sort(([a], [b]) =>
    Number(b === "event") - Number(a === "event")
  );
  for (const [key, each] of keys) {
    const expected = properties[key] ?? additionalProperties;
    if (!expected) return `${key} is not in the schema`;
    const why = mismatch(each, expected, root);
    if (why !== undefined) return key === "event" ? `event ${why}` : `${key} ${why}`;
  }
  const missing = required.find((key) => !(key in value));
  return missing === undefined ? undefined : `${missing} is missing`;
}

function refer(root: Schema, ref: string): Schema {
  let at: unknown = root;
  for (const part of ref.split("/").slice(1)) at = (at as Schema)[part];
  return at as Schema;
}
