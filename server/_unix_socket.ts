import { dirname } from "node:path";
import { ownTimers } from "../internal/event_loop.ts";
import { namingTask } from "../internal/system_error.ts";

// A probe takes some milliseconds. Without a result the socket counts as in use.
const PROBE_MS = 2000;
// How long to wait for another server that takes over a socket in the same folder.
const LOCK_MS = 1000;
const LOCK_PAUSE_MS = 5;

// Two refusals in a row: a starting server also refuses for a moment, between its bind
// and its listen.
const PROBE = `onmessage = async ({ data: { path, state } }) => {
  const isRefused = async () => {
    try {
      (await Deno.connect({ transport: "unix", path })).close();
      return false;
    } catch (error) {
      return error instanceof Deno.errors.ConnectionRefused;
    }
  };
  let isStale = await isRefused();
  if (isStale) {
    await new Promise((resolve) => setTimeout(resolve, 10));
    isStale = await isRefused();
  }
  Atomics.store(state, 0, isStale ? 1 : 2);
  Atomics.notify(state, 0);
};`;

/**
 * Listens on a Unix socket. If a killed server has left its file there, it is taken over.
 */
export function listenOnSocket(path: string): Deno.UnixListener {
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    // A name that begins with a zero byte is not a file, and ends with its server.
    if (!(error instanceof Deno.errors.AddrInUse) || path.startsWith("\0")) {
      throw namingTask(error, `listen on ${path}`);
    }
    return takeOver(path, error);
  }
}

function takeOver(path: string, inUse: Error): Deno.UnixListener {
  // If several servers start now, one finds the socket stale; the others wait, and find
  // it in use.
  const lock = lockFolder(dirname(path));
  // Not with `using`: Node 22, which may import this file, cannot parse it.
  try {
    return takeOverLocked(path, inUse, lock);
  } finally {
    lock[Symbol.dispose]();
  }
}

function takeOverLocked(
  path: string,
  inUse: Error,
  lock: FolderLock,
): Deno.UnixListener {
  const before = statOf(path);
  if (before?.isSocket === false) {
    throw namingTask(inUse, `listen on ${path}, a file that is no socket`);
  }
  if (lock.isMissed || before === undefined || !isStale(path)) {
    throw namingTask(inUse, `listen on ${path}`);
  }
  try {
    // Not the file of a server that cannot lock the folder and won the race.
    const now = statOf(path);
    // A new file may have the inode number of a removed one.
    const isSame = now?.ino === before.ino &&
      now.mtime?.getTime() === before.mtime?.getTime();
    if (isSame) Deno.removeSync(path);
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    throw namingTask(error, `listen on ${path}`);
  }
}

/** The file at the path, if it can be examined. */
function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Whether connecting is refused because no server listens. A synchronous function needs a
 * separate thread to find out.
 */
function isStale(path: string): boolean {
  const state = new Int32Array(new SharedArrayBuffer(4));
  const worker = new Worker(
    `data:text/javascript,${encodeURIComponent(PROBE)}`,
    { type: "module" },
  );
  try {
    worker.postMessage({ path, state });
    Atomics.wait(state, 0, 0, PROBE_MS);
    return Atomics.load(state, 0) === 1;
  } finally {
    worker.terminate();
  }
}

/** A lock that ends with its process, and leaves no file. */
interface FolderLock extends Disposable {
  /** Whether another process held it for too long. */
  readonly isMissed: boolean;
}

/** Locks a folder, if the process may open it. */
function lockFolder(path: string): FolderLock {
  let folder: Deno.FsFile;
  try {
    folder = Deno.openSync(path);
  } catch {
    return { isMissed: false, [Symbol.dispose]: () => {} };
  }
  const clock = new Int32Array(new SharedArrayBuffer(4));
  const end = ownTimers.now() + LOCK_MS;
  let isMissed = !folder.tryLockSync(true);
  while (isMissed && ownTimers.now() < end) {
    Atomics.wait(clock, 0, 0, LOCK_PAUSE_MS);
    isMissed = !folder.tryLockSync(true);
  }
  return { isMissed, [Symbol.dispose]: () => folder.close() };
}
