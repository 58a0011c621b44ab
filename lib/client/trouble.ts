/** A side of a transfer that cannot read or write now: told once, however often it is tried, until that has lasted. */
import { FILE_RECOVERED } from "../limits.ts";

/** What one transfer waits for. Places are bytes of its content. */
export class Trouble {
  #isOn = false;
  /** The furthest place at which it stood. */
  #stood = 0;

  /** It has come as far as `bytes`, and does not go on; whether that is news. */
  begin(bytes: number): boolean {
    const isNews = !this.#isOn;
    this.#stood = isNews ? bytes : Math.max(this.#stood, bytes);
    this.#isOn = true;
    return isNews;
  }

  /** It goes on after this place: nothing before it is progress. */
  resume(bytes: number): void {
    if (this.#isOn) this.begin(bytes);
  }

  /**
   * All before this place is here; whether that ends the trouble. A disk that is full takes a little now and then,
   * and what was written before may be written once more: neither does.
   */
  hasPassed(bytes: number): boolean {
    if (!this.#isOn || bytes < this.#stood + FILE_RECOVERED) return false;
    this.#isOn = false;
    return true;
  }
}
