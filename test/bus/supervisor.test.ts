import { describe, expect, it } from 'vitest';
import { Actor } from '../../src/bus/actor.ts';
import { Bus } from '../../src/bus/bus.ts';
import { defaultPolicy, Supervisor } from '../../src/bus/supervisor.ts';
import { ManualClock } from '../../src/clock/manual-clock.ts';
import { memoryLog } from '../support/ports.ts';

function setup() {
  const clock = new ManualClock();
  const bus = new Bus({ clock });
  const log = memoryLog();
  const sender = new Actor('sender');
  bus.join(sender);
  return { clock, bus, log, sender, supervisor: new Supervisor(bus, log) };
}

describe('supervisor', () => {
  it('an error in a handler is logged and counted, and the next message is handled', async () => {
    const { clock, bus, log, sender, supervisor } = setup();
    const seen: unknown[] = [];
    const child = await supervisor.add('shaky', () => {
      const actor = new Actor('shaky');
      actor.on('Job', async (data) => {
        seen.push(data);
        if (data === 1) throw new Error('boom');
      });
      return actor;
    });
    for (const n of [1, 2]) sender.send({ Job: n });
    await clock.advance(0);
    expect(seen).toEqual([1, 2]);
    expect(bus.stats.handlerErrors).toBe(1);
    expect(child).toMatchObject({ errors: 1, restarts: 0, state: 'running', lastError: 'boom' });
    expect(log.lines.some(({ message }) => message.includes('boom'))).toBe(true);
  });

  it('an actor that keeps failing is stopped and restarted with growing delays', async () => {
    const { clock, sender, supervisor } = setup();
    let lives = 0;
    let stops = 0;
    const child = await supervisor.add('crashing', () => {
      lives++;
      const actor = new Actor('crashing');
      actor.on('Job', () => {
        throw new Error('again');
      });
      actor.onStop = () => void stops++;
      return actor;
    });
    const crash = async () => {
      for (let n = 0; n < defaultPolicy.errors; n++) sender.send({ Job: n });
      await clock.advance(0);
    };
    await crash();
    expect([lives, stops, child.state]).toEqual([1, 1, 'waiting']);
    await clock.advance(defaultPolicy.backoffMs);
    expect([lives, child.state]).toEqual([2, 'running']);
    await crash();
    await clock.advance(defaultPolicy.backoffMs);
    expect([lives, child.state]).toEqual([2, 'waiting']);
    await clock.advance(defaultPolicy.backoffMs);
    expect([lives, child.restarts]).toEqual([3, 2]);
  });

  it('an actor that is restarted too often is abandoned with one event, and harms no other', async () => {
    const { clock, bus, log } = setup();
    const given: string[] = [];
    const seen: [string, boolean][] = [];
    const supervisor = new Supervisor(bus, log, defaultPolicy, {
      failed: ({ name, lastError }) => given.push(`${name}: ${lastError}`),
      presence: ({ name }, there) => seen.push([name, there]),
    });
    let lives = 0;
    const child = await supervisor.add('broken', () => {
      lives++;
      const actor = new Actor('broken');
      actor.onStart = () => {
        throw new Error('no way');
      };
      return actor;
    });
    const other = await supervisor.add('other', () => new Actor('other'));
    await clock.advance(600_000);
    expect([lives, child.state, other.state]).toEqual([defaultPolicy.restarts + 1, 'failed', 'running']);
    expect(given).toEqual(['broken: no way']);
    expect(seen.filter(([name]) => name === 'broken').slice(-2)).toEqual([
      ['broken', true],
      ['broken', false],
    ]);
    await supervisor.stop();
    expect(child.state).toBe('stopped');
  });

  it('an actor that rarely fails is never abandoned', async () => {
    const { clock, sender, supervisor } = setup();
    const child = await supervisor.add('moody', () => {
      const actor = new Actor('moody');
      actor.on('Job', () => {
        throw new Error('again');
      });
      return actor;
    });
    for (let time = 0; time < 30; time++) {
      for (let n = 0; n < defaultPolicy.errors; n++) sender.send({ Job: n });
      await clock.advance(defaultPolicy.restartWindowMs / 9);
    }
    expect([child.state, child.restarts]).toEqual(['running', 30]);
  });

  it('an actor that cannot start is retried and harms no other', async () => {
    const { clock, supervisor } = setup();
    let tries = 0;
    const child = await supervisor.add('late', () => {
      tries++;
      if (tries < 3) throw new Error('not yet');
      return new Actor('late');
    });
    const other = await supervisor.add('other', () => new Actor('other'));
    expect([child.state, other.state]).toEqual(['waiting', 'running']);
    await clock.advance(1000);
    expect([child.state, tries]).toEqual(['running', 3]);
  });

  it('the stop hook waits for the running handler, and no later message is handled', async () => {
    const { clock, sender, supervisor } = setup();
    const did: string[] = [];
    let finish: (() => void) | undefined;
    await supervisor.add('slow', () => {
      const actor = new Actor('slow');
      actor.onStop = () => void did.push('stopped');
      actor.on('Job', async (data) => {
        await new Promise<void>((resolve) => {
          finish = resolve;
        });
        did.push(`done ${data}`);
      });
      return actor;
    });
    for (const job of [1, 2]) sender.send({ Job: job });
    await clock.advance(0);
    const stopping = supervisor.stop();
    await clock.advance(defaultPolicy.hookMs / 2);
    expect(did).toEqual([]);
    finish?.();
    await stopping;
    expect(did).toEqual(['done 1', 'stopped']);
  });

  it('stops in bounded time although a handler and a stop hook hang', async () => {
    const { clock, sender, supervisor } = setup();
    const child = await supervisor.add('hung', () => {
      const actor = new Actor('hung');
      actor.on('Job', () => new Promise<void>(() => {}));
      actor.onStop = () => new Promise<void>(() => {});
      return actor;
    });
    sender.send({ Job: 1 });
    await clock.advance(0);
    let stopped = false;
    void supervisor.stop().then(() => {
      stopped = true;
    });
    await clock.advance(defaultPolicy.hookMs * 2);
    expect(stopped).toBe(true);
    expect(child.state).toBe('stopped');
    await supervisor.stop();
  });

  it('messages wait until the start hook is done', async () => {
    const { clock, sender, supervisor } = setup();
    const log: string[] = [];
    void supervisor.add('starting', () => {
      const actor = new Actor('starting');
      actor.onStart = async () => {
        await new Promise<void>((resolve) => clock.after(50, resolve));
        log.push('started');
      };
      actor.on('Job', () => void log.push('job'));
      return actor;
    });
    sender.send({ Job: 1 });
    await clock.advance(100);
    expect(log).toEqual(['started', 'job']);
  });
});
