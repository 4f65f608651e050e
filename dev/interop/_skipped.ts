/**
 * The names of tests of connections, servers and clients that are skipped in Node and
 * Bun.
 *
 * @module
 */

/** Tests that are skipped for one reason. */
export interface Skipped {
  /** The row of the table in docs/runtimes.md, if the runtime is the reason. */
  readonly row?: string;
  /** The runtime; by default all. */
  readonly runtime?: "bun";
  readonly tests: readonly string[];
}

/** All skipped tests. */
export const SKIPPED: readonly Skipped[] = [
  { // They replace a function of Deno that connects or listens.
    tests: [
      "serve() continues to accept after an error and a pause",
      "Server.shutdown() ends a server that pauses after an error",
      "Server.unref() lets the process end while it pauses after an error",
      "Server.shutdown() closes a connection that is accepted during the shutdown",
      "connect() rejects a certificate for another name",
      "connect() verifies the certificate for serverName",
      "connect() takes an IPv6 address in brackets over TLS, as in a URL",
      "connect() passes the options for choosing an address to Deno.connect",
      "connect() closes its socket when TLS cannot start",
      "connect() sets noDelay and keepAlive, over TLS too",
      "connect() rejects after connectTimeout or by its signal while it dials",
      "connect() rejects if it has connected to itself",
      "connect() closes a connection that opens after the timeout",
      "connect() rejects when its signal is aborted as the connection opens",
      "reconnect() does not try again without permission",
      "reconnect() rejects when its signal is aborted, in every phase: while it connects",
    ],
  },
  { // They start a Deno program.
    tests: [
      "serve() listens on port 8000 of all interfaces by default",
      "serve() continues after it ran out of file descriptors",
      "Server.unref() lets the process end",
      "Server.ref() keeps the process alive again",
      "serve() removes its socket, and nothing else, from another folder too",
      "serve() listens on a relative path in a deep folder",
      "connect() sends its certificate to a server that asks for one",
      "Connection.unref() lets the process end, and ref() keeps it",
      "Connection.unref() and ref() work in TLS, and receive() keeps the process alive",
      "Connection does not keep the process alive for an aborted receive() or a watcher",
      "Connection keeps the process alive for a pending receive() while it is watched",
      "reconnect() keeps the process alive for a handler that only waits for the end",
    ],
  },
  { // It reads the system's buffer sizes with a function of Deno.
    tests: [
      "sendTimeout as docs/timeouts.md computes it ends no peer that reads slowly and steadily over TCP, TLS and Unix sockets",
    ],
  },
  { // They count turns of Deno's event loop.
    tests: [
      'broadcast() with "drop" drops nothing before the sockets were polled',
      'broadcast() with "disconnect" ends no connection that is written to later than others',
    ],
  },
  { // They test options that only Deno has.
    tests: [
      "serve() shares a port by reusePort",
      "serve() refuses reusePort without Deno's flag --unstable-net",
      "serve() refuses invalid options before it listens",
      "connect() refuses invalid options before it opens anything",
      "Connection refuses noDelay and keepAlive over TLS",
      "identifyTransport() names the transport when it refuses an option",
      "Server.unref() is refused over TLS",
    ],
  },
  {
    row: "`serve()` returns a promise",
    tests: [
      "serve() throws immediately if the port is in use",
      "serve() stops listening if onListen throws",
      "serve() rejects a Unix socket that another server uses",
      "serve() removes no file that is not a socket",
      "reconnect() waits until the server of a Unix socket starts, and until it restarts",
    ],
  },
  {
    row: "Connections above a limit are accepted, and wait unread",
    tests: ["serve() lets no more connections wait than tcpBacklog"],
  },
  {
    row: "An abort over TCP is a reset",
    // The peer may get the reset while it still connects.
    tests: [
      "serve() continues with other connections when a handler throws",
      "Connection.abort() with unread bytes lets the peer read the bytes that have arrived, and then the end",
    ],
  },
  {
    row: "A Unix socket is rarely reset",
    tests: [
      "Connection over a Unix socket aborts its signal at a reset, although nothing is received",
    ],
  },
  {
    row:
      "If servers start together on a stale Unix socket, several may believe they own it",
    tests: [
      "serve() gives a stale socket to one of several servers",
      "serve() takes over no socket while another server may be taking it over",
    ],
  },
  {
    row: "An invalid `hostname` is looked up",
    tests: ["reconnect() does not try again after the caller's mistake"],
  },
  {
    row: "Over TLS from `startTls()`, a half-close ends both directions",
    runtime: "bun",
    tests: [
      "Connection.closeWrite() in TLS resolves when the transport has sent the end, also after the peer's end",
      "Connection.close() while startTls() does its handshake drains the transport until the peer closes its side",
      "Connection.startTls() encrypts both directions over TCP",
      "Connection.startTls() encrypts both directions over a Unix socket",
      "Connection.startTls() encrypts both directions over memory",
      "Connection.startTls() makes detach() and a second startTls() reject until it has settled",
    ],
  },
  {
    row: "The input of a child process, as a web stream, has no backpressure",
    runtime: "bun",
    tests: [
      "Connection over child processes waits for a peer that stops receiving, and continues with it",
    ],
  },
  { // Bun does not report the memory of buffers.
    runtime: "bun",
    tests: ["broadcast() keeps one copy of a large frame in memory"],
  },
];
