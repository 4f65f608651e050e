/**
 * What one open page does: its sockets, its run, and the answers to its questions.
 *
 * @module
 */
import { type CodeLine, type CodeName, readCode } from "./code.ts";
import { answer } from "./framings.ts";
import type { Kernel, KernelBuffers, KernelSource } from "./kernel.ts";
import { measureNagle } from "./nagle.ts";
import { Pipe, type PipeEnd, type PipeSettings } from "./pipe.ts";
import { type Question, readQuestion } from "./questions.ts";
import { readReally } from "./reads.ts";
import { MESSAGE_BYTES, type Sample } from "./sample.ts";
import { Sockets } from "./sockets.ts";

/** A message to the page. */
export type Message =
  | { event: "hello"; hello: Hello }
  | { event: "sample"; sample: Sample }
  | { event: "end"; end: PipeEnd; reason?: string | undefined }
  | { event: "answer"; id: number; value: unknown }
  | { event: "refusal"; id: number; reason: string };

/** The first message to the page. */
export interface Hello {
  system: string;
  source: KernelSource;
  buffers: KernelBuffers | undefined;
  canLimitBuffers: boolean;
  messageBytes: number;
  code: Record<CodeName, CodeLine[]>;
}

/** An open page. */
export class Session implements AsyncDisposable {
  readonly #kernel: Kernel;
  readonly #send: (message: Message) => void;
  #sockets: Sockets;
  #pipe: Promise<Pipe> | undefined;
  /** The unanswered questions. */
  readonly #answering = new Set<Promise<void>>();

  /** @param send Tells the page something. */
  constructor(kernel: Kernel, send: (message: Message) => void) {
    this.#kernel = kernel;
    this.#send = send;
    this.#sockets = new Sockets(kernel);
  }

  /** Sends the first message to the page. */
  async greet(): Promise<void> {
    const { system, source, canLimitBuffers } = this.#kernel;
    this.#send({
      event: "hello",
      hello: {
        system,
        source,
        canLimitBuffers,
        buffers: await this.#kernel.buffers(),
        messageBytes: MESSAGE_BYTES,
        code: await readCode(),
      },
    });
  }

  /** Answers a question, or sends the reason why it cannot. */
  async answer(json: string): Promise<void> {
    const answering = this.#answerOrRefuse(json);
    this.#answering.add(answering);
    await answering;
    this.#answering.delete(answering);
  }

  async #answerOrRefuse(json: string): Promise<void> {
    let id = 0;
    try {
      const asked = readQuestion(json);
      id = asked.id;
      const value = await this.#answer(asked.read()) ?? null;
      this.#send({ event: "answer", id, value });
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#send({ event: "refusal", id, reason });
    }
  }

  async #answer(question: Question): Promise<unknown> {
    switch (question.name) {
      case "call":
        return await this.#sockets.call(question.call);
      case "sockets":
        return await this.#sockets.state();
      case "reset":
        this.#sockets[Symbol.dispose]();
        this.#sockets = new Sockets(this.#kernel);
        return await this.#sockets.state();
      case "start":
        this.#pipe = this.#startAfter(this.#pipe, question.settings);
        await this.#pipe;
        return;
      case "change":
        return (await this.#pipe)?.change(question.change);
      case "drain":
        return (await this.#pipe)?.drain();
      case "stop":
        return await (await this.#pipe)?.stop();
      case "nagle":
        return await measureNagle();
      case "frame":
        return question.questions.map(answer);
      case "read":
        return await readReally(question.frames, this.#kernel);
    }
  }

  async #startAfter(
    before: Promise<Pipe> | undefined,
    settings: PipeSettings,
  ): Promise<Pipe> {
    await stop(before);
    return await Pipe.start(this.#kernel, settings, {
      onSample: (sample) => this.#send({ event: "sample", sample }),
      onEnd: (end, reason) => this.#send({ event: "end", end, reason }),
    });
  }

  /** Ends the run and closes the sockets. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#sockets[Symbol.dispose]();
    await stop(this.#pipe);
    await Promise.all(this.#answering);
  }
}

async function stop(pipe: Promise<Pipe> | undefined): Promise<void> {
  // A pipe that did not start has reported so, and has stopped.
  const started = await pipe?.catch(() => undefined);
  await started?.stop();
}
