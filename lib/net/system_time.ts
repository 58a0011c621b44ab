import type { Time } from "../flow/time.ts";

/** The clocks and the alarm of this machine. */
export const systemTime: Time = {
  now: () => performance.now(),
  date: () => Date.now(),
  after: (milliseconds, action) => {
    const timer = setTimeout(action, milliseconds);
    return () => clearTimeout(timer);
  },
};
