// deno-lint-ignore-file no-console -- its output is read by the test
// Serves on the path that it is given, and tells whether it can. If it is given a
// time as well, it begins then: so several begin together.
import { lines, serve } from "../../mod.ts";

const [path = "", time = "0"] = Deno.args;
while (Date.now() < Number(time));
try {
  serve(
    { path, framing: lines() },
    (connection) => connection.send("here"),
  );
  console.log("listening");
} catch (error) {
  console.log(error instanceof Error ? error.name : error);
}
