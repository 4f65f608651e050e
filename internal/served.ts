const served = new WeakSet<object>();

/** Notes that `options` are for connections that a server has accepted. */
export function noteServed(options: object): void {
  served.add(options);
}

/** Whether `options` are for connections that a server has accepted. */
export function isServed(options: object): boolean {
  return served.has(options);
}
