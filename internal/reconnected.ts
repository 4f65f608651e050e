const reconnected = new WeakSet<object>();

/** Notes that another connection will be made when this one has ended. */
export function noteReconnected(connection: object): void {
  reconnected.add(connection);
}

/** Whether another connection will be made when this one has ended. */
export function isReconnected(connection: object): boolean {
  return reconnected.has(connection);
}
