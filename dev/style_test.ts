/**
 * Style rules of Deno's standard library that `deno lint` does not check, as a plugin
 * for it. They apply to all published code.
 *
 * @module
 */
import { assert, assertEquals } from "@std/assert";
import { entryPoints, pathOf, root } from "./_project.ts";

const FOLDERS = [
  "framing",
  "connection",
  "server",
  "client",
  "node",
  "testing",
  "otel",
  "cli",
  "internal",
];

const CAMEL = /^_?[a-z][a-zA-Z0-9]*$/;
const PASCAL = /^[A-Z][a-zA-Z0-9]*$/;
const CONSTANT = /^[A-Z][A-Z0-9_]*$/;

const doors = await Promise.all(
  (await entryPoints()).map((path) => Deno.readTextFile(new URL(path, root))),
);

/** Whether an entry point exports a name. */
function isPublic(name: string): boolean {
  return doors.some((door) => new RegExp(`\\b${name}\\b`).test(door));
}

/** The first text of an error message, or `undefined` if it starts with a value. */
function beginningOf(node: Deno.lint.Node | undefined): string | undefined {
  if (node?.type === "Literal" && typeof node.value === "string") {
    return node.value;
  }
  const quasi = node?.type === "TemplateLiteral" ? node.quasis[0]?.raw : "";
  return quasi === "" ? undefined : quasi;
}

/** The last text of an error message, or `undefined` if it ends with a value. */
function endOf(node: Deno.lint.Node | undefined): string | undefined {
  if (node?.type === "TemplateLiteral") return node.quasis.at(-1)?.raw;
  return beginningOf(node);
}

/** The names that a node declares, by the rule that they break. */
const plugin: Deno.lint.Plugin = {
  name: "style",
  rules: {
    private: {
      create: (context) => ({
        ":matches(MethodDefinition, PropertyDefinition)"(node) {
          // A constructor parameter cannot have the name of a private field.
          const isConstructor = node.type === "MethodDefinition" &&
            node.kind === "constructor";
          if (
            "accessibility" in node && node.accessibility === "private" &&
            !isConstructor
          ) context.report({ node, message: "private instead of #" });
        },
      }),
    },
    arrow: {
      create: (context) => ({
        ":matches(Program, Program > ExportNamedDeclaration) > VariableDeclaration > VariableDeclarator > ArrowFunctionExpression"(
          node: Deno.lint.Node,
        ) {
          context.report({ node, message: "An arrow at the top level" });
        },
        ExportDefaultDeclaration(node) {
          context.report({ node, message: "A default export" });
        },
      }),
    },
    names: {
      create(context) {
        const check = (
          node: Deno.lint.Node | null | undefined,
          ...forms: RegExp[]
        ) => {
          if (node?.type !== "Identifier") return;
          if (!forms.some((form) => form.test(node.name))) {
            context.report({ node, message: `The name ${node.name}` });
          }
        };
        return {
          FunctionDeclaration: ({ id }) => check(id, CAMEL),
          ClassDeclaration: ({ id }) => check(id, PASCAL),
          TSInterfaceDeclaration: ({ id }) => check(id, PASCAL),
          TSTypeAliasDeclaration: ({ id }) => check(id, PASCAL),
          VariableDeclarator: ({ id }) => check(id, CAMEL, CONSTANT, PASCAL),
        };
      },
    },
    errors: {
      create: (context) => ({
        "NewExpression[callee.name=/Error$/]"(node: Deno.lint.Node) {
          assert(node.type === "NewExpression");
          const [message] = node.arguments;
          const beginning = beginningOf(message) ?? "Cannot";
          const end = endOf(message) ?? "";
          // Names of flags and verbs of the tool are fixed by the command line.
          const isName = /^(--|bench |completion )/.test(beginning);
          if (/^[^A-Z"]/.test(beginning) && !isName) {
            context.report({ node, message: `Not a sentence: ${beginning}` });
          }
          if (/\.$/.test(end)) {
            context.report({ node, message: `A period at the end: ${end}` });
          }
          if (/n't\b/.test(`${beginning} ${end}`)) {
            context.report({ node, message: `A contraction: ${beginning}` });
          }
        },
      }),
    },
    arguments: {
      create: (context) => ({
        "ExportNamedDeclaration > FunctionDeclaration"(node: Deno.lint.Node) {
          assert(node.type === "FunctionDeclaration");
          // Code that users cannot call may have more arguments.
          const isPrivate = /(^|\/)_|^(internal|cli)\//.test(context.filename);
          if (isPrivate || !isPublic(node.id?.name ?? "")) return;
          const [, , third, ...more] = node.params;
          if (third === undefined) return;
          const isRest = third.type === "RestElement";
          const name = third.type === "Identifier" ? third.name : "options";
          const hasOptions = isRest || third.type === "ObjectPattern" ||
            third.type === "AssignmentPattern" || name === "options";
          if (!hasOptions || more.length > 0) {
            context.report({ node, message: `Arguments of ${node.id?.name}` });
          }
        },
      }),
    },
  },
};

/** All published files of a folder. */
async function* filesIn(folder: URL): AsyncGenerator<URL> {
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const isPublished = name.endsWith(".ts") && !name.endsWith("_test.ts") &&
      name !== "_testing.ts";
    if (isDirectory) yield* filesIn(new URL(`${name}/`, folder));
    else if (isPublished) yield new URL(name, folder);
  }
}

/** The violations in a source text, as sentences. */
function brokenIn(path: string, source: string): string[] {
  return Deno.lint.runPlugin(plugin, path, source)
    .map(({ message, range: [start] }) => {
      const line = source.slice(0, start).split("\n").length;
      return `${path}:${line}: ${message}`;
    });
}

Deno.test("All published code follows the style rules", async () => {
  const broken: string[] = [];
  for (const folder of FOLDERS) {
    for await (const url of filesIn(new URL(`${folder}/`, root))) {
      const path = pathOf(url.href);
      if (!/^[a-z0-9_]+\.ts$/.test(path.split("/").at(-1) ?? "")) {
        broken.push(`${path}: its name`);
      }
      broken.push(...brokenIn(path, await Deno.readTextFile(url)));
    }
  }
  assertEquals(broken, []);
});

Deno.test("The style rules find violations", () => {
  const cases: [source: string, finds: string][] = [
    ["class A { private x = 1; }", "private instead of #"],
    ["export const f = () => 1;", "An arrow at the top level"],
    ["export default 1;", "A default export"],
    ["function Bad() {}", "The name Bad"],
    ["const bad_name = 1;", "The name bad_name"],
    ["interface lower {}", "The name lower"],
    ['throw new TypeError("must be text");', "Not a sentence: must be text"],
    ['throw new Error("It failed.");', "A period at the end: It failed."],
    ['throw new Error("Can\'t do it");', "A contraction: Can't do it"],
    ["export function lines(a, b, c) {}", "Arguments of lines"],
  ];
  for (const [source, finds] of cases) {
    assertEquals(brokenIn("x.ts", source), [`x.ts:1: ${finds}`]);
  }
  const right = [
    "export function lines(a, b, options) {}",
    "export function ofOurOwn(a, b, c) {}",
    "export function serve(a, b, { c = 1 } = {}) { const h = () => c; }",
    "throw new RangeError(`Cannot do it: current value is ${1}`);",
    'throw new Error("--count must be a number");',
  ];
  assertEquals(brokenIn("x.ts", right.join("\n")), []);
});
