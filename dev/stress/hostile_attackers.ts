// deno-lint-ignore-file no-console -- its output reports its progress
/**
 * Hostile peers, in their own process. Its argument is an array of {@linkcode Assault}
 * as JSON. It prints a line when all are connected, and runs until it is killed.
 */

import { delay } from "@std/async/delay";
import { caCerts } from "../testdata/certificates.ts";

/** Hostile peers of one kind. */
export interface Assault {
  readonly attack: Attack;
  readonly port: number;
  /** Whether they attack after a TLS handshake. */
  readonly tls: boolean;
  readonly connections: number;
  /** The milliseconds between two bytes of a trickling peer. */
  readonly pace: number;
  /** The milliseconds after which an ended peer connects again. */
  readonly pause: number;
}

/** The actions of a hostile peer. */
export type Attack =
  | "endless"
  | "hugeLength"
  | "trickle"
  | "silent"
  | "deaf"
  | "garbage"
  | "trickledHello"
  | "injection";

const encoder = new TextEncoder();
const endless = new Uint8Array(64 * 1024).fill(120);
const questions = encoder.encode(`${"x".repeat(1023)}\n`.repeat(64));
// The header of a TLS record of 512 bytes, and of a ClientHello in it.
const hello = new Uint8Array(517);
hello.set([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]);

const assaults: Assault[] = JSON.parse(Deno.args[0] ?? "");
await Promise.all(
  assaults.flatMap((assault) =>
    Array.from({ length: assault.connections }, async () => {
      const conn = await connect(assault);
      void goOn(conn, assault);
    })
  ),
);
console.log("attacking");

async function connect({ port, tls }: Assault): Promise<Deno.Conn> {
  const hostname = "127.0.0.1";
  if (!tls) return Deno.connect({ hostname, port });
  const conn = await Deno.connectTls({ hostname, port, caCerts });
  await conn.handshake();
  return conn;
}

/** Attacks until the server ends the connection, then again. */
async function goOn(conn: Deno.Conn, assault: Assault): Promise<never> {
  for (;;) {
    try {
      await act(conn, assault);
    } catch {
      // Ended by the server.
    }
    conn.close();
    await delay(assault.pause);
    conn = await connect(assault);
  }
}

/** One attack, until its connection is ended. */
async function act(
  conn: Deno.Conn,
  { attack, pace }: Assault,
): Promise<void> {
  switch (attack) {
    case "silent":
      return await readToEnd(conn);
    case "endless":
      for (;;) await conn.write(endless);
    case "deaf":
      for (;;) await conn.write(questions);
    case "hugeLength":
      await conn.write(new Uint8Array([0x80, 0, 0, 0, 0, 0, 0, 0]));
      return await readToEnd(conn);
    case "trickle":
      for (;;) {
        await conn.write(encoder.encode("x"));
        await delay(pace);
      }
    case "trickledHello":
      for (const byte of hello) {
        await conn.write(new Uint8Array([byte]));
        await delay(pace);
      }
      return await readToEnd(conn);
    case "garbage":
      await conn.write(encoder.encode("GET / HTTP/1.1\r\n\r\n"));
      return await readToEnd(conn);
    case "injection": {
      await conn.write(encoder.encode('"one\\nmore"\n'));
      const length = await conn.read(new Uint8Array(100));
      if (length !== null) console.log("injected");
    }
  }
}

async function readToEnd(conn: Deno.Conn): Promise<void> {
  const buffer = new Uint8Array(1024);
  while (await conn.read(buffer) !== null);
}
