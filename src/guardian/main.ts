import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import process from 'node:process';
import { systemClock } from '../clock/clock.ts';
import { messageOf, systemCode } from '../errors/errors.ts';
import { openDoor } from './door.ts';
import { Guard } from './guard.ts';
import { ANSWER_FD, decoder, encode, type FromGuardian, HEAR_FD, isToGuardian } from './messages.ts';
import { sideLog } from './side-log.ts';
import { importExecutor } from './testament.ts';

/** The guardian as a process: `node main.js AGENT WITHIN_MS SOCKET`, with pipes from and to that agent. */
async function main(): Promise<void> {
  const [agent, withinMs] = [Number(process.argv[2]), Number(process.argv[3])];
  const path = process.argv[4] ?? '';
  const log = sideLog();
  let door: { close(): void } | undefined;
  const end = () => {
    door?.close();
    // Lines of the log that are under way are of no use to anybody who waits for this process.
    setImmediate(() => process.exit(0));
  };
  const guard = new Guard({
    clock: systemClock,
    log,
    agent,
    withinMs,
    load: importExecutor,
    ended: end,
    kill() {
      // A child of somebody else now: the agent is gone, and its number may be another process's.
      if (process.ppid === agent) process.kill(agent, 'SIGKILL');
    },
  });
  // Nothing that goes wrong here may end it: that is when it is needed.
  process.on('uncaughtException', (error) => log.error({}, `an error that nobody caught: ${messageOf(error)}`));
  process.on('unhandledRejection', (error) => log.error({}, `an error that nobody caught: ${messageOf(error)}`));
  // Ctrl-C and a closed terminal are for the agent, which then says good-bye.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('SIGTERM', () => guard.leave());
  const answers = new Socket({ fd: ANSWER_FD });
  // Nobody is there to be answered: `hear` says so.
  answers.on('error', () => undefined);
  const tell = (message: FromGuardian) => {
    if (answers.writable) answers.write(encode(message));
  };
  const take = decoder((found) => {
    if (!isToGuardian(found)) return;
    guard.beat();
    if (found.kind === 'beat') tell(found);
    else if (found.kind === 'bye') guard.bye();
    else {
      const { port, will } = found;
      guard.will(port, will).catch((error: unknown) => tell({ kind: 'refused', port, reason: messageOf(error) }));
    }
  });
  const hear = new Socket({ fd: HEAR_FD });
  hear.on('data', take);
  hear.on('error', (error) => log.error({}, `the pipe from the agent: ${messageOf(error)}`));
  hear.on('close', () => guard.gone());
  // A timer keeps the process: the pipe does not once it is closed.
  setInterval(() => undefined, 1 << 30);
  spareMe(log);
  try {
    door = await openDoor(path, guard, agent);
  } catch (error) {
    log.error({ path }, `after a crash the next agent will not find this guardian: ${messageOf(error)}`);
  }
  tell({ kind: 'ready' });
}

/** When memory runs out the kernel should take another process; the agent is the more likely culprit. */
function spareMe(log: ReturnType<typeof sideLog>): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-900');
  } catch (error) {
    const code = systemCode(error);
    // Only root may; then both are alike to the kernel.
    if (code !== 'EACCES' && code !== 'EPERM') log.info({}, `oom_score_adj: ${messageOf(error)}`);
  }
}

await main();
