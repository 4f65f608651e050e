/** An address as it is written, such as "127.0.0.1:80" and "[::1]:80". */
export function hostAndPort(hostname: string, port: unknown): string {
  return hostname.includes(":")
    ? `[${hostname}]:${port}`
    : `${hostname}:${port}`;
}
