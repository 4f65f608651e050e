import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import type { Sendable } from "../framing.ts";
import {
  annotated,
  duration,
  type Format,
  hexDump,
  InputError,
  type InputOptions,
  messageOfJson,
  type Passed,
  plain,
  readMessages,
  size,
  toJson,
  visible,
} from "./_format.ts";
import { bytesOf, textOf } from "./_values.ts";

function passed(bytes: Sendable): Passed {
  return { time: 1.23456, from: "server", bytes: bytesOf(bytes) };
}

function plainText(
  bytes: Sendable,
  format: Format,
  isForTerminal = false,
): string {
  return textOf(plain(passed(bytes), format, isForTerminal)) ?? "not UTF-8";
}

const NOT_UTF8 = new Uint8Array([0x61, 0xff]);

Deno.test("plain() adds a newline if the format has one, and nothing else", () => {
  assertEquals(plainText("a\nb", "text"), "a\nb\n");
  assertEquals(plainText("a\n", "binary"), "a\n");
  assertEquals(plainText("a\n", "hex"), "610a\n");
  assertEquals(
    plainText("a\n", "json"),
    '{"time":1.235,"from":"server","length":2,"text":"a\\n"}\n',
  );
  assertEquals(
    plain(passed(NOT_UTF8), "text", false),
    new Uint8Array([0x61, 0xff, 10]),
  );
  assertEquals(plain(passed(NOT_UTF8), "binary", false), NOT_UTF8);
});

Deno.test("A message cannot control the terminal that shows it", () => {
  const attack = "\x1b[2J\x07\u009b31m\u202eevil";
  const shown = "\\x1b[2J\\x07\\x9b31m\\u{202e}evil";
  assertEquals(plainText(attack, "text", true), `${shown}\n`);
  assertEquals(plainText(`${attack}\n`, "binary", true), `${shown}\n`);
  assertEquals(
    JSON.parse(plainText(attack, "json", true)).text,
    attack,
  );
  assertEquals(
    // deno-lint-ignore no-control-regex -- the test looks for control characters
    plainText(attack, "json", true).match(/[\x00-\x09\x7f-\x9f\u202e]/),
    null,
  );
  assertEquals(visible(bytesOf("a\tb\r\n\0é한")), "a\\tb\\r\\n\\0é한");
  assertEquals(
    visible(new Uint8Array([0x61, 0xff, 0x1b, 0x0a])),
    "a\\xff\\x1b\\n",
  );
});

Deno.test("toJson() writes UTF-8 as text and other bytes as hexadecimal", () => {
  assertEquals(toJson({ ...passed("한"), connection: 2 }), {
    time: 1.235,
    connection: 2,
    from: "server",
    length: 3,
    text: "한",
  });
  assertEquals(toJson(passed(NOT_UTF8)), {
    time: 1.235,
    from: "server",
    length: 2,
    hex: "61ff",
  });
});

Deno.test("messageOfJson() reads what toJson() gives, strings, and nothing else", () => {
  for (const bytes of ["한\n", NOT_UTF8]) {
    const message = {
      ...passed(bytes),
      bytes: bytesOf(bytes),
      time: 1.235,
      connection: 7,
    };
    assertEquals(
      messageOfJson("Line 1", JSON.stringify(toJson(message))),
      message,
    );
  }
  assertEquals(messageOfJson("Line 1", '"hi"').bytes, bytesOf("hi"));
  for (const line of ["hi", "1", "null", "{}", '{"hex":"0"}', '{"text":1}']) {
    assertThrows(() => messageOfJson("Line 1", line), InputError, "Line 1");
  }
});

Deno.test("hexDump() shows rows of 16 bytes", () => {
  assertEquals(hexDump(bytesOf("0123456789abcdef\n")), [
    "00000000  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  |0123456789abcdef|",
    "00000010  0a                                                |.|",
  ]);
  assertEquals(hexDump(new Uint8Array()), []);
});

Deno.test("annotated() shows the sender, the time since the last message and the length", () => {
  assertEquals(
    annotated({ ...passed("hi"), sinceLast: 12.34 }, "text", false),
    "< +12.3 ms     2 B  hi",
  );
  assertEquals(
    annotated(
      { ...passed("hi"), from: "client", connection: 3 },
      "text",
      false,
    ),
    "#3 >              2 B  hi",
  );
  assertEquals(
    annotated({ ...passed("hi"), sinceLast: 0.5 }, "hex", false).split("\n")
      .length,
    2,
  );
  const long = annotated(passed("x".repeat(5000)), "text", false);
  assertEquals(long.endsWith("x … and 904 bytes"), true);
  // No character is cut: the others would look as if they were not UTF-8.
  for (const [character, rest] of [["é", 902], ["→", 903], ["🎈", 904]]) {
    const text = `${"x".repeat(4095)}${character}${"x".repeat(900)}`;
    const shown = annotated(passed(text), "text", false);
    assertEquals(shown.endsWith(`xx … and ${rest} bytes`), true);
  }
  assertEquals(
    annotated(passed("hi"), "text", true).includes("\x1b[36m<"),
    true,
  );
});

Deno.test("duration() and size() have three digits", () => {
  assertEquals([0.0421, 1.234, 12.34, 123.4, 1234, 123_456].map(duration), [
    "42 µs",
    "1.23 ms",
    "12.3 ms",
    "123 ms",
    "1.23 s",
    "2.06 min",
  ]);
  assertEquals([0, 999, 1000, 12_345_678].map(size), [
    "0 B",
    "999 B",
    "1.00 kB",
    "12.3 MB",
  ]);
});

async function read(
  input: Sendable,
  options: Partial<InputOptions & { isRaw: boolean }>,
): Promise<(string | Uint8Array)[]> {
  const messages = readMessages(new Blob([bytesOf(input)]).stream(), {
    format: "text",
    hasEscapes: false,
    isRaw: false,
    ...options,
  });
  const all: (string | Uint8Array)[] = [];
  for await (const message of messages) {
    all.push(
      typeof message === "string" ? message : textOf(message) ?? message,
    );
  }
  return all;
}

Deno.test("readMessages() reads a message a line", async () => {
  assertEquals(await read("a\n\r\nb", {}), ["a", "", "b"]);
  assertEquals(await read("a\\x00\\n\n", {}), ["a\\x00\\n"]);
  assertEquals(await read("a\\x00\\n\n", { hasEscapes: true }), ["a\0\n"]);
  assertEquals(await read("61 62\n\nff", { format: "hex" }), [
    "ab",
    "",
    new Uint8Array([0xff]),
  ]);
  assertEquals(await read(NOT_UTF8, {}), [NOT_UTF8]);
});

Deno.test("readMessages() reads everything as one message, or chunks as they arrive", async () => {
  assertEquals(await read("a\nb\n", { format: "binary" }), ["a\nb\n"]);
  assertEquals(await read("", { format: "binary" }), []);
  assertEquals(await read("a\nb\n", { format: "binary", isRaw: true }), [
    "a\nb\n",
  ]);
});

Deno.test("readMessages() takes the client's lines of --json output and leaves out the server's", async () => {
  const input = '{"text":"a"}\n{"hex":"ff"}\n{"from":"server","text":"b"}\n';
  const messages = ["a", new Uint8Array([0xff])];
  assertEquals(await read(input, { format: "json" }), messages);
  assertEquals(
    await read(input, { format: "json", acceptsText: true }),
    messages,
  );
});

Deno.test("With --json alone, lines in another form are sent unchanged", async () => {
  const lines = ['{"id":1,"text":"a"}', "plain", "1", "{}", '{"text"'];
  const options: InputOptions = {
    format: "json",
    hasEscapes: false,
    acceptsText: true,
  };
  assertEquals(await read(lines.join("\n"), options), lines);
  await assertRejects(
    () => read("plain", { format: "json" }),
    InputError,
    "not JSON",
  );
});

Deno.test("readMessages() names a line that is not a message in its error", async () => {
  await assertRejects(
    () => read("00\n0\n", { format: "hex" }),
    InputError,
    "Line 2 of",
  );
  await assertRejects(
    () => read("\\q", { hasEscapes: true }),
    InputError,
    "Line 1 of",
  );
});
