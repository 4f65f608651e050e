/** TLS for the far side's sockets, with OpenSSL: TLS of Deno would be the limit. */

import { fileURLToPath } from "node:url";
import { type Bytes, check, type Socket } from "./load_sockets.ts";

const SSL_FILETYPE_PEM = 1;
const openssl = Deno.dlopen("libssl.so.3", {
  TLS_client_method: { parameters: [], result: "pointer" },
  TLS_server_method: { parameters: [], result: "pointer" },
  SSL_CTX_new: { parameters: ["pointer"], result: "pointer" },
  SSL_CTX_use_certificate_file: {
    parameters: ["pointer", "buffer", "i32"],
    result: "i32",
  },
  SSL_CTX_use_PrivateKey_file: {
    parameters: ["pointer", "buffer", "i32"],
    result: "i32",
  },
  SSL_new: { parameters: ["pointer"], result: "pointer" },
  SSL_set_fd: { parameters: ["pointer", "i32"], result: "i32" },
  SSL_accept: { parameters: ["pointer"], result: "i32" },
  SSL_connect: { parameters: ["pointer"], result: "i32" },
  SSL_read: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  SSL_write: { parameters: ["pointer", "buffer", "i32"], result: "i32" },
  SSL_shutdown: { parameters: ["pointer"], result: "i32" },
  SSL_free: { parameters: ["pointer"], result: "void" },
}).symbols;

/** OpenSSL reports errors with 0 and with negative numbers. */
function checkPositive(result: number, call: string): number {
  return check(result > 0 ? result : -1, call);
}

function pathOf(name: string): Bytes {
  const url = new URL(`../testdata/${name}`, import.meta.url);
  return new TextEncoder().encode(`${fileURLToPath(url)}\0`);
}

class TlsSocket implements Socket {
  readonly #socket: Socket;
  readonly #session: Deno.PointerValue;

  constructor(socket: Socket, session: Deno.PointerValue) {
    this.#socket = socket;
    this.#session = session;
  }

  get descriptor(): number {
    return this.#socket.descriptor;
  }

  write(bytes: Bytes): number {
    return checkPositive(
      openssl.SSL_write(this.#session, bytes, bytes.length),
      "send",
    );
  }

  read(buffer: Bytes): number {
    // A broken connection counts as an end: the missing bytes are noticed later.
    return Math.max(
      0,
      openssl.SSL_read(this.#session, buffer, buffer.length),
    );
  }

  end(): void {
    openssl.SSL_shutdown(this.#session);
  }

  close(): void {
    openssl.SSL_shutdown(this.#session);
    openssl.SSL_free(this.#session);
    this.#socket.close();
  }
}

function newSession(context: Deno.PointerValue, socket: Socket) {
  const session = openssl.SSL_new(context);
  checkPositive(openssl.SSL_set_fd(session, socket.descriptor), "use a socket");
  return session;
}

const server = openssl.SSL_CTX_new(openssl.TLS_server_method());
checkPositive(
  openssl.SSL_CTX_use_certificate_file(
    server,
    pathOf("localhost.pem"),
    SSL_FILETYPE_PEM,
  ),
  "use the certificate",
);
checkPositive(
  openssl.SSL_CTX_use_PrivateKey_file(
    server,
    pathOf("localhost.key"),
    SSL_FILETYPE_PEM,
  ),
  "use the key",
);

// It trusts any server, because the driver has started the subject.
const client = openssl.SSL_CTX_new(openssl.TLS_client_method());

/** Does the server's handshake on an accepted socket. */
export function acceptTls(socket: Socket): Socket {
  const session = newSession(server, socket);
  checkPositive(openssl.SSL_accept(session), "accept TLS");
  return new TlsSocket(socket, session);
}

/** Does the client's handshake on a connected socket. */
export function connectTls(socket: Socket): Socket {
  const session = newSession(client, socket);
  checkPositive(openssl.SSL_connect(session), "connect with TLS");
  return new TlsSocket(socket, session);
}
