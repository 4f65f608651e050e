import { dirname } from "node:path";
import { namingTask } from "../internal/system_error.ts";

// A probe takes some milliseconds. Without an answer the socket counts as in use.
const PROBE_MS = 2000;
// How long another server that takes over a socket of the same folder is waited for.
const LOCK_MS = 1000;
const LOCK_PAUSE_MS = 5;

// Two refusals in a row: a server that begins has a moment between its bind and its
// listen, in which it refuses too.
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
 * Listens on a Unix socket. If a server that was killed has left its file there, it is
 * taken over.
 */
export function listenOnSocket(path: string): Deno.UnixListener {
  try {
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    // A name that begins with a zero byte is no file, and ends with its server.
    if (!(error instanceof Deno.errors.AddrInUse) || path.startsWith("\0")) {
      throw namingTask(error, `listen on ${path}`);
    }
    return takeOver(path, error);
  }
}

function takeOver(path: string, inUse: Error): Deno.UnixListener {
  // Of several servers that start now, one finds the socket stale; the others wait,
  // and find it in use.
  const lock = lockFolder(dirname(path));
  // Not by `using`: Node 22, which may import this file, cannot parse it.
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
    // Not the file of a server that cannot lock the folder and was faster.
    const now = statOf(path);
    // A file that is new may have got the number of one that was removed.
    const isSame = now?.ino === before.ino &&
      now.mtime?.getTime() === before.mtime?.getTime();
    if (isSame) Deno.removeSync(path);
    return Deno.listen({ transport: "unix", path });
  } catch (error) {
    throw namingTask(error, `listen on ${path}`);
  }
}

/** What lies at the path, as far as it may be looked at. */
function statOf(path: string): Deno.FileInfo | undefined {
  try {
    return Deno.lstatSync(path);
  } catch {
    return undefined;
  }
}

/**
 * Whether connecting is refused, as no server listens. Only a thread of its own can find
 * out for a function that is not async.
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
  /** Whether another has held it for too long. */
  readonly isMissed: boolean;
}

/** Locks a folder, if it may be opened. */
function lockFolder(path: string): FolderLock {
  let folder: Deno.FsFile;
  try {
    folder = Deno.openSync(path);
  } catch {
    return { isMissed: false, [Symbol.dispose]: () => {} };
  }
  const clock = new Int32Array(new SharedArrayBuffer(4));
  const end = performance.now() + LOCK_MS;
  let isMissed = !folder.tryLockSync(true);
  while (isMissed && performance.now() < end) {
    Atomics.wait(clock, 0, 0, LOCK_PAUSE_MS);
    isMissed = !folder.tryLockSync(true);
  }
  return { isMissed, [Symbol.dispose]: () => folder.close() };
}
