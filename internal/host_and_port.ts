/** An address as it is written, such as "127.0.0.1:80" and "[::1]:80". */
export function hostAndPort(hostname: string, port: unknown): string {
  const host = withoutBrackets(hostname);
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** A name or an address; one of IPv6 may be in brackets, as URLs have it. */
export function withoutBrackets(hostname: string): string {
  return hostname.startsWith("[") && hostname.endsWith("]")
    ? hostname.slice(1, -1)
    : hostname;
}

/** What a server's certificate must be for; the zone of "fe80::1%eth0" is this side's own. */
export function certifiedName(hostname: string): string {
  const host = withoutBrackets(hostname);
  return host.includes(":") ? host.replace(/%.*$/, "") : host;
}
