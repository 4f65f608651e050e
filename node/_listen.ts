import type { Stats } from "node:fs";
import { lstat, readFile, stat, unlink } from "node:fs/promises";
import {
  type AddressInfo,
  connect,
  createServer,
  type ListenOptions,
  type Server,
} from "node:net";
import { once } from "node:events";
import { dirname, resolve } from "node:path";
import process from "node:process";
import { isError } from "../internal/realms.ts";
import { codeOf } from "../internal/system_error.ts";
import {
  DEFAULT_BACKLOG,
  handshakeOptions,
  SocketListener,
} from "./_accepting.ts";
import { ownTimer } from "../internal/event_loop.ts";
import { hostAndPort, withoutBrackets } from "../internal/host_and_port.ts";
import { fitsSocketName } from "../internal/socket_path.ts";
import { refuseWorkers, toSystemError } from "./_errors.ts";
import type { NetAddress, UnixAddress } from "./addresses.ts";
import type { ServeTcpOptions, ServeUnixOptions } from "./options.ts";

const DEFAULT_PORT = 8000;
const DEFAULT_HOSTNAME = "0.0.0.0";
const PROBE_PAUSE_MS = 10;

/** Listens on a TCP port, with or without TLS. */
export async function listenTcp<In, Out>(
  options: ServeTcpOptions<In, Out>,
): Promise<SocketListener<NetAddress>> {
  const {
    port = DEFAULT_PORT,
    hostname = DEFAULT_HOSTNAME,
    backlog = DEFAULT_BACKLOG,
    exclusive,
    ipv6Only,
    tls,
    keepAliveInitialDelay,
  } = options;
  const handshake = tls && handshakeOptions(tls);
  const server = await listen({
    port,
    host: withoutBrackets(hostname),
    backlog,
    ...(exclusive !== undefined && { exclusive }),
    ...(ipv6Only !== undefined && { ipv6Only }),
  }, hostAndPort(hostname, port));
  return new SocketListener<NetAddress>(server, {
    // Only the address of a Unix socket is a string.
    addr: netAddressOf(server.address() as AddressInfo),
    backlog,
    tls: handshake,
    keepAliveInitialDelay,
  });
}

type ServedUnixAddress = UnixAddress & { readonly path: string };

/**
 * Listens on a Unix socket. If a killed server has left its file there, it is taken over.
 */
export async function listenUnix<In, Out>(
  { path, backlog = DEFAULT_BACKLOG }: ServeUnixOptions<In, Out>,
): Promise<SocketListener<UnixAddress, ServedUnixAddress>> {
  // Node finally removes the socket by this path, which would lead elsewhere if the
  // process changes its working directory. A path that begins with a zero byte is not a
  // file.
  const isFile = !path.startsWith("\0");
  const absolute = isFile ? resolve(path) : path;
  const isRoomy = fitsSocketName(absolute, process.platform);
  const address = { path: isRoomy ? absolute : path, backlog };
  let server: Server;
  try {
    server = await listen(address, path);
  } catch (error) {
    const name = isError(error) && isFile ? error.name : undefined;
    if (name === "PermissionDenied") await checkFolder(address.path, path);
    if (name !== "AddrInUse" || !await removeStale(address.path)) throw error;
    server = await listen(address, path);
  }
  return new SocketListener<UnixAddress, ServedUnixAddress>(server, {
    addr: { transport: "unix", path: address.path },
    backlog,
  });
}

/** The address of a server that listens. */
export function addressOf(server: Server): NetAddress | UnixAddress {
  const address = server.address();
  if (typeof address === "string") return { transport: "unix", path: address };
  // For a Unix socket opened by its descriptor, such as systemd's, Node returns `null`, and
  // Bun an empty object.
  return address?.address === undefined
    ? { transport: "unix", path: null }
    : netAddressOf(address);
}

function netAddressOf({ address, port }: AddressInfo): NetAddress {
  return { transport: "tcp", hostname: address, port };
}

async function listen(options: ListenOptions, name: string): Promise<Server> {
  const task = `listen on ${name}`;
  refuseWorkers(task);
  const server = createServer({ allowHalfOpen: true, pauseOnConnect: true });
  server.listen(options);
  try {
    await once(server, "listening");
  } catch (error) {
    throw toSystemError(error, { task });
  }
  return server;
}

/** Throws if the socket's folder is missing, which Node reports as permission denied. */
async function checkFolder(path: string, name: string): Promise<void> {
  try {
    await stat(dirname(path));
  } catch (error) {
    throw toSystemError(error, { task: `listen on ${name}` });
  }
}

/** Removes a socket on which no server listens; returns whether there was one. */
async function removeStale(path: string): Promise<boolean> {
  const before = await statOf(path);
  if (before?.isSocket() !== true || !await isRefused(path)) return false;
  // A starting server also refuses for a moment, between its bind and its listen.
  await new Promise<void>((resolve) => ownTimer(resolve, PROBE_PAUSE_MS));
  if (!await isRefused(path) || await isListed(path)) return false;
  const now = await statOf(path);
  // Another server may have won the race. A new file may have the inode number of a
  // removed one.
  if (now?.ino !== before.ino || now.mtimeMs !== before.mtimeMs) return false;
  await unlink(path);
  return true;
}

/** The file at the path, if it can be examined. */
async function statOf(path: string): Promise<Stats | undefined> {
  try {
    return await lstat(path);
  } catch {
    return undefined;
  }
}

/** Whether connecting is refused because no server listens. */
async function isRefused(path: string): Promise<boolean> {
  const socket = connect(path);
  try {
    await once(socket, "connect");
    return false;
  } catch (error) {
    return codeOf(error) === "ECONNREFUSED";
  } finally {
    socket.destroy();
  }
}

/**
 * Whether the path is that of a server whose queue is full, or of a program that receives
 * datagrams. Bun reports both as a refusal too; only Linux's list of sockets, by the paths
 * that they were bound to, shows them.
 */
async function isListed(path: string): Promise<boolean> {
  if (process.versions.bun === undefined) return false;
  let sockets: string;
  try {
    sockets = await readFile("/proc/net/unix", "utf8");
  } catch {
    return false; // another system
  }
  return sockets.split("\n")
    .some((line) => IN_USE.test(line) && line.endsWith(` ${path}`));
}

// The address, reference count, protocol, and then the flag of a listening socket, or any
// flags and the type of a datagram socket.
const IN_USE = /^\S+ \S+ \S+ (?:00010000|\S+ 0002) /;
