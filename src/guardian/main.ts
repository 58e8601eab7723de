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

/** The guardian process: `node main.js AGENT WITHIN_MS SOCKET`, with pipes from and to that agent. */
async function main(): Promise<void> {
  const [agent, withinMs] = [Number(process.argv[2]), Number(process.argv[3])];
  const path = process.argv[4] ?? '';
  const log = nonblockingLog();
  let listener: { close(): void } | undefined;
  const end = () => {
    listener?.close();
    // Does not wait for log lines under way: the next agent waits for this process.
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
      send({ kind: 'holding', ports });
      detachStderr();
    },
    kill() {
      // With another parent, the agent has ended and its process id may belong to another process.
      if (process.ppid === agent) process.kill(agent, 'SIGKILL');
    },
  });
  // No error may end the guardian: it is needed most when something is wrong.
  process.on('uncaughtException', (error) => log.error({}, `uncaught error: ${messageOf(error)}`));
  process.on('unhandledRejection', (error) => log.error({}, `uncaught error: ${messageOf(error)}`));
  // Ctrl-C and a closed terminal are for the agent, which then stops and says so.
  for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
  process.on('SIGTERM', () => guard.terminate());
  const answers = new Socket({ fd: ANSWER_FD });
  // A closed pipe shows at the command pipe too.
  answers.on('error', () => undefined);
  const send = (message: FromGuardian) => {
    if (answers.writable) answers.write(encode(message));
  };
  // In the order of arrival, the end of the pipe included: descriptors belong to messages only by their order.
  let turn: Promise<void> = Promise.resolve();
  const take = decoder((found) => {
    if (!isToGuardian(found)) return;
    guard.beat();
    if (found.kind === 'beat') send(found);
    else if (found.kind === 'stop') turn = turn.then(() => guard.agentStopped());
    else {
      const { port, crashPlan, passed } = found;
      turn = turn.then(async () => {
        const descriptors = passed === 0 ? [] : await receiveDescriptors(passed, port, log);
        const refuse = (error: unknown) => send({ kind: 'refused', port, reason: messageOf(error) });
        guard.setPlan(port, crashPlan && { ...crashPlan, descriptors }).catch(refuse);
      });
    }
  });
  const commands = new Socket({ fd: COMMAND_FD });
  commands.on('data', take);
  commands.on('error', (error) => log.error({}, `the pipe from the agent: ${messageOf(error)}`));
  commands.on('close', () => {
    turn = turn.then(() => guard.agentGone());
  });
  // A timer keeps the process alive after the pipe has closed.
  setInterval(() => undefined, 1 << 30);
  lowerOomScore(log);
  try {
    listener = await listenForNextAgent(path, guard, agent);
  } catch (error) {
    log.error({ path }, `after a crash the next agent will not find this guardian: ${messageOf(error)}`);
  }
  send({ kind: 'ready' });
}

/** Without the descriptors the hardware is not held; the executor opens it when it has to be driven. */
async function receiveDescriptors(count: number, port: string, log: Log): Promise<number[]> {
  try {
    return (await loadFdPassing()).receive(PASS_FD, count);
  } catch (error) {
    log.error({ port }, `the hardware of port ${port} is held by the agent alone: ${messageOf(error)}`);
    return [];
  }
}

/** Closes the pipe at stderr, because a reader of the agent's output waits for its end. */
function detachStderr(): void {
  if (!fstatSync(2).isFIFO()) return;
  closeSync(2);
  // Gets the lowest free descriptor: 2 again.
  openSync('/dev/null', 'w');
}

/** Makes the kernel kill another process when memory runs out: the agent is the likelier cause. */
function lowerOomScore(log: Log): void {
  try {
    writeFileSync('/proc/self/oom_score_adj', '-900');
  } catch (error) {
    const code = systemCode(error);
    // Only root may lower it.
    if (code !== 'EACCES' && code !== 'EPERM') log.info({}, `oom_score_adj: ${messageOf(error)}`);
  }
}

await main();
