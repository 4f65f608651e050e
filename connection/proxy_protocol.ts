import type { Bytes } from "../framing/bytes.ts";
import { FramingError } from "../framing/framing_error.ts";
import { InputBuffer } from "../framing/input_buffer.ts";
import { checkFunction } from "../internal/checks.ts";
import { copyInto } from "../internal/copy_into.ts";
import { isTlsTransport } from "../internal/handshake.ts";
import { type ProxyHeader, proxyHeaderDecoder } from "./_proxy_header.ts";
import { checkMoved } from "./_transports.ts";
import type { Address, Transport } from "./transport.ts";

const READ_BYTES = 1024;

/**
 * Reads the header of the PROXY protocol, version 1 or 2, that a balancer sends first,
 * and returns a transport for the bytes after it. Use it for connections accepted without
 * `serve()`, which has the option `proxyProtocol` for this.
 *
 * No byte after the header is lost. There is no timeout: to give up, close the transport,
 * and the promise rejects. If it rejects for another reason, close the transport
 * yourself.
 *
 * @typeParam A The kind of address.
 * @param transport The connection from the balancer, without TLS, which starts after the
 * header.
 * @param peerAddr Returns the `remoteAddr` of the new transport, given the address of the
 * client; `undefined` if the balancer speaks for itself, as in a health check, or does not
 * know it.
 * @returns A transport for the bytes after the header. It owns the given one.
 * @throws {FramingError} If the peer sends anything else, or ends before the header does.
 * @throws {TypeError} If it is a TLS transport.
 *
 * @example The address of a balancer's client
 * ```ts
 * import { Connection, readProxyHeader } from "@framed/tcp/connection";
 * import { lines } from "@framed/tcp/framing";
 * import { transportPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [accepted, balancer] = transportPair();
 * const header = "PROXY TCP4 192.0.2.1 192.0.2.9 56324 443\r\n";
 * await balancer.write(new TextEncoder().encode(`${header}hello\n`));
 *
 * const transport = await readProxyHeader(accepted, (client) => client);
 * await using connection = new Connection(transport, { framing: lines() });
 * assertEquals(connection.remoteAddr, {
 *   transport: "tcp",
 *   hostname: "192.0.2.1",
 *   port: 56324,
 * });
 * assertEquals(await connection.receive(), "hello");
 * balancer.close();
 * ```
 */
export async function readProxyHeader<A extends Address | undefined>(
  transport: Transport,
  peerAddr: (client: Address | undefined) => A,
): Promise<Transport & { readonly remoteAddr: A }> {
  checkFunction("read PROXY header", "peerAddr", peerAddr);
  // Those that have shaken hands already tell what ALPN agreed on.
  if (isTlsTransport(transport) || transport.alpnProtocol !== undefined) {
    throw new TypeError(
      "Cannot read PROXY header as it comes before TLS, which the listener has begun",
    );
  }
  const input = new InputBuffer();
  const decoder = proxyHeaderDecoder();
  let header: ProxyHeader | undefined;
  while (header === undefined) {
    const buffer = new Uint8Array(READ_BYTES);
    const length = await transport.read(buffer);
    if (length === null) {
      throw new FramingError(
        "Cannot read PROXY header: the peer ended before it was whole",
        { code: "truncated", offset: 0 },
      );
    }
    checkMoved("read", length, buffer.length);
    input.append(buffer.subarray(0, length));
    header = input.pull(decoder, false);
  }
  const remoteAddr = peerAddr(header.source);
  return introduced(transport, remoteAddr, input.take(input.length));
}

/**
 * The same transport with another peer's address, and with the bytes already read from
 * it.
 *
 * It has exactly the methods of the given one: a missing method is how options such as
 * `noDelay` are refused.
 */
function introduced<A extends Address | undefined>(
  transport: Transport,
  remoteAddr: A,
  unread: Bytes,
): Transport & { readonly remoteAddr: A } {
  let rest: Uint8Array = unread;
  const { reset, ref, unref, setNoDelay, setKeepAlive } = transport;
  return {
    localAddr: transport.localAddr,
    remoteAddr,
    read(buffer) {
      const { length } = rest;
      if (length === 0) return transport.read(buffer);
      rest = copyInto(buffer, rest);
      return Promise.resolve(length - rest.length);
    },
    write: (bytes) => transport.write(bytes),
    closeWrite: () => transport.closeWrite(),
    close: () => transport.close(),
    ...(reset && { reset: () => reset.call(transport) }),
    ...(ref && { ref: () => ref.call(transport) }),
    ...(unref && { unref: () => unref.call(transport) }),
    ...(setNoDelay && {
      setNoDelay: (value) => setNoDelay.call(transport, value),
    }),
    ...(setKeepAlive && {
      setKeepAlive: (value) => setKeepAlive.call(transport, value),
    }),
  };
}
