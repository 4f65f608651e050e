/**
 * Whether the system has room for the path of a Unix socket.
 *
 * @param os The system's name in Deno or Node.
 */
export function fitsSocketName(path: string, os: string): boolean {
  return lengthOf(path) <= maxBytes(os);
}

/**
 * Throws unless a Unix socket can have this path. Node 22 would cut one that is too long,
 * and Bun one with a zero byte: the socket would be another file. Deno refuses both, and
 * does not say what the limit is.
 *
 * @param os The system's name in Deno or Node.
 */
export function checkSocketPath(path: string, os: string): void {
  const length = lengthOf(path);
  const most = maxBytes(os);
  if (length > most) {
    throw new TypeError(
      `Cannot use path as that of a Unix socket has at most ${most} bytes: current value has ${length}, ${
        JSON.stringify(path)
      }`,
    );
  }
  // A leading one marks an abstract name, which may contain others.
  if (path.includes("\0") && !path.startsWith("\0")) {
    throw new TypeError(
      `Cannot use path as it must have no zero byte within: current value is ${
        JSON.stringify(path)
      }`,
    );
  }
}

function lengthOf(path: string): number {
  return new TextEncoder().encode(path).length;
}

/** How many bytes `sun_path` holds, without the zero byte at its end. */
function maxBytes(os: string): number {
  switch (os) {
    case "linux":
    case "android":
      return 107;
    case "win32":
    case "windows":
      return Infinity; // a pipe's name
    default:
      return 103;
  }
}
