// Implements the part of Deno that the tests of connections, servers and clients use,
// with node:net and node:tls. A connection here is a transport that @framed/tcp/node
// makes from a socket.

import { spawn } from "node:child_process";
import dns from "node:dns";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import process from "node:process";
import { Readable, Writable } from "node:stream";
import tls from "node:tls";
import { toSystemError } from "../../../node/_errors.ts";
import { socketTransport } from "../../../node/socket_transport.ts";
import { unhandled } from "./suites.js";

const { Deno } = globalThis;

Deno.build = {
  os: { win32: "windows" }[process.platform] ?? process.platform,
};
Deno.unrefTimer = (timer) => timer.unref();

// Tests replace this function, and restore it.
Object.setPrototypeOf(
  performance,
  Object.create(Object.getPrototypeOf(performance), {
    now: { value: performance.now.bind(performance), writable: true },
  }),
);
Reflect.deleteProperty(performance, "now");

// Errors have the names that node.ts gives them.
Deno.errors = new Proxy({}, {
  get: (classes, name) => {
    classes[name] ??= class extends Error {
      static [Symbol.hasInstance](error) {
        return error?.name === name || toSystemError(error)?.name === name;
      }
      constructor(...args) {
        super(...args);
        this.name = name;
      }
    };
    return classes[name];
  },
});

globalThis.QuotaExceededError ??= class extends DOMException {
  constructor(message, facts) {
    super(message, "QuotaExceededError");
    Object.assign(this, facts);
  }
};

// Addresses are not looked up, so that Deno.listen() knows its port when it returns.
const { lookup } = dns;
dns.lookup = (hostname, options, callback) => {
  const family = net.isIP(hostname);
  if (family === 0) return lookup(hostname, options, callback);
  if (options.all) callback(null, [{ address: hostname, family }]);
  else callback(null, hostname, family);
};

const asyncFiles = ["lstat", "readFile", "rename", "symlink", "writeFile"];
for (const name of asyncFiles) {
  Deno[name.replace("File", "TextFile")] = (...args) =>
    fs.promises[name](...args, ...(name === "readFile" ? ["utf8"] : []));
}
Deno.readTextFileSync = (path) => fs.readFileSync(path, "utf8");
Deno.remove = (path) => fs.promises.rm(path, { recursive: true });
Deno.removeSync = (path) => fs.rmSync(path);
Deno.renameSync = fs.renameSync;
Deno.lstat = async (path) => {
  const stats = await fs.promises.lstat(path);
  return { isSymlink: stats.isSymbolicLink() };
};
Deno.statSync = (path) => {
  try {
    return fs.statSync(path);
  } catch (error) {
    throw toSystemError(error);
  }
};
Deno.makeTempDir = () =>
  fs.promises.mkdtemp(`${os.tmpdir()}/framed-tcp-runtimes-`);

/** Child processes with pipes. */
Deno.Command = class {
  constructor(command, { args = [] } = {}) {
    this.spawn = () => {
      const child = spawn(command, args, { stdio: ["pipe", "pipe", "ignore"] });
      const exited = once(child, "exit");
      return {
        stdin: Writable.toWeb(child.stdin),
        stdout: Readable.toWeb(child.stdout),
        status: exited.then(([code, signal]) => ({
          code,
          signal,
          success: code === 0,
        })),
        kill: (signal) => void child.kill(signal),
      };
    };
  }
};

/** A transport with the other members of Deno's connections. */
function toConn(socket, addresses = {}) {
  const conn = socketTransport(socket);
  for (const [side, value] of Object.entries(addresses)) {
    Object.defineProperty(conn, side, { value });
  }
  conn[Symbol.dispose] = () => conn.close();
  if (socket.encrypted) {
    conn.handshake = () =>
      Promise.resolve({
        alpnProtocol: socket.alpnProtocol || null,
      });
  }
  return conn;
}

async function failingAtEnd(socket) {
  await once(socket, "end");
  throw new Error("The peer has ended the handshake");
}

function listen(toConn, { hostname, port, transport, path }) {
  const server = net.createServer({
    allowHalfOpen: true,
    pauseOnConnect: true,
  });
  const waiting = [];
  const accepting = [];
  let isClosed = false;
  const closed = () =>
    Object.assign(new Error("Closed"), { name: "BadResource" });
  server.on("connection", (socket) => {
    socket.on("error", () => {});
    if (accepting.length > 0) accepting.shift().resolve(toConn(socket));
    else waiting.push(socket);
  });
  if (transport === "unix") server.listen({ path });
  else server.listen({ port, host: hostname ?? "0.0.0.0" });
  const address = server.address();
  const addr = path === undefined
    ? { transport: "tcp", hostname: address.address, port: address.port }
    : { transport, path };
  const close = () => {
    if (isClosed) throw closed();
    isClosed = true;
    server.close();
    for (const { reject } of accepting) reject(closed());
    for (const socket of waiting) socket.destroy();
  };
  return {
    addr,
    async accept() {
      if (waiting.length > 0) return toConn(waiting.shift());
      if (isClosed) throw closed();
      const deferred = Promise.withResolvers();
      accepting.push(deferred);
      return await deferred.promise;
    },
    close,
    [Symbol.dispose]() {
      if (!isClosed) close();
    },
    ref: () => server.ref(),
    unref: () => server.unref(),
  };
}

Deno.listen = (options) => {
  const { transport, path } = options;
  const addresses = path === undefined
    ? {}
    : { localAddr: { transport, path } };
  return listen((socket) => toConn(socket, addresses), options);
};

// The handshake starts when a connection is accepted, and is not awaited.
Deno.listenTls = (options) => {
  const { cert, key, alpnProtocols } = options;
  const secureContext = tls.createSecureContext({ cert, key });
  return listen((socket) => {
    const secure = new tls.TLSSocket(socket, {
      isServer: true,
      secureContext,
      ALPNProtocols: alpnProtocols,
    });
    secure.on("error", () => {});
    const handshake = Promise.race([
      once(secure, "secure"),
      failingAtEnd(secure),
    ]).then(() => ({ alpnProtocol: secure.alpnProtocol || null }));
    handshake.catch(() => {});
    let conn;
    // Created late, because it pauses the socket, which then reports no end.
    const close = () => conn === undefined ? secure.destroy() : conn.close();
    return new Proxy({
      handshake: () => handshake,
      close,
      [Symbol.dispose]: close,
    }, {
      has: (own, name) => name in own || name in (conn ??= toConn(secure)),
      get(own, name) {
        if (name in own) return own[name];
        if (name === "then") return undefined; // it is returned as a promise
        conn ??= toConn(secure);
        const value = conn[name];
        return typeof value === "function" ? value.bind(conn) : value;
      },
    });
  }, options);
};

Deno.connect = async ({ hostname = "127.0.0.1", port, path }) => {
  const socket = net.connect(
    path === undefined
      ? { host: hostname, port, allowHalfOpen: true }
      : { path, allowHalfOpen: true },
  );
  socket.pause();
  await once(socket, "connect");
  return toConn(
    socket,
    path === undefined ? {} : { remoteAddr: { transport: "unix", path } },
  );
};

Deno.connectTls = async (
  { hostname = "127.0.0.1", port, caCerts, alpnProtocols, cert, key },
) => {
  const socket = tls.connect({
    host: hostname,
    port,
    servername: net.isIP(hostname) === 0 ? hostname : "",
    ca: caCerts,
    cert,
    key,
    ALPNProtocols: alpnProtocols,
    allowHalfOpen: true,
  });
  await once(socket, "secureConnect");
  return toConn(socket);
};

// For tests that check unhandled rejections.
const listeners = new Map();
process.on("unhandledRejection", (reason) => {
  if (listeners.size === 0) unhandled.push(reason);
});
globalThis.addEventListener ??= () => {};
globalThis.removeEventListener ??= () => {};
const { addEventListener, removeEventListener } = globalThis;
globalThis.addEventListener = (type, listener) => {
  if (type !== "unhandledrejection") return addEventListener(type, listener);
  const onRejection = (reason) =>
    listener({ reason, preventDefault: () => {} });
  listeners.set(listener, onRejection);
  process.on("unhandledRejection", onRejection);
};
globalThis.removeEventListener = (type, listener) => {
  if (type !== "unhandledrejection") return removeEventListener(type, listener);
  process.off("unhandledRejection", listeners.get(listener));
  listeners.delete(listener);
};
