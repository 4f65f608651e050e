import { assertThrows } from "@std/assert";
import { checkConnectionOptions, checkFraming } from "./connection_options.ts";
import type { ConnectionOptions } from "../connection/options.ts";
import { delimited } from "../framing/delimited.ts";

const framing = delimited(";");

Deno.test("checkConnectionOptions() accepts all options for TCP", () => {
  for (
    const options of [
      { framing },
      {
        framing,
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
        framing,
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
        () => checkConnectionOptions({ framing, [name]: value }, "TCP"),
        RangeError,
        `current value is ${value}`,
      );
    }
  }
});

Deno.test("checkConnectionOptions() refuses TCP options for other transports", () => {
  for (const transport of ["TLS", "Unix socket"] as const) {
    for (const name of ["noDelay", "keepAlive"]) {
      assertThrows(
        () => checkConnectionOptions({ framing, [name]: true }, transport),
        TypeError,
        `${name} over ${transport}`,
      );
      checkConnectionOptions({ framing, [name]: false }, transport);
    }
  }
});

Deno.test("checkConnectionOptions() refuses options without a framing", () => {
  for (const options of [undefined, {}, { framing: undefined }] as unknown[]) {
    const given = options as ConnectionOptions;
    for (
      const check of [
        () => checkFraming(given),
        () => checkConnectionOptions(given, "TCP"),
      ]
    ) assertThrows(check, TypeError, "framing must be given");
  }
});

Deno.test("checkConnectionOptions() refuses an invalid framing", () => {
  for (
    const framing of [null, {}, delimited, { decoder: delimited }] as unknown[]
  ) {
    assertThrows(
      () => checkConnectionOptions({ framing } as ConnectionOptions, "TCP"),
      TypeError,
      "framing must have the methods",
    );
  }
});
