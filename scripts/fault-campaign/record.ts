import { now } from './process.ts';
import { Tail } from './tail.ts';

/**
 * A command is not carried out later than its ttl (500 ms) after it has reached the agent; a second it may be on its way. What
 * an agent that the machine keeps from running does late shows as a gap in its writes, and is not held against it.
 */
const STALE_MS = 500 + 1000;
const GAP_WINDOW_MS = 5000;
const RUN = 8;
/** Numbers from here on nobody but the intruder commands. */
export const INTRUDER = 1_000_000_000;

interface Command {
  readonly at: number;
  readonly pin: string;
  readonly val: unknown;
  answered: number | undefined;
  code: string | undefined;
}

/** What the hardware was told, as its file says. */
export interface Write {
  readonly value: number;
  readonly at: number;
  readonly by: number;
}

interface Heard {
  readonly at: number;
  readonly val: unknown;
  readonly quality: unknown;
  readonly seq: unknown;
}

/** What is to be so in a world that is well. */
export interface Expected {
  /** Pins that are good. */
  readonly good: readonly string[];
  /** What pins that nobody commands are, whenever they are good. */
  readonly values: { readonly [pin: string]: number };
}

/** All that hardware and bus showed in a world, and what must be true of it whatever happened. */
export class Record {
  readonly writes: Write[] = [];
  readonly wrong: string[] = [];
  readonly #commands = new Map<string, Command>();
  readonly #levels = new Map<number, Command>();
  readonly #last = new Map<string, Heard>();
  /** When each agent was started, by process id. */
  readonly #born = new Map<number, number>();
  #highest = 0;
  #judged = 0;

  readonly #expected: Expected;
  readonly #tail: Tail;

  constructor(file: string, expected: Expected) {
    this.#tail = new Tail(file);
    this.#expected = expected;
  }

  /** An agent has been started. */
  born(process: number | undefined): void {
    if (process !== undefined) this.#born.set(process, now());
  }

  /** A line of the controller. */
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
   * Since when, after `since`, commands are carried out again: every pin is good, and RUN commands in a row, sent after it,
   * were. One alone may slip through while a link is still being replaced.
   */
  healthyAt(since: number): number | undefined {
    for (const pin of this.#expected.good) if (this.#last.get(pin)?.quality !== 'good') return undefined;
    let run: number[] = [];
    let skipped = false;
    for (const { at, pin, answered, code } of this.#commands.values()) {
      if (pin !== 'level' || at < since) continue;
      if (answered === undefined) skipped = true;
      else {
        if (skipped || code !== undefined) run = [];
        if (code === undefined) run.push(answered);
        skipped = false;
        if (run.length >= RUN) return run[0];
      }
    }
    return undefined;
  }

  /** Quality of a pin was last heard as something else than good, since a time. */
  doubted(pin: string, since: number): number | undefined {
    const last = this.#last.get(pin);
    return last && last.at >= since && last.quality !== 'good' ? last.at : undefined;
  }

  /** Commands of `level` sent in a time that never got an answer. */
  lost(from: number, to: number): number {
    return this.#sentTo(from, to).filter(({ answered }) => answered === undefined).length;
  }

  /** Commands of `level` sent in a time that were refused, with why. */
  refused(from: number, to: number): string[] {
    return this.#sentTo(from, to).flatMap(({ code }) => code ?? []);
  }

  /** The level the hardware has, and since when. */
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

  /** Takes what has been written into the hardware's file since. */
  read(): void {
    for (const line of this.#tail.read()) {
      const { key, value, at, by } = JSON.parse(line);
      if (key === 'level') this.writes.push({ value, at, by });
      else if (value !== false) this.wrong.push(`promise 7: ${key} was driven, which only the intruder asks for`);
    }
  }

  /** Judges what has been written until `until`: what was asked for is heard of by another way, and perhaps later. */
  judge(until: number): void {
    this.read();
    for (let write = this.writes[this.#judged]; write && write.at < until; write = this.writes[this.#judged]) {
      this.#judged++;
      this.#judgeOne(write);
    }
  }

  /** Promises 2 and 3: only what was asked for, and not late; safe is always right. */
  #judgeOne({ value, at, by }: Write): void {
    if (value === 0) return;
    const command = this.#levels.get(value);
    if (value >= INTRUDER) this.wrong.push(`promise 7: the hardware was given ${value}, which the intruder asked for`);
    else if (!command) this.wrong.push(`promise 2: the hardware was given ${value}, which nobody asked for`);
    else if (at - command.at > STALE_MS + this.#gap(by, at))
      this.wrong.push(`promise 3: a command was carried out ${Math.round(at - command.at)} ms after it was sent`);
    else if (command.at < (this.#born.get(by) ?? 0))
      this.wrong.push('promise 3: a command to an earlier life of the agent was carried out');
    if (value < this.#highest) this.wrong.push(`promise 3: ${value} was carried out after ${this.#highest}`);
    this.#highest = Math.max(this.#highest, value);
  }

  #sentTo(from: number, to: number): Command[] {
    return [...this.#commands.values()].filter(({ at, pin }) => pin === 'level' && at >= from && at < to);
  }

  /** The longest time this process wrote nothing, of late. */
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
