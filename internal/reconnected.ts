const reconnected = new WeakSet<object>();

/** Notes that another connection will be made when this one has ended. */
export function noteReconnected(connection: object): void {
  reconnected.add(connection);
}

/** Whether another connection will be made when this one has ended. */
export function isReconnected(connection: object): boolean {
  return reconnected.has(connection);
}

const endWaits = new WeakMap<object, () => boolean>();

/**
 * Notes that a caller asked to be told of the peer's end.
 *
 * @param isOver Whether that has come, and nothing was received meanwhile.
 */
export function noteEndWait(connection: object, isOver: () => boolean): void {
  if (isReconnected(connection)) endWaits.set(connection, isOver);
}

/** Forgets who asked before, such as `onConnect`. */
export function forgetEndWait(connection: object): void {
  endWaits.delete(connection);
}

/** Whether the peer's end was asked for, and has come, even if messages are left. */
export function isEndWaitOver(connection: object): boolean {
  return endWaits.get(connection)?.() === true;
}
