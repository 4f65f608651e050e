import { assertEquals, assertThrows } from "@std/assert";
import {
  checkCount,
  checkFunction,
  checkLength,
  checkMilliseconds,
  checkPath,
  checkPort,
  isUnix,
  refuseOptions,
} from "./checks.ts";
import { shownValue } from "./shown.ts";

Deno.test("checkFunction() refuses what is not a function", () => {
  for (const value of [undefined, null, {}, "f"]) {
    assertThrows(
      () => checkFunction("serve", "handler", value),
      TypeError,
      "Cannot serve as handler must be a function: current value is of type",
    );
  }
  checkFunction("serve", "handler", () => {});
});

Deno.test("checkCount() refuses what is not a whole number within its limits", () => {
  for (const value of [0, -1, 1.5, NaN, Infinity, 11]) {
    assertThrows(
      () => checkCount("serve", "tcpBacklog", value, 10),
      RangeError,
      `Cannot serve as tcpBacklog must be a whole number from 1 to 10: current value is ${value}`,
    );
  }
  for (const value of [undefined, 1, 10]) checkCount("serve", "x", value, 10);
  checkCount("serve", "maxConnections", Number.MAX_SAFE_INTEGER);
});

Deno.test("checkLength() refuses what is not a whole number of bytes", () => {
  for (const value of [0, -1, 1.5, NaN, Infinity]) {
    assertThrows(
      () => checkLength("open connection", "highWaterMark", value),
      RangeError,
      `current value is ${value}`,
    );
  }
  for (const value of [undefined, 1, 2 ** 40]) checkLength("x", "y", value);
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

Deno.test("checkMilliseconds() accepts 0 if that is the minimum", () => {
  checkMilliseconds("timeout", 0, 0);
  assertThrows(() => checkMilliseconds("timeout", -1, 0), RangeError);
});

Deno.test("checkPort() refuses invalid ports", () => {
  for (const port of [-1, 65_536, 1.5, NaN, null, "80"] as unknown[]) {
    assertThrows(
      () => checkPort(port as number, 0),
      RangeError,
      `current value is ${shownValue(port)}`,
    );
  }
  checkPort(0, 0);
  checkPort(65_535, 1);
  assertThrows(() => checkPort(0, 1), RangeError, "from 1 to 65535");
});

Deno.test("checkPath() refuses invalid paths", () => {
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

Deno.test("isUnix() recognizes an address with a path", () => {
  assertEquals(isUnix({ path: "x" }), true);
  for (const options of [{}, { path: undefined }, { port: 1 }]) {
    assertEquals(isUnix(options), false);
  }
});
