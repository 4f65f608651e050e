/**
 * Connections in memory, for tests of programs that use this module.
 *
 * {@linkcode connectionPair} makes two connected connections, to test a handler
 * or a client. {@linkcode transportPair} makes the transports under them, which
 * behave like the two ends of a TCP connection, without a socket. Such a test
 * needs no permission, no port and no waiting, and gives the same result each
 * time. Faults happen where the test says. {@linkcode verifyFraming} tries your
 * framing at every cut of its bytes, and says which cut breaks it.
 *
 * @example A peer that vanishes in the middle of a message
 * ```ts
 * import { transportPair } from "@framed/tcp/testing";
 * import { assertEquals } from "@std/assert";
 *
 * const [near, far] = transportPair();
 * const bytes = new TextEncoder().encode("hello\n");
 *
 * near.stall();
 * await near.write(bytes);
 * near.deliver(3);
 * assertEquals([near.inFlight, far.arrived], [3, 3]);
 *
 * const buffer = new Uint8Array(100);
 * assertEquals(await far.read(buffer), 3);
 * const rest = far.read(buffer);
 * assertEquals(far.isReading, true); // it would wait forever
 *
 * near.resume();
 * assertEquals(await rest, 3);
 * ```
 *
 * @module
 */
export * from "./testing/connection_pair.ts";
export * from "./testing/paired_transport.ts";
export * from "./testing/transport_pair.ts";
export * from "./testing/verify_framing.ts";
