/**
 * For the tests of those who use the module: connections in memory.
 *
 * {@linkcode connectionPair} makes two connections with each other, for the test of a
 * handler or a client. {@linkcode transportPair} makes what carries them: two transports
 * that behave like the two ends of a TCP connection, without a socket. A test with them
 * needs no permission, no port and no time, and gives the same result each time. Faults
 * happen where the test says. {@linkcode verifyFraming} tries a framing of yours at every
 * cut of its bytes, and says which one breaks it.
 *
 * @example A peer that vanishes in the midst of a message
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
 * assertEquals(far.isReading, true); // and would for ever
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
