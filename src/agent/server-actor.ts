import { Actor } from '../bus/actor.ts';
import type { Timer } from '../clock/clock.ts';
import type { ResolvedServer } from '../config/resolved.ts';
import type { OpenServer, PinFacts, Port, ServedPins } from '../driver/contract.ts';
import { DcsError, toDcsError } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import type { IoMessage } from '../message/payloads.ts';
import type { RawValue } from '../pin/pin.ts';

const COMMAND_TIMEOUT_MS = 3000;
const FIRST_BACKOFF_MS = 100;
const MAX_BACKOFF_MS = 3000;

/** Represents a server for other systems on the bus: keeps the latest report of each pin it shows, and sends commands to pins. */
export class ServerActor extends Actor implements ServedPins {
  readonly #server: ResolvedServer;
  readonly #facts: ReadonlyMap<string, PinFacts>;
  readonly #log: Log;
  readonly #portOf: (name: string) => Port;
  readonly #counters: Map<string, number>;
  readonly #latestReports = new Map<string, IoMessage>();
  #open: OpenServer | undefined;
  #timer: Timer | undefined;
  #backoff = FIRST_BACKOFF_MS;
  #lastError = '';
  #ended = false;

  /** `counters` outlive this actor, which its supervisor may restart. */
  constructor(
    server: ResolvedServer,
    facts: ReadonlyMap<string, PinFacts>,
    portOf: (name: string) => Port,
    counters: Map<string, number>,
    log: Log,
  ) {
    super(`server ${server.name}`);
    this.#server = server;
    this.#facts = facts;
    this.#portOf = portOf;
    this.#counters = counters;
    this.#log = log;
    for (const pin of new Set(server.pins)) {
      this.onReport(pin, (report) => {
        this.#latestReports.set(pin, report);
      });
    }
  }

  override async onStart(): Promise<void> {
    for (const pin of new Set(this.#server.pins)) this.send({ UpdateIoMessage: { pin_name: pin } });
    await this.#openServer();
  }

  override async onStop(): Promise<void> {
    this.#ended = true;
    this.#timer?.cancel();
    const open = this.#open;
    this.#open = undefined;
    await open?.close();
  }

  read(pin: string): RawValue {
    const report = this.#latestReports.get(pin);
    if (report === undefined) throw new DcsError('PORT_DOWN', `${pin} has not reported yet`);
    const { val, quality, reason } = report;
    const trusted = quality === undefined || quality === 'good';
    if (trusted && (typeof val === 'boolean' || typeof val === 'number' || typeof val === 'string')) return val;
    throw new DcsError(
      'PORT_DOWN',
      `${pin} is ${trusted ? 'without a value' : quality}: ${reason ?? 'no reason given'}`,
    );
  }

  async command(pin: string, value: RawValue): Promise<void> {
    // The caller waits no longer than the ttl, so the command must not be carried out later.
    const command = { pin_name: pin, val: value, ttl: COMMAND_TIMEOUT_MS / 1000 };
    await this.request({ IoMessage: command }, { timeoutMs: COMMAND_TIMEOUT_MS });
  }

  port(name: string): Port {
    return this.#portOf(name);
  }

  async #openServer(): Promise<void> {
    const { name, kind, options } = this.#server;
    const attempt = { lost: false };
    const again = (thrown: unknown) => {
      const error = toDcsError(thrown);
      attempt.lost = true;
      if (this.#ended) return;
      if (error.message !== this.#lastError)
        this.#log.warn({ server: name, code: error.code }, `server ${name}: ${error.message}`);
      this.#lastError = error.message;
      this.#timer = this.clock.after(this.#backoff, () => void this.#openServer());
      this.#backoff = Math.min(2 * this.#backoff, MAX_BACKOFF_MS);
    };
    try {
      const open = await kind.open(options, this, this.#facts, {
        clock: this.clock,
        log: this.#log,
        count: (counter, by = 1) => {
          this.#counters.set(counter, (this.#counters.get(counter) ?? 0) + by);
        },
        down: (error) => {
          const lost = this.#open;
          this.#open = undefined;
          void lost?.close();
          if (!attempt.lost) again(error);
        },
      });
      if (this.#ended || attempt.lost) {
        await open.close();
        return;
      }
      this.#open = open;
      this.#backoff = FIRST_BACKOFF_MS;
      this.#lastError = '';
      this.#log.info({ server: name }, `server ${name} is open`);
    } catch (error) {
      if (!attempt.lost) again(error);
    }
  }
}
