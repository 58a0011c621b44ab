/** What each side of a transfer is told of the disk of the other (PROTOCOL.md 3.15). */
import { fileTroubleOf } from "../files/file_failure.ts";
import { HoldReason } from "../wire/file_messages.ts";

/** What the other side is told of a failure of ours. */
export function holdReason(error: unknown): HoldReason {
  const trouble = fileTroubleOf(error);
  return trouble === "gone" ? HoldReason.other : HoldReason[trouble];
}
