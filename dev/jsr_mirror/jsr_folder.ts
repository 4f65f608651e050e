// deno-lint-ignore-file no-console

/**
 * Prints the folder of the local mirror that `JSR_URL` names, for `--allow-read` of a
 * program that starts threads: Deno checks the permission for their imports. If
 * `JSR_URL` names no folder, it prints the folder of this project.
 *
 * @module
 */

import { fileURLToPath } from "node:url";

const registry = Deno.env.get("JSR_URL") ?? "";
console.log(registry.startsWith("file:") ? fileURLToPath(registry) : ".");
