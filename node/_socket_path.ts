import process from "node:process";

/** Whether the system has room for the path of a Unix socket. */
export function fitsSocketName(path: string): boolean {
  return new TextEncoder().encode(path).length <= maxBytes();
}

/**
 * Throws unless a Unix socket can have this path. Node 22 would cut one that is too long,
 * and Bun one with a zero byte: the socket would be another file.
 */
export function checkSocketPath(path: string): void {
  if (!fitsSocketName(path)) {
    throw new TypeError(
      `Cannot use path as that of a Unix socket has at most ${maxBytes()} bytes: current value is ${
        JSON.stringify(path)
      }`,
    );
  }
  // One at the beginning is a name that is no file, in which others may follow.
  if (path.includes("\0") && !path.startsWith("\0")) {
    throw new TypeError(
      `Cannot use path as it must have no zero byte within: current value is ${
        JSON.stringify(path)
      }`,
    );
  }
}

/** What `sun_path` holds, without the zero byte at its end. */
function maxBytes(): number {
  switch (process.platform) {
    case "linux":
    case "android":
      return 107;
    case "win32":
      return Infinity; // the name of a pipe
    default:
      return 103;
  }
}
