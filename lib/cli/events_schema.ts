/** The table of events as a JSON Schema: lib/cli/events.schema.json. */
import { type EventGroup, type EventRow, EVENTS, INPUT, type Kind } from "./events.ts";

/** A JSON Schema (2020-12), as far as it is needed here. */
export interface Schema {
  readonly [keyword: string]: unknown;
}

/** The schema of all that is printed, and below `$defs` that of each heading and of what is read. */
export function eventsSchema(): Schema {
  const defs = Object.fromEntries(EVENTS.map((group) => [group.name, groupSchema(group)]));
  return {
    $schema: "https://json-schema.org/draft/2020-12/schema",
    title: "What cifra prints with --json, a line each",
    description: "New events and keys may come. Made from lib/cli/events.ts.",
    anyOf: EVENTS.map(({ name }) => ({ $ref: `#/$defs/${name}` })),
    $defs: { ...defs, input: { anyOf: Object.values(INPUT).map((keys) => objectSchema(keys)) } },
  };
}

function groupSchema({ title, common, events }: EventGroup): Schema {
  return {
    title,
    anyOf: Object.entries(events).map(([event, { when, keys }]) => ({
      description: when,
      ...objectSchema({ ...common, ...keys }, event),
    })),
  };
}

function objectSchema(keys: EventRow["keys"], event?: string): Schema {
  const properties = Object.entries(keys).map(([key, { kind, about }]) => [
    key,
    { ...(about !== undefined && { description: about }), ...kindSchema(kind) },
  ]);
  const required = Object.entries(keys).filter(([, { isOptional }]) => !isOptional).map(([key]) =>
    key
  );
  return {
    type: "object",
    properties: {
      ...(event !== undefined && { event: { const: event } }),
      ...Object.fromEntries(properties),
    },
    required: [...(event === undefined ? [] : ["event"]), ...required],
  };
}

function kindSchema(kind: Kind): Schema {
  if (typeof kind === "object") {
    return "oneOf" in kind
      ? { type: "string", enum: kind.oneOf }
      : { type: "array", items: objectSchema(kind.listOf) };
  }
  switch (kind) {
    case "text":
      return { type: "string" };
    case "number":
      return { type: "number" };
    case "flag":
      return { type: "boolean" };
    case "texts":
      return { type: "array", items: { type: "string" } };
    case "text by suite":
      return { type: "object", additionalProperties: { type: "string" } };
    case "any":
      return {};
  }
}
