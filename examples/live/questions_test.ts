import { assertEquals, assertThrows } from "@std/assert";
import { type Question, readQuestion } from "./questions.ts";

function read(question: unknown): Question {
  return readQuestion(JSON.stringify({ id: 1, question })).read();
}

const SETTINGS = {
  sender: { await: true, slow: "wait", highWaterMark: 65_536 },
  receivers: [{ bytes: 7, pause: 100, readBufferSize: 7 }],
};

Deno.test("readQuestion() reads the questions of the page", () => {
  assertEquals(read({ name: "stop" }), { name: "stop" });
  assertEquals(
    read({ name: "change", change: { sender: {}, receivers: [{ pause: 0 }] } }),
    { name: "change", change: { sender: {}, receivers: [{ pause: 0 }] } },
  );
  const start = read({ name: "start", settings: SETTINGS });
  assertEquals(start.name === "start" && start.settings.receivers.length, 1);
});

Deno.test("readQuestion() refuses everything else, and keeps the number", () => {
  const refused: unknown[] = [
    { name: "shell" },
    { name: "call", call: { name: "exec" } },
    { name: "call", call: { name: "write", times: 1e9 } },
    { name: "start", settings: { ...SETTINGS, receivers: [{ bytes: 0 }] } },
    { name: "start", settings: { ...SETTINGS, sender: { await: "yes" } } },
    { name: "frame", questions: [{ framing: "none" }] },
    { name: "read", frames: { bytes: ["x"], ends: [] } },
    { name: "read" },
  ];
  for (const question of refused) {
    const numbered = readQuestion(JSON.stringify({ id: 7, question }));
    assertEquals(numbered.id, 7);
    assertThrows(() => numbered.read(), TypeError);
  }
});
