import { isAbsolute } from "node:path";
import { listenOnSocket } from "./_unix_socket.ts";
import type { ServeTcpOptions, ServeUnixOptions } from "./options.ts";
import type { ServeListener } from "./serve_listener.ts";
import type { Address, Transport } from "../connection/transport.ts";
import { hostAndPort } from "../internal/host_and_port.ts";
import type { Listener } from "../internal/serving.ts";
import { fitsSocketName } from "../internal/socket_path.ts";
import { namingTask } from "../internal/system_error.ts";

const DEFAULT_PORT = 8000;
const DEFAULT_HOSTNAME = "0.0.0.0";

/** Listens on a TCP port, with or without TLS. */
export function listenTcp<In, Out>(
  options: ServeTcpOptions<In, Out>,
): Listener<Deno.Conn<Deno.NetAddr>, Deno.NetAddr> {
  const { port = DEFAULT_PORT, hostname, tls, reusePort, tcpBacklog } = options;
  const address = {
    port,
    ...(hostname !== undefined && { hostname }),
    ...(reusePort !== undefined && { reusePort }),
    ...(tcpBacklog !== undefined && { tcpBacklog }),
  };
  const name = hostAndPort(hostname ?? DEFAULT_HOSTNAME, port);
  if (tls === undefined) return listening(name, () => Deno.listen(address));
  const { cert, key, alpnProtocols } = tls;
  const listener = listening(name, () =>
    Deno.listenTls({
      ...address,
      cert,
      key,
      ...(alpnProtocols && { alpnProtocols: [...alpnProtocols] }),
    }));
  return {
    addr: listener.addr,
    accept: () => listener.accept(),
    close: () => listener.close(),
    ref: () => {}, // it always is
    unref() {
      throw new Deno.errors.NotSupported(
        "Cannot unref server over TLS: Deno's TLS listener keeps the process alive",
      );
    },
  };
}

/** Listens on a Unix socket. */
export function listenUnix<In, Out>(
  { path }: ServeUnixOptions<In, Out>,
): Listener<Deno.Conn<Deno.UnixAddr>, Deno.UnixAddr> {
  // Deno finally removes the socket by this path, which would lead elsewhere if the
  // process changes its working directory. A path that begins with a zero byte is not a
  // file.
  const isFixed = isAbsolute(path) || path.startsWith("\0");
  const absolute = isFixed ? path : `${Deno.cwd()}/${path}`;
  const isRoomy = fitsSocketName(absolute, Deno.build.os);
  return listenOnSocket(isRoomy ? absolute : path);
}

/** The result of `listen`; its errors name the address. */
function listening<T>(name: string, listen: () => T): T {
  try {
    return listen();
  } catch (error) {
    throw namingTask(error, `listen on ${name}`);
  }
}

/** Takes connections from the caller's listener. */
export function listenBy<A extends Address>(
  listener: ServeListener<A>,
): Listener<Transport, A> {
  return {
    addr: listener.addr,
    accept: () => listener.accept(),
    close: () => listener.close(),
    ref: () => listener.ref?.(),
    unref() {
      if (typeof listener.unref !== "function") {
        throw new Deno.errors.NotSupported(
          "Cannot unref server as its listener has no method unref",
        );
      }
      listener.unref();
    },
  };
}

/** Throws if Deno would ignore the option, or end the process because of it. */
export function checkReusePort(): void {
  if (Deno.build.os !== "linux") {
    throw new TypeError(
      `Cannot use option reusePort on ${Deno.build.os}: only Linux has it`,
    );
  }
  // The only visible sign of the flag.
  if (!("listenDatagram" in Deno)) {
    throw new TypeError(
      "Cannot use option reusePort without Deno's flag --unstable-net",
    );
  }
}
