/**
 * The help, made from the table of verbs.
 *
 * @module
 */
import { styleText } from "node:util";
import type { Flag } from "./_flags.ts";
import { COMMON_FLAGS, type Verb, VERBS } from "./_verbs.ts";

const WIDTH = 80;

/** Writes headings in bold, if colours may be used. */
export type Heading = (text: string) => string;

/** How headings are written. */
export function heading(hasColor: boolean): Heading {
  return (text) =>
    hasColor ? styleText("bold", text, { validateStream: false }) : text;
}

/** Rows of two columns; the second is wrapped. */
function table(
  rows: readonly (readonly [string, string])[],
  most = 24,
): string {
  const left = Math.min(most, Math.max(...rows.map(([each]) => each.length))) +
    2;
  return rows.map(([name, text]) => {
    const wrapped = wrap(text, WIDTH - left - 2);
    const first = name.length > left - 2 ? [name, ""] : [name];
    const lines = [...first.slice(0, -1), ...wrapped];
    return lines.map((line, index) =>
      first.length > 1 && index === 0
        ? `  ${name}`
        : `  ${(index === 0 ? name : "").padEnd(left)}${line}`
    ).join("\n");
  }).join("\n");
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [""];
  for (const word of text.split(" ")) {
    const last = lines.at(-1) ?? "";
    if (last === "") lines[lines.length - 1] = word;
    else if (last.length + 1 + word.length <= width) {
      lines[lines.length - 1] = `${last} ${word}`;
    } else lines.push(word);
  }
  return lines;
}

function flagName({ name, short, value }: Flag): string {
  const long = value === undefined ? `--${name}` : `--${name} ${value}`;
  return short === undefined ? `    ${long}` : `-${short}, ${long}`;
}

function flagHelp({ help, choices }: Flag): string {
  return choices === undefined ? help : `${help}: ${choices.join(", ")}`;
}

/** The help of the tool. */
export function helpOfTool(head: Heading): string {
  return `Netcat for messages: talks to any framed protocol over TCP.

${head("Usage:")} framed VERB [FLAGS] …

${head("Verbs:")}
${
    table([
      ...VERBS.map(({ name, args, summary }): [string, string] => [
        `${name} ${args.join(" ")}`,
        summary,
      ]),
      ["completion SHELL", "Print the completion for bash or zsh"],
      ["help VERB", "Show the flags of a verb, with examples"],
      ["--version", "Print the version"],
    ])
  }

An ADDRESS is HOST:PORT, a PORT of this machine, or unix:PATH.

${head("Examples:")}
${
    table(
      VERBS.flatMap(({ examples: [example] }): [string, string][] =>
        example === undefined ? [] : [[`framed ${example[0]}`, example[1]]]
      ),
      40,
    )
  }

${
    head("Install:")
  } deno install --global --name framed --allow-net jsr:@framed/tcp/cli`;
}

/** The help of a verb. */
export function helpOfVerb(verb: Verb, head: Heading): string {
  const { name, args, summary, details, groups, examples } = verb;
  const lines = examples.map(([line, does]) =>
    `  framed ${line}\n      ${does}`
  );
  return [
    `${summary}.\n\n${head("Usage:")} framed ${name} ${
      args.join(" ")
    } [FLAGS]\n\n${details}`,
    `${head("Examples:")}\n${lines.join("\n")}`,
    ...[...groups, COMMON_FLAGS].map(({ title, flags }) =>
      `${head(`${title}:`)}\n${
        table(flags.map((flag) => [flagName(flag), flagHelp(flag)]))
      }`
    ),
  ].join("\n\n");
}
