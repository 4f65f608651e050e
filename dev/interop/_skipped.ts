/**
 * Which tests of connections, servers and clients do not run in Node and Bun, by name.
 *
 * @module
 */

/** Tests that are left out for one reason. */
export interface Skipped {
  /** The row of the table in docs/runtimes.md, if the runtime is the reason. */
  readonly row?: string;
  /** Where; by default in all. */
  readonly runtime?: "bun";
  readonly tests: readonly string[];
}

/** All that are left out. */
export const SKIPPED: readonly Skipped[] = [
  { // They put something in place of a function of Deno's that connects or listens.
    tests: [
      "serve() goes on accepting after an error, with a pause",
      "Server.shutdown() ends a server that pauses after an error",
      "Server.unref() lets the process end while it pauses after an error",
      "Server.shutdown() closes a connection that is accepted too late",
      "connect() rejects if the certificate is for another name",
      "connect() verifies the certificate for serverName",
      "connect() takes an IPv6 address in brackets over TLS, as URLs have it",
      "connect() passes on how to choose among the addresses of a name",
      "connect() closes what it has opened when TLS cannot begin",
      "connect() sets noDelay and keepAlive, over TLS too",
      "connect() gives up dialling after connectTimeout, or by its signal",
      "connect() refuses a connection with itself",
      "connect() closes a connection that comes too late",
      "connect() rejects when its signal is aborted as the connection opens",
      "reconnect() does not try again without permission",
      "reconnect() ends by its signal in every phase: while it connects",
    ],
  },
  { // They start a program of Deno's.
    tests: [
      "serve() uses port 8000 of all interfaces if it is told no other",
      "serve() survives running out of file descriptors",
      "Server.unref() lets the process end",
      "Server.ref() keeps the process alive again",
      "serve() removes its socket, and nothing else, from another folder too",
      "serve() listens on a relative path in a deep folder",
      "connect() shows its certificate to a server that wants one",
      "Connection.unref() lets the process end, and ref() keeps it",
      "Connection.unref() and ref() hold in TLS, and waiting for a message keeps the process alive",
      "Connection keeps no process alive by an aborted receive(), or for those who watch",
      "Connection keeps the process alive for who receives while it is watched",
      "reconnect() keeps the process alive for a handler that waits for the end alone",
    ],
  },
  { // It asks the system for its buffers by a function of Deno's.
    tests: [
      "sendTimeout as docs/timeouts.md computes it ends no peer that reads slowly and steadily over TCP, TLS and Unix sockets",
    ],
  },
  { // They count the turns of Deno's scheduler.
    tests: [
      'broadcast() with "drop" drops nothing before the sockets were looked at',
      'broadcast() with "disconnect" ends none whose turn to be written comes after others',
    ],
  },
  { // They are about options of Deno's.
    tests: [
      "serve() shares a port by reusePort",
      "serve() refuses reusePort without the flag that Deno wants for it",
      "serve() refuses what cannot work before it listens",
      "connect() refuses what cannot work before it opens anything",
      "Connection refuses noDelay and keepAlive over TLS",
      "identifyTransport() refuses an option by the transport's name",
      "Server.unref() is refused over TLS",
    ],
  },
  {
    row: "`serve()` returns a promise",
    tests: [
      "serve() throws immediately if the port is in use",
      "serve() does not listen any more if onListen throws",
      "serve() leaves a socket that is in use to its server",
      "serve() removes nothing that is no socket",
      "reconnect() waits for a Unix socket's server to come, and to come back",
    ],
  },
  {
    row: "Connections above a limit are accepted, and wait unread",
    tests: ["serve() lets no more connections wait than tcpBacklog"],
  },
  {
    row: "An abort over TCP is a reset",
    // Which the peer may be told while it still connects.
    tests: [
      "serve() goes on with other connections when a handler throws",
      "Connection.abort() with unread bytes lets the peer read what has arrived, and then an end",
    ],
  },
  {
    row: "A Unix socket is never reset",
    tests: [
      "Connection over a Unix socket aborts its signal at a reset, though nothing is received",
    ],
  },
  {
    row:
      "If servers start together on a stale Unix socket, several may believe they own it",
    tests: [
      "serve() gives a stale socket to one of several servers",
      "serve() takes over no socket while another server may be doing so",
    ],
  },
  {
    row: "An invalid `hostname` is looked up",
    tests: ["reconnect() does not try again after a mistake"],
  },
  {
    row: "Over TLS from `startTls()`, a half-close ends both directions",
    runtime: "bun",
    tests: [
      "Connection.closeWrite() in TLS settles when the transport has taken the end, also after the peer's",
      "Connection.startTls() encrypts both ways from then on over TCP",
      "Connection.startTls() encrypts both ways from then on over a Unix socket",
      "Connection.startTls() encrypts both ways from then on over memory",
      "Connection.startTls() has the transport for itself",
    ],
  },
  {
    row: "The input of a child process, as a web stream, has no backpressure",
    runtime: "bun",
    tests: [
      "Connection over child processes waits for a peer that stops receiving, and goes on with it",
    ],
  },
  { // It does not tell how much memory buffers take.
    runtime: "bun",
    tests: ["broadcast() keeps a large frame in memory once"],
  },
];
