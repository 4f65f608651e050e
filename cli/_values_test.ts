import { assertEquals, assertThrows } from "@std/assert";
import {
  nameOfAddress,
  parseCount,
  parseDuration,
  parseEscapes,
  parseHex,
  parsePlace,
  parseSize,
  placeName,
  UsageError,
} from "./_values.ts";

Deno.test("parseDuration() reads milliseconds, seconds, minutes and hours", () => {
  const read = (text: string) => parseDuration("--wait", text);
  assertEquals(["250", "500ms", "10s", "1.5m", "1h"].map(read), [
    250,
    500,
    10_000,
    90_000,
    3_600_000,
  ]);
  for (const text of ["", "s", "-1s", "1 s", "1d", "Infinity", "597h"]) {
    assertThrows(() => read(text), UsageError, `current value is "${text}"`);
  }
});

Deno.test("parseSize() reads bytes, and k, M and G of 1024", () => {
  const read = (text: string) => parseSize("--max-length", text);
  assertEquals(["0", "4096", "64k", "1M", "2G", "Infinity"].map(read), [
    0,
    4096,
    65_536,
    1_048_576,
    2_147_483_648,
    Infinity,
  ]);
  for (const text of ["", "k", "-1", "1.5k", "1K"]) {
    assertThrows(() => read(text), UsageError, "--max-length must be");
  }
});

Deno.test("parseCount() reads whole numbers from a minimum on", () => {
  assertEquals(parseCount("--count", "12"), 12);
  assertEquals(parseCount("--seed", "0", 0), 0);
  for (const text of ["0", "-1", "1.5", "x", "1e3", "9007199254740993"]) {
    assertThrows(() => parseCount("--count", text), UsageError, "at least 1");
  }
});

Deno.test("parseEscapes() returns text, or bytes that are not UTF-8", () => {
  const read = (text: string) => parseEscapes("--delimiter", text);
  assertEquals(read("a\\r\\n\\t\\0\\\\b"), "a\r\n\t\0\\b");
  assertEquals(read("\\x1c\\r"), "\x1c\r");
  assertEquals(read("\\xc3\\xa9"), "é");
  assertEquals(read("\\xff"), new Uint8Array([0xff]));
  assertEquals(read("안녕"), "안녕");
  assertThrows(() => read("\\q"), UsageError, 'has the escape "\\q"');
  assertThrows(() => read("a\\"), UsageError);
});

Deno.test("parseHex() takes digits with the usual separators", () => {
  const bytes = new Uint8Array([0xde, 0xad, 0x00]);
  for (const text of ["dead00", "DE AD 00", "de:ad:00", "0xde, 0xad, 0x00"]) {
    assertEquals(parseHex(text), bytes);
  }
  assertEquals(parseHex(""), new Uint8Array());
  assertEquals(parseHex("dea"), undefined);
  assertEquals(parseHex("xx"), undefined);
});

Deno.test("parsePlace() reads the addresses that placeName() writes", () => {
  const cases: [string, ReturnType<typeof parsePlace>, string?][] = [
    ["localhost:6379", { hostname: "localhost", port: 6379 }],
    ["6379", { hostname: "127.0.0.1", port: 6379 }, "127.0.0.1:6379"],
    [":6379", { hostname: "127.0.0.1", port: 6379 }, "127.0.0.1:6379"],
    ["[::1]:80", { hostname: "::1", port: 80 }],
    ["unix:/run/app.sock", { path: "/run/app.sock" }],
  ];
  for (const [text, place, name = text] of cases) {
    assertEquals(parsePlace(text), place);
    assertEquals(placeName(place), name);
  }
  for (
    const text of ["", "localhost", "localhost:x", "::1:80", ":65536", "unix:"]
  ) {
    assertThrows(
      () => parsePlace(text),
      UsageError,
      `current value is "${text}"`,
    );
  }
});

Deno.test("nameOfAddress() formats every kind of address", () => {
  assertEquals(
    nameOfAddress({ transport: "tcp", hostname: "::1", port: 1 }),
    "[::1]:1",
  );
  assertEquals(
    nameOfAddress({ transport: "unix", path: null }),
    "a Unix socket",
  );
  assertEquals(nameOfAddress({ transport: "unix", path: "/a" }), "unix:/a");
  assertEquals(
    nameOfAddress({ transport: "unix", path: "\0a\x1b[2J\n" }),
    "unix:\\0a\\x1b[2J\\n",
  );
  assertEquals(
    nameOfAddress({ transport: "vsock", cid: 3, port: 4 }),
    "vsock:3:4",
  );
});
