import {
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import { FramingError } from "../framing/framing_error.ts";
import { isClosedAlready, namingTask, systemError } from "./system_error.ts";

Deno.test("namingTask() keeps the class and the code of an error", () => {
  const path = new URL("no_such_file", import.meta.url);
  const error = assertThrows(
    () => Deno.openSync(path),
    Deno.errors.NotFound,
  );
  const named = namingTask(error, "connect to 127.0.0.1:1");
  assertInstanceOf(named, Deno.errors.NotFound);
  assertEquals(
    named.message,
    `Cannot connect to 127.0.0.1:1: ${error.message}`,
  );
  assertEquals(Reflect.get(named, "code"), "ENOENT");
  assertStrictEquals(named.cause, error);
});

Deno.test("namingTask() adds no code to an error", () => {
  for (const error of [new Error("No such name"), new URIError("Bad name")]) {
    const named = namingTask(error, "connect");
    assertInstanceOf(named, error.constructor as ErrorConstructor);
    assertEquals("code" in named, false);
  }
});

Deno.test("namingTask() returns other errors unchanged", () => {
  for (
    const error of [
      undefined,
      "text",
      new DOMException("Aborted", "AbortError"),
      new AggregateError([]),
    ]
  ) assertStrictEquals(namingTask(error, "connect"), error);
});

Deno.test("namingTask() keeps the name of an error without its own class", () => {
  const error = systemError("ConnectionReset", "Connection reset");
  const named = namingTask(error, "connect");
  assertInstanceOf(named, Error);
  assertEquals(named.name, "ConnectionReset");
});

Deno.test("namingTask() keeps the fields of an error", () => {
  const error = new FramingError("Too long", { code: "too-long", limit: 107 });
  const named = namingTask(error, "shake hands");
  assertInstanceOf(named, FramingError);
  assertEquals([named.code, named.limit], ["too-long", 107]);
  assertEquals(named.message, "Cannot shake hands: Too long");
});

Deno.test("namingTask() returns an error unchanged if its class has another constructor", () => {
  class Refusal extends Error {
    constructor({ words }: { words: string[] }) {
      super(words.join(" "));
    }
  }
  const error = new Refusal({ words: ["not", "now"] });
  assertStrictEquals(namingTask(error, "connect"), error);
});

Deno.test("isClosedAlready() recognizes the error of a transport that its owner has closed", () => {
  assertStrictEquals(isClosedAlready(new Deno.errors.BadResource("x")), true);
  assertStrictEquals(isClosedAlready(new Error("x")), false);
  assertStrictEquals(isClosedAlready("BadResource"), false);
});
