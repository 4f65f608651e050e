import { assertEquals } from "@std/assert";
import { shellFor } from "./_shell_command.ts";

Deno.test("shellFor() passes a command with quotes on as it is", () => {
  const command = 'echo "a b" & echo c';
  assertEquals(shellFor(command, "linux").args, ["-c", command]);
  const { args, windowsRawArguments } = shellFor(command, "windows");
  assertEquals(args.join(" "), `/d /s /c "${command}"`);
  assertEquals(windowsRawArguments, true);
});
