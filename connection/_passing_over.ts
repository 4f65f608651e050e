/**
 * Lets a generator that passes over the rest when its loop is left do so also if the loop
 * has not begun, such as when a stream of it is cancelled unread: a generator that has not
 * begun has nothing to end.
 */
export function passingOver<T>(
  generator: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  const leave = generator.return.bind(generator);
  generator.return = async (value) => {
    // Begins it. Of one that has begun, it is one more that is dropped.
    await generator.next().catch(() => {});
    return await leave(value);
  };
  return generator;
}
