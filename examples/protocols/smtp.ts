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
 * A lone line feed ends no line here (`strict`). If one program takes it for an end and
 * another does not, "\n.\r\n" ends the mail for one of them alone. What follows is text for
 * one and a forged mail for the other: SMTP smuggling.
 *
 * ```sh
 * deno run --allow-net=127.0.0.1 examples/protocols/smtp.ts
 * ```
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { connect, FramingError, grouped, lines } from "@framed/tcp";
import { type Connection, serve, type StartTlsOptions } from "@framed/tcp";

/** A mail, with what its envelope says. */
export interface Mail {
  from: string;
  to: string[];
  /** Header and body; each line ends with `\r\n`. */
  text: string;
}

/** What a server reads: commands, and a mail's text line by line. */
export const commands = lines({
  eol: "\r\n",
  strict: true,
  fatal: true, // text that is not UTF-8 is refused, not changed
  maxLength: 998,
  trailing: "error", // a command that is cut off is none
});

/** What a client reads: replies, of one or more lines that begin with the same code. */
export const replies = grouped(commands, (line) => {
  if (/^[2-5]\d\d([ -]|$)/.test(line)) return line[3] !== "-"; // then it goes on
  throw new FramingError(`Cannot read reply: ${line.slice(0, 80)}`);
}, { maxFrames: 100 });

/** Options for {@linkcode receiveMail}. */
export interface ReceiveMailOptions {
  /** Given each mail, before its sender is told that it was accepted. */
  onMail: (mail: Mail) => void | Promise<void>;
  /** With a certificate, mails are accepted after STARTTLS alone. */
  certificate?: { cert: string; key: string };
}

/** The server: receives the mails of one connection. */
export async function receiveMail(
  connection: Connection<string>,
  { onMail, certificate }: ReceiveMailOptions,
): Promise<void> {
  let mail: Mail | undefined;
  let mayStartTls = certificate !== undefined;
  connection.send("220 localhost ESMTP");
  try {
    for await (const line of connection) {
      const verb = line.split(" ", 1)[0]?.toUpperCase();
      const path = /^(?:MAIL FROM|RCPT TO): ?<([^<>\s]*)>/i.exec(line)?.[1];
      let answer = "250 OK";
      if (verb === "QUIT") return void connection.send("221 Bye");
      if (verb === "EHLO" || verb === "HELO") {
        connection.send("250-localhost");
        if (mayStartTls) connection.send("250-STARTTLS");
        answer = "250 8BITMIME";
      } else if (verb === "STARTTLS" && certificate && mayStartTls) {
        connection.send("220 Go ahead");
        // Refused if the client has sent more already, which was not encrypted.
        await connection.startTls({ side: "server", ...certificate });
        mayStartTls = false;
        continue;
      } else if (verb === "RSET") mail = undefined;
      else if (mayStartTls && verb !== "NOOP") {
        answer = "530 Must issue a STARTTLS command first";
      } else if (verb === "MAIL" && path !== undefined && !mail) {
        mail = { from: path, to: [], text: "" };
      } else if (verb === "RCPT" && path && mail && mail.to.length < 100) {
        mail.to.push(path);
      } else if (verb === "DATA" && mail && mail.to.length > 0) {
        connection.send("354 Go ahead");
        await onMail({ ...mail, text: await receiveText(connection) });
        mail = undefined;
      } else if (verb !== "NOOP") answer = "503 Not understood, or not now";
      await connection.send(answer);
    }
  } catch (error) {
    if (!(error instanceof FramingError)) throw error;
    connection.send(`500 ${error.code}`);
    await connection.close(); // after the answer
    throw error;
  }
}

async function receiveText(connection: Connection<string>): Promise<string> {
  let text = "";
  for (;;) {
    const line = await connection.expect();
    if (line === ".") return text;
    text += `${line.replace(/^\./, "")}\r\n`;
    if (text.length > MAX_TEXT_LENGTH) {
      throw new FramingError("The mail is too long", { code: "too-long" });
    }
  }
}
const MAX_TEXT_LENGTH = 10 * 1024 * 1024;

/** The client: sends a mail; with `tls` encrypted, or not at all. */
export async function sendMail(
  connection: Connection<string[], string>,
  { from, to, text }: Mail,
  tls?: StartTlsOptions,
): Promise<void> {
  const check = (kind: string, [line = "", ...more]: string[]) => {
    // The first digit says what kind it is.
    if (line.startsWith(kind)) return;
    throw new Error(`The mail server refused: ${[line, ...more].join(" ")}`);
  };
  const ask = async (kind: string, command: string) =>
    check(kind, await connection.request(command));
  check("2", await connection.expect());
  await ask("2", "EHLO localhost");
  if (tls !== undefined) {
    await ask("2", "STARTTLS");
    await connection.startTls(tls);
    await ask("2", "EHLO localhost"); // what was said before may be forged
  }
  await ask("2", `MAIL FROM:<${from}>`);
  for (const each of to) await ask("2", `RCPT TO:<${each}>`);
  await ask("3", "DATA");
  for (const line of text.replace(/\r?\n$/, "").split(/\r?\n/)) {
    await connection.send(line.replace(/^\./, ".."));
  }
  await ask("2", ".");
  await ask("2", "QUIT");
}

if (import.meta.main) {
  await using server = serve(
    { hostname: "127.0.0.1", port: 0, framing: commands },
    (connection) =>
      receiveMail(connection, { onMail: (mail) => console.log(mail) }),
  );
  await using client = await connect({
    hostname: "127.0.0.1",
    port: server.addr.port,
    framing: replies,
  });
  await sendMail(client, {
    from: "ann@example.com",
    to: ["ben@example.com"],
    text: "Subject: Hello\r\n\r\nA line with one dot does not end it:\r\n.\r\n",
  });
}
