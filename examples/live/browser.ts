/**
 * Controls a headless Chromium by the DevTools protocol, for the tests of the page and
 * its pictures.
 *
 * @module
 */
import { once } from "node:events";
import {
  type Program,
  start,
  temporaryFolder,
} from "../../dev/interop/_peers.ts";

/** After this time a wait for something on a page fails. */
const MAX_WAIT_MS = 90_000;

/** The browser's command. */
export const CHROMIUM = "chromium-headless-shell";

/** How a page is shown. */
export interface View {
  width: number;
  height: number;
  isDark?: boolean;
}

interface Answer {
  id?: number;
  result?: Record<string, unknown>;
  error?: { message: string };
  method?: string;
  params?: { response?: { payloadData: string } };
}

/** A browser that ends at the end of its scope. */
export class Browser implements AsyncDisposable {
  readonly #program: Program;
  readonly #folder: AsyncDisposable;
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, PromiseWithResolvers<Answer>>();
  #commands = 0;
  /** Uncaught errors of pages. */
  readonly problems: string[] = [];
  /** Messages that pages have received by WebSockets, in order. */
  readonly received: string[] = [];

  private constructor(
    program: Program,
    folder: AsyncDisposable,
    socket: WebSocket,
  ) {
    this.#program = program;
    this.#folder = folder;
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.#hear(JSON.parse(data));
    socket.onclose = () => {
      for (const answer of this.#answers.values()) {
        answer.reject(new Error("The browser has ended"));
      }
    };
  }

  /** Starts a browser. */
  static async launch(): Promise<Browser> {
    const folder = await temporaryFolder();
    const program = start([
      CHROMIUM,
      "--no-sandbox",
      "--disable-gpu",
      "--hide-scrollbars",
      "--remote-debugging-port=0",
      `--user-data-dir=${folder.path}`,
      "about:blank",
    ]);
    // "DevTools listening on ws://127.0.0.1:36291/devtools/browser/…"
    for await (const line of program.stderr) {
      const address = line.match(/DevTools listening on (ws:\S+)/)?.[1];
      if (address === undefined) continue;
      const socket = new WebSocket(address);
      await once(socket, "open");
      return new Browser(program, folder, socket);
    }
    throw new Error("The browser does not listen");
  }

  /** Opens a page, and waits until it has loaded. */
  async open(url: string, view: View): Promise<Page> {
    const { targetId } = await this.send("Target.createTarget", {
      url: "about:blank",
    });
    const { sessionId } = await this.send("Target.attachToTarget", {
      targetId,
      flatten: true,
    });
    const page = new Page(this, String(sessionId));
    await page.send("Page.enable");
    await page.send("Runtime.enable");
    await page.send("Network.enable");
    await page.send("Page.bringToFront"); // otherwise it draws no frames
    await page.show(view);
    await page.send("Page.navigate", { url });
    await page.waitFor("document.readyState === 'complete'");
    return page;
  }

  /** Sends a command, and returns its answer. */
  async send(
    method: string,
    params: Record<string, unknown> = {},
    sessionId?: string,
  ): Promise<Record<string, unknown>> {
    const answer = Promise.withResolvers<Answer>();
    const id = ++this.#commands;
    this.#answers.set(id, answer);
    this.#socket.send(JSON.stringify({ id, method, params, sessionId }));
    const { result = {}, error } = await answer.promise;
    if (error !== undefined) throw new Error(`${method}: ${error.message}`);
    return result;
  }

  #hear(answer: Answer): void {
    switch (answer.method) {
      case "Runtime.exceptionThrown":
        this.problems.push(JSON.stringify(answer.params));
        break;
      case "Network.webSocketFrameReceived":
        this.received.push(answer.params?.response?.payloadData ?? "");
    }
    if (answer.id === undefined) return;
    this.#answers.get(answer.id)?.resolve(answer);
    this.#answers.delete(answer.id);
  }

  /**
   * Asks the browser to end: its command is a script, and killing that does not end the
   * browser.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#socket, "close");
    this.#socket.send(JSON.stringify({ id: 0, method: "Browser.close" }));
    await closed;
    await this.#program.status; // before that it writes to its folder
    await this.#program[Symbol.asyncDispose]();
    await this.#folder[Symbol.asyncDispose]();
  }
}

/** A page in a browser. */
export class Page {
  readonly #browser: Browser;
  readonly #sessionId: string;

  constructor(browser: Browser, sessionId: string) {
    this.#browser = browser;
    this.#sessionId = sessionId;
  }

  /** Sends a command to this page. */
  send(
    method: string,
    params: Record<string, unknown> = {},
  ): Promise<Record<string, unknown>> {
    return this.#browser.send(method, params, this.#sessionId);
  }

  /** Sets how the page is shown. */
  async show({ width, height, isDark = false }: View) {
    await this.send("Emulation.setDeviceMetricsOverride", {
      width,
      height,
      deviceScaleFactor: 1,
      mobile: width < 600,
    });
    await this.send("Emulation.setEmulatedMedia", {
      features: [
        { name: "prefers-color-scheme", value: isDark ? "dark" : "light" },
        { name: "prefers-reduced-motion", value: "reduce" },
      ],
    });
  }

  /** The value of an expression, in the page. */
  async value(expression: string): Promise<unknown> {
    const { result, exceptionDetails } = await this.send("Runtime.evaluate", {
      expression,
      awaitPromise: true,
      returnByValue: true,
    });
    if (exceptionDetails !== undefined) {
      throw new Error(`${expression}: ${JSON.stringify(exceptionDetails)}`);
    }
    return (result as { value?: unknown }).value;
  }

  /** Waits until an expression is true; throws if that takes too long. */
  async waitFor(expression: string): Promise<void> {
    const isTrue = await this.value(`new Promise((resolve) => {
      const gaveUpAt = performance.now() + ${MAX_WAIT_MS};
      const look = () => {
        if (${expression}) resolve(true);
        else if (performance.now() > gaveUpAt) resolve(false);
        else setTimeout(look, 16);
      };
      look();
    })`);
    if (!isTrue) throw new Error(`Waited in vain for ${expression}`);
  }

  /** Clicks an element when it exists and can be clicked. */
  async click(selector: string): Promise<void> {
    const element = `document.querySelector(${JSON.stringify(selector)})`;
    await this.waitFor(
      `${element}?.checkVisibility() && !${element}.matches(":disabled")`,
    );
    await this.value(`${element}.click()`);
  }

  /** Scrolls an element into view, and returns its center. */
  async placeOf(selector: string): Promise<{ x: number; y: number }> {
    const place = await this.value(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      element.scrollIntoView({ block: "center", behavior: "instant" });
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + width / 2, y: y + height / 2 };
    })()`);
    return place as { x: number; y: number };
  }

  /** Moves, presses or releases the pointer. */
  async pointer(
    type: "mousePressed" | "mouseMoved" | "mouseReleased",
    x: number,
    y: number,
  ): Promise<void> {
    await this.send("Input.dispatchMouseEvent", {
      type,
      x,
      y,
      button: "left",
      buttons: type === "mouseReleased" ? 0 : 1,
      clickCount: type === "mouseMoved" ? 0 : 1,
    });
  }

  /** Presses a key, such as `ArrowRight`. */
  async press(key: string, { shift = false } = {}): Promise<void> {
    const details = {
      key,
      code: key,
      modifiers: shift ? 8 : 0,
      windowsVirtualKeyCode: KEY_CODES[key] ?? 0,
      ...(key === "Enter" && { text: "\r" }),
    };
    await this.send("Input.dispatchKeyEvent", { type: "keyDown", ...details });
    await this.send("Input.dispatchKeyEvent", { type: "keyUp", ...details });
  }

  /** A picture of the view or of an element, as PNG. */
  async screenshot(selector?: string): Promise<Uint8Array> {
    const clip = selector === undefined ? undefined : await this.value(`(() => {
      const element = document.querySelector(${JSON.stringify(selector)});
      const { x, y, width, height } = element.getBoundingClientRect();
      return { x: x + scrollX, y: y + scrollY, width, height, scale: 1 };
    })()`);
    const { data } = await this.send("Page.captureScreenshot", {
      format: "png",
      ...(clip !== undefined && { clip, captureBeyondViewport: true }),
    });
    return Uint8Array.fromBase64(String(data));
  }
}

const KEY_CODES: Record<string, number> = {
  Tab: 9,
  Enter: 13,
  End: 35,
  Home: 36,
  ArrowLeft: 37,
  ArrowUp: 38,
  ArrowRight: 39,
  ArrowDown: 40,
  Delete: 46,
};
