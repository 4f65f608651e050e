/**
 * The running code, for the page: the lines between two marks of a file.
 *
 * @module
 */

/** A line, and the name of the place if a thread can wait there. */
export interface CodeLine {
  text: string;
  place?: string | undefined;
}

/** The files, and the marks in them. */
const SHOWN = {
  sockets: "sockets.ts",
  send: "sender.ts",
  broadcast: "sender.ts",
  receive: "receiver.ts",
  nagle: "nagle.ts",
  frame: "framings.ts",
} as const;

/** The name of a piece of code on the page. */
export type CodeName = keyof typeof SHOWN;

/** Reads all code that the page shows. */
export async function readCode(): Promise<Record<CodeName, CodeLine[]>> {
  const read = async (name: CodeName) =>
    linesBetween(
      await Deno.readTextFile(new URL(SHOWN[name], import.meta.url)),
      name,
    );
  return {
    sockets: await read("sockets"),
    send: await read("send"),
    broadcast: await read("broadcast"),
    receive: await read("receive"),
    nagle: await read("nagle"),
    frame: await read("frame"),
  };
}

/**
 * The lines between `// shown: name` and `// end`, without code that only the page
 * needs.
 */
export function linesBetween(source: string, name: string): CodeLine[] {
  const mark = new RegExp(`^( *)// shown: ${name}\\n(.*?)^ *// end$`, "ms");
  const [, indent = "", shown] = source.match(mark) ?? [];
  if (shown === undefined) throw new Error(`Nothing is marked as ${name}`);
  return shown.trimEnd().split("\n").map((line) => {
    const text = line.slice(indent.length);
    // `at("send", sent)` waits like `sent`, and reports the place to the page.
    const at = /at\("(\w+)", (.*)\);$/;
    const call = /^(\w+): \(|decoder\.(decode)\(/;
    const called = text.match(call);
    return {
      text: text.replace(at, "$2;"),
      place: text.match(at)?.[1] ?? called?.[1] ?? called?.[2],
    };
  });
}
