import type { Address } from "../connection/transport.ts";

/**
 * An address of TCP.
 *
 * @example The port that the system chose
 * ```ts
 * import { lines } from "@framed/tcp/framing";
 * import { type NetAddress, serve } from "@framed/tcp/node";
 * import { assert, assertEquals } from "@std/assert";
 *
 * await using server = await serve(
 *   { hostname: "127.0.0.1", port: 0, framing: lines() },
 *   () => {},
 * );
 * const { transport, hostname, port }: NetAddress = server.addr;
 * assertEquals([transport, hostname], ["tcp", "127.0.0.1"]);
 * assert(port > 0);
 * ```
 */
export type NetAddress = Extract<Address, { hostname: string }>;

/**
 * An address of a Unix socket.
 *
 * @example A server's path
 * ```ts
 * import type { UnixAddress } from "@framed/tcp/node";
 * import { assertEquals } from "@std/assert";
 *
 * const address: UnixAddress = { transport: "unix", path: "/run/app.sock" };
 * assertEquals(address.path, "/run/app.sock");
 * ```
 */
export type UnixAddress = Extract<Address, { path: string | null }>;
