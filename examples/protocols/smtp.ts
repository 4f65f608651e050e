/**
 * SMTP, both sides: commands and replies in lines, a mail up to a line with one dot, and
 * TLS in the middle of a connection.
 *
 * ```text
 * client                          server
 *                                 220 mail.example ESMTP\r\n
 * EHLO me\r\n                     250-mail.example\r\n    "-": the reply goes on
 *                                 250 STARTTLS\r\n
 * STARTTLS\r\n                    220 Go ahead\r\n
 *          ───── TLS from here on, and EHLO again ─────
 * MAIL FROM:<a@example>\r\n       250 OK\r\n
 * RCPT TO:<b@example>\r\n         250 OK\r\n
 * DATA\r\n                        354 Go ahead\r\n
 * Hello\r\n
 * ..\r\n                          a line that begins with a dot gets another one
 * .\r\n                           250 OK\r\n              the end of the mail
 * ```
 *
 * A lone line feed does not end a line here (`strict`). If one program takes it for an
 * end and another does not, "\n.\r\n" ends the mail for only one of them. The rest is
 * text for one and a forged mail for the other: SMTP smuggling.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/smtp.ts
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { connect, type Connection, dotStuffed, grouped } from "@framed/tcp";
import { lines, serve, textFields } from "@framed/tcp";
import type { StartTlsOptions } from "@framed/tcp";

/** A mail: its envelope, and the lines of its text. */
export type Mail = { from: string; to: string[]; text: string[] };

// Invalid UTF-8 is refused, not changed; a command that is cut off is not a command.
const rules = { strict: true, fatal: true, trailing: "error" } as const;

/** What a server reads: commands of one line each; a text line may have one more dot. */
export const commands = lines({ eol: "\r\n", maxLength: 999, ...rules });

// "-" after the code: the reply continues.
const isLast = (line: string) => !textFields(line, /^[2-5]\d\d(?:(-)| |$)/)[0];

/** What a client reads: replies, of one or more lines that begin with the same code. */
export const replies = grouped(commands, isLast, { maxFrames: 100 });

// A mail's text: all lines up to one with one dot.
const text = dotStuffed(commands, { maxLength: 1e7, maxFrames: 500_000 });

// The sender of a mail, which may be empty, and a recipient.
const path = /^MAIL FROM: ?<(?<from>[^<>\s]*)>|^RCPT TO: ?<(?<to>[^<>\s]+)>/i;

/**
 * The server: receives the mail of one connection. It tells the sender that a mail was
 * accepted once `onMail` has settled. With a certificate, it accepts mail only after
 * STARTTLS.
 */
export async function receiveMail(
  connection: Connection<string>,
  onMail: (mail: Mail) => void | Promise<void>,
  tls?: { cert: string; key: string },
): Promise<void> {
  let mail: Mail | undefined;
  connection.send("220 localhost ESMTP");
  for await (const line of connection) {
    const { from, to } = path.exec(line)?.groups ?? {};
    let answer = "250 localhost";
    if (/^QUIT\b/i.test(line)) return void connection.send("221 Bye");
    if (/^EHLO\b/i.test(line)) {
      connection.send("250-localhost");
      [answer, mail] = [tls ? "250 STARTTLS" : "250 8BITMIME", undefined];
    } else if (/^STARTTLS\b/i.test(line) && tls) {
      connection.send("220 Go ahead");
      // Refused if the client has already sent more, unencrypted.
      await connection.startTls({ side: "server", ...tls });
      // TLS is on, so offer it no more; and the client speaks first.
      [answer, tls] = ["", undefined];
    } else if (/^(HELO|RSET)\b/i.test(line)) mail = undefined;
    else if (tls && !/^NOOP/i.test(line)) answer = "530 Must issue STARTTLS";
    else if (from !== undefined && !mail) mail = { from, to: [], text: [] };
    else if (to && mail && mail.to.length < 100) mail.to.push(to);
    else if (to && mail) answer = "452 Too many recipients";
    else if (/^DATA\b/i.test(line) && mail && mail.to.length > 0) {
      mail.text = await connection.request("354 Go ahead", { framing: text });
      await onMail(mail);
      mail = undefined;
    } else if (!/^NOOP/i.test(line)) answer = "503 Not understood, or not now";
    if (answer) await connection.send(answer);
  }
}

/** The client: sends a mail; with `tls`, only encrypted. */
export async function sendMail(
  connection: Connection<string[], string>,
  mail: Mail,
  tls?: StartTlsOptions,
): Promise<void> {
  check(await connection.expect()); // the server greets first
  check(await connection.request("EHLO localhost"));
  if (tls !== undefined) {
    check(await connection.request("STARTTLS"));
    await connection.startTls(tls);
    // Everything before TLS may be forged.
    check(await connection.request("EHLO localhost"));
  }
  check(await connection.request(`MAIL FROM:<${mail.from}>`));
  for (const to of mail.to) check(await connection.request(`RCPT TO:<${to}>`));
  check(await connection.request("DATA"), "3");
  await connection.send(mail.text, { framing: text });
  check(await connection.expect());
  check(await connection.request("QUIT"));
}

/** Refuses a reply of another kind, as shown by its first digit. */
function check(reply: string[], kind = "2"): void {
  if (!reply[0]?.startsWith(kind)) throw new Error(`Mail refused: ${reply}`);
}

if (import.meta.main) {
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing: commands },
    (connection) => receiveMail(connection, (mail) => console.log(mail)),
  );
  await using client = await connect({
    hostname: "127.0.0.1",
    port: server.addr.port,
    framing: replies,
  });
  await sendMail(client, {
    from: "ann@example.com",
    to: ["ben@example.com"],
    text: ["Subject: Hello", "", "A line with one dot does not end it:", "."],
  });
}
