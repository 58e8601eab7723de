import { once } from 'node:events';
import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/clock/clock.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import type { CrashPlan, HeldDescriptors } from '../../src/driver/contract.ts';
import type { SafeStateExecutor } from '../../src/driver/crash-plan.ts';
import { Guard } from '../../src/guardian/guard.ts';
import { GIVE_UP_MS } from '../../src/guardian/port-plan.ts';
import { PreviousGuardians } from '../../src/guardian/previous-guardians.ts';
import { listenForNextAgent, socketPath } from '../../src/guardian/takeover-socket.ts';
import { memoryLog } from '../support/ports.ts';
import { until } from '../support/wait.ts';

/** Hardware as a test sees it: whether each port is safe, whether its lines are held, how often it was tried. */
class Fake implements SafeStateExecutor {
  fails = 0;
  tries = 0;
  safe = false;
  /** It takes what it drives. */
  readonly #takes: boolean;
  descriptors: number[] = [];
  held = false;

  constructor(takes = false) {
    this.#takes = takes;
  }

  get holds(): boolean {
    return this.held || this.descriptors.length > 0;
  }

  async attempt(): Promise<void> {
    this.tries++;
    if (this.fails-- > 0) throw new Error('no answer');
    this.safe = true;
    this.held = this.#takes;
  }

  handOver(): HeldDescriptors {
    return { plan: { lines: ['a', 'b'] }, descriptors: this.descriptors };
  }

  async release(): Promise<void> {
    this.held = false;
    for (const fd of this.descriptors.splice(0)) closeSync(fd);
  }
}

function bench(withinMs = 5000) {
  const clock = new ManualClock();
  const log = memoryLog();
  const fakes = new Map<string, Fake>();
  const events: string[] = [];
  const guard = new Guard({
    clock,
    log,
    agent: 42,
    withinMs,
    kill: () => void events.push(`kill at ${clock.now()}`),
    holding: (ports) => void events.push(`keeping ${ports}`),
    ended: () => void events.push('ended'),
    load: async (url) => async (_plan, _context, descriptors) => {
      const fake = fakes.get(url);
      if (!fake) throw new Error('not on this machine');
      fake.descriptors = [...descriptors];
      return fake;
    },
  });
  return {
    clock,
    log,
    events,
    guard,
    async port(name: string, fake = new Fake(), descriptors: number[] = []): Promise<Fake> {
      fakes.set(name, fake);
      await guard.setPlan(name, { ...will(name), descriptors });
      return fake;
    },
  };
}
const will = (name: string): CrashPlan => ({ executor: name, plan: undefined });
const isOpen = (fd: number) => existsSync(`/proc/self/fd/${fd}`);

describe('a guardian', () => {
  it('kills a silent agent with a second left for the outputs, and drives them when the kernel has closed the pipe', async () => {
    const { clock, events, guard, port } = bench(5000);
    const fake = await port('plc');
    await clock.advance(3000);
    guard.beat();
    await clock.advance(3900);
    expect(events).toEqual([]);
    await clock.advance(200);
    expect(events).toHaveLength(1);
    expect(fake.safe).toBe(false);
    guard.agentGone();
    await clock.advance(0);
    expect(fake.safe).toBe(true);
    expect(events.at(-1)).toBe('ended');
  });

  it('drives the outputs of an agent that the kernel cannot end', async () => {
    const { clock, port } = bench(2000);
    const fake = await port('plc');
    await clock.advance(1100);
    expect(fake.safe).toBe(false);
    await clock.advance(600);
    expect(fake.safe).toBe(true);
  });

  it('does not count its own pauses as silence of the agent: heartbeats may wait to be read', async () => {
    const { clock, events, guard } = bench(2000);
    for (let minute = 0; minute < 20; minute++) {
      clock.now = () => minute * 60_000;
      await clock.advance(50);
      guard.beat();
    }
    expect(events).toEqual([]);
  });

  it('does nothing after a stop of the agent', async () => {
    const { clock, events, guard, port } = bench();
    const fake = await port('plc');
    guard.agentStopped();
    guard.agentGone();
    await clock.advance(10_000);
    expect(fake.tries).toBe(0);
    expect(events).toEqual(['ended']);
  });

  it('repeats a failed attempt without delaying other ports, and gives up after a minute', async () => {
    const { clock, events, log, guard, port } = bench();
    const good = await port('good');
    const slow = await port('slow');
    const dead = await port('dead');
    slow.fails = 3;
    dead.fails = Number.POSITIVE_INFINITY;
    guard.agentGone();
    await clock.advance(0);
    expect([good.safe, slow.safe]).toEqual([true, false]);
    await clock.advance(500);
    expect(slow.safe).toBe(true);
    await clock.advance(GIVE_UP_MS + 2000);
    expect(events).toEqual(['ended']);
    expect(log.lines.filter(({ level }) => level === 'error').map(({ message }) => message)).toContain(
      'gave up making the outputs of port dead safe: no answer',
    );
    expect(good.tries).toBe(1);
  });

  it('refuses a crash plan that this machine cannot carry out, and carries out the others', async () => {
    const { clock, guard, port } = bench();
    await expect(guard.setPlan('none', will('none'))).rejects.toThrow('not on this machine');
    const fake = await port('plc');
    guard.agentGone();
    await clock.advance(0);
    expect(fake.safe).toBe(true);
  });

  it('carries out the last plan that the agent sent before it was killed', async () => {
    const { clock, guard, port } = bench();
    await port('lines', new Fake(true));
    guard.agentGone();
    await clock.advance(0);
    const late = await port('late', new Fake(true));
    await clock.advance(0);
    expect(late.safe).toBe(true);
  });

  it('drives nothing after a stop of the agent, and holds passed hardware until SIGTERM', async () => {
    const { clock, events, guard, port } = bench();
    const fd = openSync('/dev/null', 'r');
    const lines = await port('lines', new Fake(), [fd]);
    await port('plc');
    guard.agentStopped();
    guard.agentGone();
    await clock.advance(10_000);
    expect(events).toEqual(['keeping lines']);
    expect(isOpen(fd)).toBe(true);
    guard.terminate();
    await clock.advance(0);
    expect(events.at(-1)).toBe('ended');
    expect(isOpen(fd)).toBe(false);
    expect(lines.tries).toBe(0);
  });

  it('holds nothing when SIGTERM comes together with the stop of the agent', async () => {
    const { clock, events, guard, port } = bench();
    const fd = openSync('/dev/null', 'r');
    await port('lines', new Fake(), [fd]);
    guard.terminate();
    guard.agentStopped();
    await clock.advance(0);
    expect(events).toEqual(['ended']);
    expect(isOpen(fd)).toBe(false);
  });

  it('closes passed descriptors when a new plan or none replaces them, or when it cannot use them', async () => {
    const { guard, port } = bench();
    const [first = 0, second = 0, third = 0] = [1, 2, 3].map(() => openSync('/dev/null', 'r'));
    await port('lines', new Fake(), [first]);
    await port('lines', new Fake(), [second]);
    expect([first, second].map(isOpen)).toEqual([false, true]);
    await guard.setPlan('lines', undefined);
    expect(isOpen(second)).toBe(false);
    await expect(guard.setPlan('none', { ...will('none'), descriptors: [third] })).rejects.toThrow();
    expect(isOpen(third)).toBe(false);
  });

  it('holds lines until SIGTERM, and then ends', async () => {
    const { clock, events, guard, port } = bench();
    const lines = await port('lines', new Fake(true));
    guard.terminate();
    await clock.advance(100);
    expect(events).toEqual([]);
    guard.agentGone();
    await clock.advance(0);
    expect(lines).toMatchObject({ safe: true, held: false });
    expect(events).toEqual(['ended']);
  });
});

describe('the handover to the next run', () => {
  let folder = '';
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dcs-io-guard-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function crashed() {
    const made = bench();
    const lines = await made.port('lines', new Fake(true));
    const plc = await made.port('plc');
    plc.fails = Number.POSITIVE_INFINITY;
    const door = await listenForNextAgent(socketPath(folder, 'me', 42), made.guard, 42);
    return { ...made, lines, plc, door };
  }
  const find = (log = memoryLog()) => PreviousGuardians.find(folder, 'me', systemClock, log);

  it('holds lines until each is asked for, names the unsafe ports, drives nothing any more, and ends', async () => {
    const { clock, events, guard, lines, plc, door } = await crashed();
    guard.agentGone();
    await clock.advance(100);
    const finding = find();
    // The attempt under way ends by the clock in our hand.
    while ((await Promise.race([finding, clock.advance(100)])) === undefined);
    const before = await finding;
    const tries = plc.tries;
    expect(['lines', 'plc'].filter((port) => before.isUnsafe(port))).toEqual(['plc']);
    await clock.advance(10_000);
    expect(plc.tries).toBe(tries);
    expect(lines.held).toBe(true);
    await before.release('lines');
    expect(lines.held).toBe(false);
    await before.finish();
    await until('its end', () => events.includes('ended'));
    door.close();
  });

  it('passes on held lines, so that they are never free: after a crash, and after a stop', async () => {
    for (const end of ['agentGone', 'agentStopped'] as const) {
      const { clock, events, guard, lines, door } = await crashed();
      const path = join(folder, 'held');
      writeFileSync(path, end);
      const descriptors = [openSync(path, 'r'), openSync('/dev/null', 'r')];
      lines.descriptors = [...descriptors];
      rmSync(path);
      guard[end]();
      const log = memoryLog();
      const finding = find(log);
      while ((await Promise.race([finding, clock.advance(100)])) === undefined);
      const before = await finding;
      expect(['lines', 'plc'].filter((port) => before.isUnsafe(port))).toEqual(end === 'agentGone' ? ['plc'] : []);
      expect(await before.release('plc')).toEqual([]);
      const [held, ...more] = await before.release('lines');
      expect(more).toEqual([]);
      expect(held?.plan).toEqual({ lines: ['a', 'b'] });
      expect(lines.holds).toBe(false);
      const [first = 0, second = 0] = held?.descriptors ?? [];
      expect(readFileSync(first, 'utf8')).toBe(end);
      for (const fd of [first, second]) closeSync(fd);
      expect(await before.release('lines')).toEqual([]);
      await before.finish();
      await until('its end', () => events.includes('ended'));
      expect(readdirSync(folder).filter((name) => !name.endsWith('.guard'))).toEqual([]);
      door.close();
    }
  });

  it('drives the outputs again when the agent that takes over ends before it is done', async () => {
    const { clock, guard, lines, door } = await crashed();
    guard.agentGone();
    await clock.advance(0);
    const finding = find();
    while ((await Promise.race([finding, clock.advance(100)])) === undefined);
    const before = await finding;
    await before.release('lines');
    before.abandon();
    await until('the lines to be held again', () => lines.held);
    guard.terminate();
    door.close();
  });

  it('goes on driving the outputs when the agent that takes over does not wait for the end of a slow write', async () => {
    const { clock, guard, lines, plc, door } = await crashed();
    let end: () => void = () => undefined;
    plc.attempt = () =>
      new Promise((resolve) => {
        end = resolve;
      });
    guard.agentGone();
    await clock.advance(0);
    const socket = connect(socketPath(folder, 'me', 42));
    socket.write('{"kind":"back"}\n');
    await until('the question to be heard', () => guard.state === 'handing-over');
    socket.destroy();
    await once(socket, 'close');
    end();
    await until('it to act again', () => guard.state === 'driving-safe');
    expect(lines.safe).toBe(true);
    guard.terminate();
    door.close();
  });

  it('does not drive against an agent that started before a slow write ended; all its ports count as lost', async () => {
    const { clock, events, guard, plc, door } = await crashed();
    let end: () => void = () => undefined;
    plc.attempt = () =>
      new Promise((_resolve, reject) => {
        end = () => reject(new Error('no answer'));
      });
    guard.agentGone();
    await clock.advance(0);
    const waiting = new ManualClock();
    const finding = PreviousGuardians.find(folder, 'me', waiting, memoryLog());
    await until('the question to be heard', () => guard.state === 'handing-over');
    await waiting.advance(2000);
    const before = await finding;
    expect(before.isUnsafe('lines')).toBe(true);
    end();
    const done = before.finish();
    await until('its end', async () => {
      await clock.advance(100);
      return events.includes('ended');
    });
    await done;
    expect(plc.safe).toBe(false);
    door.close();
  });

  it('is refused while the guardian’s own agent runs, with the reason', async () => {
    const { lines, door } = await crashed();
    const log = memoryLog();
    const before = await find(log);
    await before.release('lines');
    await before.finish();
    expect(log.lines.map(({ message }) => message)).toEqual([
      'an agent with this configuration runs already: process 42',
    ]);
    expect(lines.tries).toBe(0);
    door.close();
  });

  it('removes the socket of an ended guardian, and finds no guardian in a missing folder', async () => {
    const { door } = await crashed();
    door.close();
    writeFileSync(socketPath(folder, 'me', 41), '');
    expect((await find()).count).toBe(0);
    expect(readdirSync(folder)).toEqual([]);
    rmSync(folder, { recursive: true });
    expect((await find()).count).toBe(0);
    expect(existsSync(folder)).toBe(false);
  });
});
