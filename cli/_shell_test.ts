import { assertEquals } from "@std/assert";
import { ProcessShell } from "./_shell.ts";

Deno.test("ProcessShell writes everything to an output that is full and does not block", async () => {
  const { stdout } = Deno;
  const { write } = stdout;
  const written: number[] = [];
  let isFull = false;
  stdout.write = (bytes) => {
    isFull = !isFull;
    if (isFull) return Promise.reject(new Deno.errors.WouldBlock("Full"));
    written.push(...bytes.subarray(0, 2));
    return Promise.resolve(Math.min(bytes.length, 2));
  };
  try {
    const shell = new ProcessShell();
    await Promise.all([shell.write("abc"), shell.write("def")]);
  } finally {
    stdout.write = write;
  }
  assertEquals(String.fromCharCode(...written), "abcdef");
});
