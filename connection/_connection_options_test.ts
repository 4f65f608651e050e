import { assertThrows } from "@std/assert";
import {
  checkConnectionOptions,
  checkMilliseconds,
  checkPath,
  checkPort,
  refuseOptions,
} from "./_connection_options.ts";
import type { ConnectionOptions } from "./connection.ts";
import { delimited } from "../framing/delimited.ts";
import type { Framing } from "../framing/framing.ts";

Deno.test("checkConnectionOptions() lets everything pass that TCP can honour", () => {
  for (
    const options of [
      {},
      {
        framing: undefined,
        readBufferSize: undefined,
        highWaterMark: undefined,
        noDelay: undefined,
        keepAlive: undefined,
        idleTimeout: undefined,
        messageTimeout: undefined,
        sendTimeout: undefined,
        signal: undefined,
      },
      {
        framing: delimited(";"),
        readBufferSize: 1,
        highWaterMark: 1,
        noDelay: true,
        keepAlive: true,
        idleTimeout: 1,
        messageTimeout: 0x7fff_ffff,
        sendTimeout: 1.5,
        signal: AbortSignal.abort(),
      },
    ]
  ) checkConnectionOptions(options, "TCP");
});

Deno.test("checkConnectionOptions() refuses numbers out of range", () => {
  const lengths = [0, -1, 1.5, NaN, Infinity];
  const times = [0, -1, NaN, Infinity, 0x8000_0000];
  const cases = {
    readBufferSize: lengths,
    highWaterMark: lengths,
    idleTimeout: times,
    messageTimeout: times,
    sendTimeout: times,
  };
  for (const [name, values] of Object.entries(cases)) {
    for (const value of values) {
      assertThrows(
        () => checkConnectionOptions({ [name]: value }, "TCP"),
        RangeError,
        `current value is ${value}`,
      );
    }
  }
});

Deno.test("checkConnectionOptions() refuses what only TCP has", () => {
  for (const transport of ["TLS", "Unix socket"] as const) {
    for (const name of ["noDelay", "keepAlive"]) {
      assertThrows(
        () => checkConnectionOptions({ [name]: true }, transport),
        TypeError,
        `${name} over ${transport}`,
      );
      checkConnectionOptions({ [name]: false }, transport);
    }
  }
});

Deno.test("checkConnectionOptions() refuses what is not a framing", () => {
  for (const framing of [{}, delimited, { decoder: delimited }] as unknown[]) {
    assertThrows(
      () => checkConnectionOptions({ framing } as ConnectionOptions, "TCP"),
      TypeError,
      "framing must have the methods",
    );
  }
});

Deno.test("checkConnectionOptions() refuses a messageTimeout that could not be kept", () => {
  const framing: Framing = {
    decoder: () => ({ decode: () => [], end: () => [] }),
    encode: (message) => message,
  };
  assertThrows(
    () => checkConnectionOptions({ framing, messageTimeout: 1 }, "TCP"),
    TypeError,
    "messageTimeout",
  );
  checkConnectionOptions({ framing, idleTimeout: 1 }, "TCP");
});

Deno.test("checkMilliseconds() refuses what is not a number", () => {
  for (const value of ["1", null, true] as unknown[]) {
    assertThrows(
      () => checkMilliseconds("timeout", value as number),
      RangeError,
      "timeout",
    );
  }
});

Deno.test("checkMilliseconds() lets a minimum of 0 pass where it is one", () => {
  checkMilliseconds("timeout", 0, 0);
  assertThrows(() => checkMilliseconds("timeout", -1, 0), RangeError);
});

Deno.test("checkPort() refuses what is no port", () => {
  for (const port of [-1, 65_536, 1.5, NaN, null, "80"] as unknown[]) {
    assertThrows(
      () => checkPort(port as number, 0),
      RangeError,
      `current value is ${port}`,
    );
  }
  checkPort(0, 0);
  checkPort(65_535, 1);
  assertThrows(() => checkPort(0, 1), RangeError, "from 1 to 65535");
});

Deno.test("checkPath() refuses what is no path", () => {
  for (const path of ["", 1, null] as unknown[]) {
    assertThrows(() => checkPath(path as string), TypeError, "path");
  }
});

Deno.test("refuseOptions() refuses an option only if it is given", () => {
  refuseOptions({ port: undefined, path: "x" }, ["port"], "here");
  assertThrows(
    () => refuseOptions({ port: 0 }, ["hostname", "port"], "here"),
    TypeError,
    "Cannot use option port here",
  );
  class Options {
    get port(): number {
      return 0;
    }
  }
  assertThrows(() => refuseOptions(new Options(), ["port"], "here"), TypeError);
});
