import {
  assertEquals,
  assertInstanceOf,
  assertStrictEquals,
} from "@std/assert";
import { FramingError } from "../framing/framing_error.ts";
import { namingTask, systemError } from "./system_error.ts";

Deno.test("namingTask() keeps the class and the code of an error", () => {
  const error = Object.assign(
    new Deno.errors.ConnectionRefused("Connection refused (os error 111)"),
    { code: "ECONNREFUSED" },
  );
  const named = namingTask(error, "connect to 127.0.0.1:1");
  assertInstanceOf(named, Deno.errors.ConnectionRefused);
  assertEquals(
    named.message,
    "Cannot connect to 127.0.0.1:1: Connection refused (os error 111)",
  );
  assertEquals(Reflect.get(named, "code"), "ECONNREFUSED");
  assertStrictEquals(named.cause, error);
});

Deno.test("namingTask() gives an error no code that it had not", () => {
  for (const error of [new Error("No such name"), new URIError("Bad name")]) {
    const named = namingTask(error, "connect");
    assertInstanceOf(named, error.constructor as ErrorConstructor);
    assertEquals("code" in named, false);
  }
});

Deno.test("namingTask() leaves alone what is no error of a system call", () => {
  for (
    const error of [
      undefined,
      "text",
      new DOMException("Aborted", "AbortError"),
      new AggregateError([]),
    ]
  ) assertStrictEquals(namingTask(error, "connect"), error);
});

Deno.test("namingTask() keeps the name of an error that has no class of its own", () => {
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

Deno.test("namingTask() leaves alone an error whose class takes something else", () => {
  class Refusal extends Error {
    constructor({ words }: { words: string[] }) {
      super(words.join(" "));
    }
  }
  const error = new Refusal({ words: ["not", "now"] });
  assertStrictEquals(namingTask(error, "connect"), error);
});
