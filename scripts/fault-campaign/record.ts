import { now } from './process.ts';
import { Tail } from './tail.ts';

/**
 * An agent carries out no command later than its ttl (500 ms) after arrival; the way there may take a second. The lateness of
 * an agent that gets no CPU shows as a gap in its writes, and is excused.
 */
const STALE_MS = 500 + 1000;
const GAP_WINDOW_MS = 5000;
const RUN = 8;
/** Only the attacker commands numbers from here on. */
export const ATTACKER_VALUES = 1_000_000_000;

interface Command {
  readonly at: number;
  readonly pin: string;
  readonly val: unknown;
  answered: number | undefined;
  code: string | undefined;
}

/** A write to the hardware, from the hardware's file. */
export interface Write {
  readonly value: number;
  readonly at: number;
  readonly by: number;
}

interface LastReport {
  readonly at: number;
  readonly val: unknown;
  readonly quality: unknown;
  readonly seq: unknown;
}

/** What is expected of a healthy world. */
export interface Expected {
  /** Pins of good quality. */
  readonly good: readonly string[];
  /** Values of pins without commands, whenever their quality is good. */
  readonly values: { readonly [pin: string]: number };
}

/** The record of hardware and bus in a world, and the checks of the promises that hold in every fault. */
export class WorldRecord {
  readonly writes: Write[] = [];
  readonly wrong: string[] = [];
  readonly #commands = new Map<string, Command>();
  readonly #levels = new Map<number, Command>();
  readonly #last = new Map<string, LastReport>();
  /** When each agent was started, by process id. */
  readonly #startTimes = new Map<number, number>();
  #highest = 0;
  #judged = 0;

  readonly #expected: Expected;
  readonly #tail: Tail;

  constructor(file: string, expected: Expected) {
    this.#tail = new Tail(file);
    this.#expected = expected;
  }

  /** Notes the start of an agent. */
  agentStarted(process: number | undefined): void {
    if (process !== undefined) this.#startTimes.set(process, now());
  }

  /** Takes a line of output of the controller. */
  take(text: string): void {
    if (!text.startsWith('{')) return;
    const found = JSON.parse(text);
    if (found.sent) {
      const { pin_name: pin, val } = found.sent;
      const command: Command = { at: found.at, pin, val, answered: undefined, code: undefined };
      this.#commands.set(found.id, command);
      if (pin === 'level') this.#levels.set(val, command);
    } else if (found.refused) this.#answer(found.refused.reply_to, found.at, found.refused.code);
    else if (found.heard?.last_change !== undefined) this.#report(found.heard, found.at);
  }

  /**
   * The time, after `since`, from which commands work again: every pin is good, and RUN commands in a row were carried out. A
   * single one may still get through while a connection is being replaced.
   */
  healthyAt(since: number): number | undefined {
    for (const pin of this.#expected.good) if (this.#last.get(pin)?.quality !== 'good') return undefined;
    let run: number[] = [];
    let skipped = false;
    for (const { answered, code } of this.#sentTo(since, Number.POSITIVE_INFINITY)) {
      if (answered === undefined) {
        skipped = true;
        continue;
      }
      if (skipped || code !== undefined) run = [];
      skipped = false;
      if (code !== undefined) continue;
      run.push(answered);
      if (run.length >= RUN) return run[0];
    }
    return undefined;
  }

  /** The time of the last report of a pin, when it is after `since` and its quality is not good. */
  notGoodSince(pin: string, since: number): number | undefined {
    const last = this.#last.get(pin);
    return last && last.at >= since && last.quality !== 'good' ? last.at : undefined;
  }

  /** Number of commands of `level`, sent in a time, without an answer. */
  lost(from: number, to: number): number {
    return this.#sentTo(from, to).filter(({ answered }) => answered === undefined).length;
  }

  /** Error codes of the commands of `level`, sent in a time, that were refused. */
  refused(from: number, to: number): string[] {
    return this.#sentTo(from, to).flatMap(({ code }) => code ?? []);
  }

  /** The last write of the level. */
  get level(): Write | undefined {
    this.read();
    return this.writes.at(-1);
  }

  /** The first time after `since` at which the level was safe. */
  safeAt(since: number): number | undefined {
    this.read();
    const before = this.writes.findLast(({ at }) => at < since);
    if (before === undefined || before.value === 0) return since;
    return this.writes.find(({ at, value }) => at >= since && value === 0)?.at;
  }

  /** Reads new lines of the hardware's file. */
  read(): void {
    for (const line of this.#tail.read()) {
      const { key, value, at, by } = JSON.parse(line);
      if (key === 'level') this.writes.push({ value, at, by });
      else if (value !== false) this.wrong.push(`promise 7: ${key} was driven, which only the attacker asks for`);
    }
  }

  /** Checks the writes before `until`. Later ones wait, because commands arrive here by another way, perhaps later. */
  judge(until: number): void {
    this.read();
    for (let write = this.writes[this.#judged]; write && write.at < until; write = this.writes[this.#judged]) {
      this.#judged++;
      this.#judgeOne(write);
    }
  }

  /** Promises 2 and 3: the hardware gets only commanded values, and none late; the safe value is always right. */
  #judgeOne({ value, at, by }: Write): void {
    if (value === 0) return;
    const command = this.#levels.get(value);
    if (value >= ATTACKER_VALUES)
      this.wrong.push(`promise 7: the hardware was given ${value}, which the attacker asked for`);
    else if (!command) this.wrong.push(`promise 2: the hardware was given ${value}, which nobody asked for`);
    else if (at - command.at > STALE_MS + this.#gap(by, at))
      this.wrong.push(`promise 3: a command was carried out ${Math.round(at - command.at)} ms after it was sent`);
    else if (command.at < (this.#startTimes.get(by) ?? 0))
      this.wrong.push('promise 3: a command to an earlier run of the agent was carried out');
    if (value < this.#highest) this.wrong.push(`promise 3: ${value} was carried out after ${this.#highest}`);
    this.#highest = Math.max(this.#highest, value);
  }

  #sentTo(from: number, to: number): Command[] {
    return [...this.#commands.values()].filter(({ at, pin }) => pin === 'level' && at >= from && at < to);
  }

  /** The longest recent time without a write of this process. */
  #gap(by: number, at: number): number {
    const own = this.writes.filter((write) => write.by === by && write.at > at - GAP_WINDOW_MS && write.at <= at);
    return Math.max(0, ...own.slice(1).map((write, before) => write.at - (own[before]?.at ?? write.at)));
  }

  #answer(id: unknown, at: number, code?: string): void {
    const command = typeof id === 'string' ? this.#commands.get(id) : undefined;
    if (!command) return;
    if (command.answered !== undefined) this.wrong.push(`one command got two answers (${command.code} and ${code})`);
    command.answered = at;
    command.code = code;
  }

  #report(
    heard: { pin_name: string; val: unknown; quality: unknown; seq: unknown; reply_to?: string },
    at: number,
  ): void {
    const { pin_name: pin, val, quality, seq, reply_to } = heard;
    if (reply_to !== undefined) this.#answer(reply_to, at);
    this.#last.set(pin, { at, val, quality, seq });
    if (quality !== 'good') return;
    const right = this.#expected.values[pin];
    if (right !== undefined && val !== right) this.wrong.push(`promise 2: ${pin} was reported as ${val}, and good`);
    if (pin === 'level' && Number(val) !== 0 && !this.#levels.has(Number(val)))
      this.wrong.push(`promise 2: level was reported as ${val}, which nobody asked for`);
  }
}
