/** Promises whose failure is told elsewhere. */

/**
 * Returns the promise as it is. A failure does not end the program while nobody awaits the promise: whoever
 * awaits it later is told, or its owner learns of the failure elsewhere.
 */
export function mayFail<T>(promise: Promise<T>): Promise<T> {
  promise.catch(() => {});
  return promise;
}
