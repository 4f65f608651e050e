/** An address as text, such as "127.0.0.1:80" and "[::1]:80". */
export function hostAndPort(hostname: string, port: unknown): string {
  const host = withoutBrackets(hostname);
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A host without the brackets that URLs put around an IPv6 address. */
export function withoutBrackets(hostname: string): string {
  return hostname.startsWith("[") && hostname.endsWith("]")
    ? hostname.slice(1, -1)
    : hostname;
}

/**
 * The name for a server's certificate, without a zone: in "fe80::1%eth0",
 * "eth0" is local.
 */
export function certifiedName(hostname: string): string {
  const host = withoutBrackets(hostname);
  return host.includes(":") ? host.replace(/%.*$/, "") : host;
}
