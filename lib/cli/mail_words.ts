/** What happens to what is left at a server, in words for people and as events for programs. */
import type { MailTrouble } from "../client/mail_events.ts";
import { reportOf } from "../errors.ts";
import { lowerFirst } from "./status_words.ts";
import type { JsonEvent } from "./terminal.ts";

/** One event for people, who see names as `label` has them, and for programs. Undefined: not for people. */
export function describeMail(
  event: MailTrouble,
  label: (name: string) => string,
): readonly [string | undefined, JsonEvent] {
  switch (event.type) {
    case "trouble": {
      const { name, error } = event;
      const report = reportOf(error);
      const text = [lowerFirst(error.message), report.hint].filter(Boolean).join(": ");
      return [text, { event: "not-on-server", for: name, ...report }];
    }
    case "changed": {
      const { name, error } = event;
      return [
        `${label(name)} left something that is not opened: ${lowerFirst(error.message)}` +
        (error.hint === undefined ? "" : `\n${error.hint}`),
        { event: "not-opened", from: name, ...reportOf(error) },
      ];
    }
    case "unopened":
      return [
        `what ${label(event.name)} left was sealed for keys that are not here; asked for again`,
        { event: "asked-again", from: event.name },
      ];
    case "elsewhere": {
      const { count } = event;
      const things = count === 1 ? "1 envelope waits" : `${count} envelopes wait`;
      return [
        `${things} for another machine or profile of yours; who left them is asked to bring them here`,
        { event: "elsewhere", count },
      ];
    }
    case "none":
      return [undefined, { event: "no-mailbox" }];
  }
}
