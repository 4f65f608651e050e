/**
 * Calls `onTimeout` after some milliseconds. Time in which this thread was busy when
 * they were over does not count.
 *
 * @returns Stops the timer.
 */
export function startTimer(
  milliseconds: number,
  onTimeout: () => void,
): () => void {
  const due = performance.now() + milliseconds;
  let timer = setTimeout(() => {
    // A timer that is late tells that this thread was busy. The peer gets that time
    // back, and if it was not, a look at the sockets: a timer comes before them.
    timer = setTimeout(onTimeout, performance.now() - due);
  }, milliseconds);
  return () => clearTimeout(timer);
}
