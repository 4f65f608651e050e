/** Throws unless `value` is a function; `task` says what cannot be done without. */
export function checkFunction<T>(
  task: string,
  name: string,
  value: T,
): asserts value is NonNullable<T> {
  if (typeof value !== "function") {
    throw new TypeError(
      `Cannot ${task} as ${name} must be a function: current value is of type ${typeof value}`,
    );
  }
}
