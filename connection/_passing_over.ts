/**
 * Makes a generator that skips the rest when its loop is left do so even if the loop has
 * not begun, such as when a stream made from it is cancelled unread: ending a generator
 * that has not begun runs none of its code.
 */
export function passingOver<T>(
  generator: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  const leave = generator.return.bind(generator);
  generator.return = async (value) => {
    // Begins the generator. If it has begun, this drops one more value.
    await generator.next().catch(() => {});
    return await leave(value);
  };
  return generator;
}
