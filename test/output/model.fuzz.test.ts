import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { pinBench, pinSpec } from '../support/pin-bench.ts';

const DEAD = 500;
const MAX_ON = 8000;
const MIN_ON = 1000;
const MIN_OFF = 700;

type Bench = Awaited<ReturnType<typeof pinBench>>;
/** The agent's pins, and the clock they live on. */
interface Real {
  readonly bench: Bench;
  /** The pump and its guard are pins of text: their values that are on are named. */
  readonly text: boolean;
}

/** The value of the pump that means a level. */
function pumpValue({ text }: Real, on: boolean): boolean | string {
  return text ? (on ? 'run' : 'stop') : on;
}

/**
 * What a pump is to be, told the plain way: one that is guarded, may never run together with another, not longer than 8 s,
 * and only while the node `hall` is there.
 */
class Model {
  readonly manual: boolean;
  now = 0;
  on = false;
  since = 0;
  other = false;
  otherSince = 0;
  guard = true;
  hall = true;
  locked = false;
  override: { value: boolean; until: number } | undefined;
  /** A pulse or a lease ends. */
  end: { at: number; lease: boolean } | undefined;

  constructor(manual: boolean) {
    this.manual = manual;
  }

  /** The code a command is refused with; undefined: it is carried out. */
  refusal(value: boolean): string | undefined {
    if (this.override) return 'OVERRIDDEN';
    if (!this.hall || this.locked) return 'SAFE_STATE';
    return this.rule(value);
  }

  rule(value: boolean): string | undefined {
    const { on, now, since, other, otherSince, guard } = this;
    if (value && (!guard || other || (!on && now - otherSince < DEAD))) return 'RULE';
    if (value !== on && now - since < (on ? MIN_ON : MIN_OFF)) return 'RULE';
    return undefined;
  }

  otherRefusal(value: boolean): string | undefined {
    return value && (this.on || (!this.other && this.now - this.since < DEAD)) ? 'RULE' : undefined;
  }

  command(value: boolean, end?: { ms: number; lease: boolean }): void {
    this.become(value);
    this.end = end && { at: this.now + end.ms, lease: end.lease };
  }

  become(value: boolean): void {
    if (value !== this.on) this.since = this.now;
    this.on = value;
  }

  /** To `safe`, or off by a rule: nothing that was asked for before counts any more. */
  off(locks: boolean): void {
    this.become(false);
    this.end = undefined;
    if (locks && this.manual) this.locked = true;
  }

  otherTo(value: boolean): void {
    if (value !== this.other) this.otherSince = this.now;
    this.other = value;
  }

  guardTo(value: boolean): void {
    this.guard = value;
    // An override stands and comes back with the guard; a command does not.
    if (!value && this.on) this.override ? this.become(false) : this.off(true);
    else if (value) this.resume();
  }

  /** What an override asks for, as soon as the rules allow it. */
  resume(): void {
    if (this.override && this.override.value !== this.on && !this.rule(this.override.value)) {
      this.become(this.override.value);
    }
  }

  hallTo(value: boolean): void {
    if (this.hall && !value) {
      if (this.override) {
        this.end = undefined;
        if (this.manual) this.locked = true;
      } else this.off(true);
    }
    this.hall = value;
  }

  /** Time passes, from one thing that happens by itself to the next. */
  pass(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const due = [
        this.end?.at,
        this.override?.until,
        this.on ? this.since + MAX_ON : undefined,
        ...(this.override && this.override.value !== this.on
          ? [this.since + (this.on ? MIN_ON : MIN_OFF), this.otherSince + DEAD]
          : []),
      ].filter((at) => at !== undefined && at > this.now - 1 && at <= until);
      const at = Math.min(...due.map((one) => one ?? until));
      if (due.length === 0 || at < this.now) break;
      this.now = at;
      const before = JSON.stringify(this);
      this.happen();
      if (JSON.stringify(this) === before) this.now += 1;
    }
    this.now = until;
  }

  happen(): void {
    if (this.override && this.override.until <= this.now) {
      this.override = undefined;
      this.off(false);
    }
    if (this.end && this.end.at <= this.now) this.off(this.end.lease);
    if (this.on && this.now - this.since >= MAX_ON) {
      const overridden = this.override !== undefined;
      this.override = undefined;
      this.off(!overridden);
    }
    this.resume();
  }
}

/** Sends a message to the pump, checks that there is exactly one answer and whether it is the one expected. */
async function ask({ bench }: Real, message: object, refusal: string | undefined, pin = 'pump'): Promise<void> {
  bench.take();
  const { msg_id } = bench.user.send({ IoMessage: { pin_name: pin, ...message } });
  await bench.clock.advance(0);
  const answers = bench.take().filter(({ reply_to }) => reply_to === msg_id);
  expect(answers.map(({ subject, code }) => (subject === 'IoMessage' ? undefined : code))).toEqual([refusal]);
}

/** A step of the plant: what it does to the model, and to the agent. */
class Step implements fc.AsyncCommand<Model, Real> {
  readonly #text: string;
  readonly #run: (model: Model, real: Real) => Promise<void>;

  constructor(text: string, run: (model: Model, real: Real) => Promise<void>) {
    this.#text = text;
    this.#run = run;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, real: Real): Promise<void> {
    await this.#run(model, real);
    const { hardware } = real.bench;
    expect({ pump: hardware.get('pump'), other: hardware.get('other') }).toEqual({
      pump: pumpValue(real, model.on),
      other: model.other,
    });
    expect(model.on && (model.other || !model.guard)).toBe(false);
  }

  toString(): string {
    return this.#text;
  }
}

/** The node goes on saying that it lives, also while a port that keeps failing is opened ever more seldom. */
function alive({ hall: there }: Model, { life }: Real['bench']): void {
  if (there) life.nodes.onNodeMessage({ event: 'heartbeat', node: 'h1', name: 'hall' });
}

const level = fc.boolean();
const command = fc
  .record({ value: level, end: fc.constantFrom(undefined, 'hold', 'pulse'), ms: fc.constantFrom(500, 1500, 3000) })
  .map(
    ({ value, end, ms }) =>
      new Step(`command ${value} ${end ?? ''} ${ms}`, async (model, real) => {
        const pulse = end === 'pulse' && value;
        const short = pulse && ms < MIN_ON ? 'RULE' : undefined;
        const refusal = (pulse && real.text ? 'NOT_SUPPORTED' : short) ?? model.refusal(value);
        const extra = pulse ? { pulse: ms / 1000 } : end === 'hold' ? { hold: ms / 1000 } : {};
        await ask(real, { val: pumpValue(real, value), ...extra }, refusal);
        if (refusal === undefined) {
          model.command(value, pulse || end === 'hold' ? { ms, lease: end === 'hold' } : undefined);
        }
      }),
  );
const on = fc.constant(
  new Step('on', async (model, real) => {
    const refusal = model.refusal(true);
    await ask(real, { val: pumpValue(real, true) }, refusal);
    if (refusal === undefined) model.command(true);
  }),
);
const other = level.map(
  (value) =>
    new Step(`other ${value}`, async (model, real) => {
      const refusal = model.otherRefusal(value);
      await ask(real, { val: value }, refusal, 'other');
      if (refusal === undefined) model.otherTo(value);
    }),
);
const guard = level.map(
  (value) =>
    new Step(`guard ${value}`, async (model, { bench, text }) => {
      bench.hardware.set('guard', text ? (value ? 'closed' : 'open') : value);
      await bench.clock.advance(0);
      model.guardTo(value);
    }),
);
const hall = level.map(
  (value) =>
    new Step(`hall ${value}`, async (model, { bench }) => {
      bench.life.nodes.onNodeMessage({ event: value ? 'birth' : 'leave', node: 'h1', name: 'hall' });
      await bench.clock.advance(0);
      model.hallTo(value);
    }),
);
const override = fc.record({ value: level, seconds: fc.constantFrom(1, 5, 20) }).map(
  ({ value, seconds }) =>
    new Step(`override ${value} for ${seconds}`, async (model, real) => {
      const refusal = model.rule(value);
      await ask(real, { val: pumpValue(real, value), override: seconds }, refusal);
      if (refusal !== undefined) return;
      model.end = undefined;
      model.become(value);
      model.override = { value, until: model.now + seconds * 1000 };
    }),
);
const ended = fc.constant(
  new Step('end of the override', async (model, real) => {
    const overridden = model.override !== undefined;
    await ask(real, { override: 0 }, undefined);
    model.override = undefined;
    if (overridden) model.off(false);
  }),
);
const rearm = fc.constant(
  new Step('rearm', async (model, real) => {
    const refusal = model.hall ? undefined : 'SAFE_STATE';
    await ask(real, { rearm: true }, refusal);
    if (refusal === undefined) model.locked = false;
  }),
);
const outage = fc.constant(
  new Step('outage of the port', async (model, { bench }) => {
    const { on, other: otherOn, guard: guarded } = model;
    alive(model, bench);
    bench.hardware.unplug();
    bench.hardware.plug();
    const from = bench.clock.now();
    while (bench.runner.state !== 'open') await bench.clock.advance(100);
    await bench.clock.advance(0);
    // Neither is the guard known: an override comes back when it may, what was commanded does not.
    model.guard = false;
    model.pass(bench.clock.now() - from);
    model.otherTo(false);
    if (otherOn) model.otherSince = model.now;
    if (model.override) model.become(false);
    else model.off(true);
    if (on) model.since = model.now;
    if (model.manual) model.locked = true;
    model.guard = guarded;
    model.resume();
  }),
);
const time = fc.constantFrom(100, 400, 400, 600, 1000, 2500, 9000).map(
  (ms) =>
    new Step(`${ms} ms pass`, async (model, { bench }) => {
      alive(model, bench);
      await bench.clock.advance(ms);
      model.pass(ms);
    }),
);

describe('an output with rules', () => {
  it('is at every moment what a plain model of it says', async () => {
    const steps = [
      on,
      command,
      command,
      other,
      other,
      guard,
      hall,
      override,
      ended,
      rearm,
      rearm,
      time,
      time,
      time,
      outage,
    ];
    await fc.assert(
      fc.asyncProperty(
        level,
        level,
        fc.commands(steps, { maxCommands: 60, size: 'max' }),
        async (manual, text, commands) => {
          const off = text ? 'stop' : false;
          const named = { kind: 'text', on: ['run'], off: 'stop', words: ['stop', 'idle', 'run'] } as const;
          const bench = await pinBench([
            pinSpec({ name: 'guard', ...(text && { kind: 'text' }) }),
            pinSpec({
              name: 'pump',
              direction: 'out',
              ...(text && named),
              initial: off,
              safe: off,
              controller: 'hall',
              rearm: manual ? 'manual' : 'auto',
              rules: {
                requires: [{ pin: 'guard', ...(text && { is: ['closed'] }) }],
                interlock: { pins: ['other'], deadMs: DEAD },
                maxOnMs: MAX_ON,
                minOnMs: MIN_ON,
                minOffMs: MIN_OFF,
              },
            }),
            pinSpec({
              name: 'other',
              direction: 'out',
              initial: false,
              safe: false,
              rules: { interlock: { pins: ['pump'], deadMs: DEAD } },
            }),
          ]);
          bench.life.nodes.onNodeMessage({ event: 'birth', node: 'h1', name: 'hall' });
          bench.hardware.set('guard', text ? 'closed' : true);
          await bench.clock.advance(0);
          await fc.asyncModelRun(() => ({ model: new Model(manual), real: { bench, text } }), commands);
          bench.life.nodes.close();
        },
      ),
      { numRuns: 300 },
    );
  }, 60_000);
});
