import { closeSync, fstatSync, openSync, writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import process from 'node:process';
import { systemClock } from '../clock/clock.ts';
import { messageOf, systemCode } from '../errors/errors.ts';
import type { Log } from '../log/log.ts';
import { loadFdPassing } from './fd-passing.ts';
import { Guard } from './guard.ts';
import { ANSWER_FD, COMMAND_FD, decoder, encode, type FromGuardian, isToGuardian, PASS_FD } from './messages.ts';
import { nonblockingLog } from './nonblocking-log.ts';
import { importExecutor } from './port-plan.ts';
import { listenForNextAgent } from './takeover-socket.ts';

/** The guardian as a process: `node main.js AGENT WITHIN_MS SOCKET`, with pipes from and to that agent. */
async function main(): Promise<void> {
  const [agent, withinMs] = [Number(process.argv[2]), Number(process.argv[3])];
  const path = process.argv[4] ?? '';
  const log = nonblockingLog();
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
    holding(ports) {
      tell({ kind: 'holding', ports });
      detachStderr();
    },
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
  process.on('SIGTERM', () => guard.terminate());
  const answers = new Socket({ fd: ANSWER_FD });
  // Nobody is there to be answered: `hear` says so.
  answers.on('error', () => undefined);
  const tell = (message: FromGuardian) => {
    if (answers.writable) answers.write(encode(message));
  };
  // In the order in which it was said, its end too: what is passed has no other name than its place.
  let turn: Promise<void> = Promise.resolve();
  const take = decoder((found) => {
    if (!isToGuardian(found)) return;
    guard.beat();
    if (found.kind === 'beat') tell(found);
    else if (found.kind === 'stop') turn = turn.then(() => guard.agentStopped());
    else {
      const { port, crashPlan, passed } = found;
      turn = turn.then(async () => {
        const descriptors = passed === 0 ? [] : await receiveDescriptors(passed, port, log);
        const refuse = (error: unknown) => tell({ kind: 'refused', port, reason: messageOf(error) });
        guard.setPlan(port, crashPlan && { ...crashPlan, descriptors }).catch(refuse);
      });
    }
  });
  const hear = new Socket({ fd: COMMAND_FD });
  hear.on('data', take);
  hear.on('error', (error) => log.error({}, `the pipe from the agent: ${messageOf(error)}`));
  hear.on('close', () => {
    turn = turn.then(() => guard.agentGone());
  });
  // A timer keeps the process: the pipe does not once it is closed.
  setInterval(() => undefined, 1 << 30);
  lowerOomScore(log);
  try {
    door = await listenForNextAgent(path, guard, agent);
  } catch (error) {
    log.error({ path }, `after a crash the next agent will not find this guardian: ${messageOf(error)}`);
  }
  tell({ kind: 'ready' });
}

/** What cannot be had is not held: its hardware is taken when it is to be driven. */
async function receiveDescriptors(count: number, port: string, log: Log): Promise<number[]> {
  try {
    return (await loadFdPassing()).receive(PASS_FD, count);
  } catch (error) {
    log.error({ port }, `hardware of port ${port} is held by the agent alone: ${messageOf(error)}`);
    return [];
  }
}

/** Whoever reads the agent's output through a pipe is to see its end, although this process stays. */
function detachStderr(): void {
  if (!fstatSync(2).isFIFO()) return;
  closeSync(2);
  // The lowest number that is free: this one.
  openSync('/dev/null', 'w');
}

/** When memory runs out the kernel should take another process; the agent is the more likely culprit. */
function lowerOomScore(log: Log): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-900');
  } catch (error) {
    const code = systemCode(error);
    // Only root may; then both are alike to the kernel.
    if (code !== 'EACCES' && code !== 'EPERM') log.info({}, `oom_score_adj: ${messageOf(error)}`);
  }
}

await main();
