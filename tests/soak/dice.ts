/** Chance that can be had again: the same seed gives the same numbers. */
export class Dice {
  #state: number;

  /** Numbers as seeds, such as that of a run and the number of a schedule in it. */
  constructor(...seeds: readonly number[]) {
    this.#state = 0;
    for (const seed of seeds) {
      this.#state = (this.#state ^ seed) >>> 0;
      // Seeds that differ in little shall soon differ in much.
      for (let turn = 0; turn < 8; turn++) this.#step();
    }
  }

  /** A whole number from 0 to `count` - 1. */
  below(count: number): number {
    return Math.floor(this.#step() / 2 ** 32 * count);
  }

  /** One of several; name one more than once to make it more likely. */
  pick<T>(values: readonly T[]): T {
    return values[this.below(values.length)]!;
  }

  /** A pause of less than so many milliseconds. */
  async pause(milliseconds: number): Promise<void> {
    const length = this.below(milliseconds);
    await new Promise((resolve) => setTimeout(resolve, length));
  }

  #step(): number {
    this.#state = (Math.imul(this.#state, 1_664_525) + 1_013_904_223) >>> 0;
    return this.#state;
  }
}
