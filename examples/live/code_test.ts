import { assertEquals, assertThrows } from "@std/assert";
import { linesBetween, readCode } from "./code.ts";

Deno.test("linesBetween() leaves out code that only the page needs", () => {
  const source = `
  // shown: send
  const sent = connection.send(1);
  await at("send", sent);
  // end
`;
  assertEquals(linesBetween(source, "send"), [
    { text: "const sent = connection.send(1);", place: undefined },
    { text: "await sent;", place: "send" },
  ]);
  assertThrows(() => linesBetween(source, "other"), Error, "Nothing is marked");
});

Deno.test("readCode() finds every place where a thread waits", async () => {
  const code = await readCode();
  const places = (name: keyof typeof code) =>
    code[name].flatMap(({ place }) => place ?? []);
  assertEquals(places("send"), ["send", "pause"]);
  assertEquals(places("broadcast"), ["send", "pause"]);
  assertEquals(places("receive"), ["read", "pause"]);
  assertEquals(places("sockets").length, 7);
  assertEquals(places("frame"), ["decode"]);
  const text = JSON.stringify(code);
  assertEquals(text.match(/\bat\(/), null);
});
