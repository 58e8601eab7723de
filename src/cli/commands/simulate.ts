import { readFileSync } from 'node:fs';
import { systemClock } from '../../clock/clock.ts';
import { messageOf, systemCode } from '../../errors/errors.ts';
import type { CliCommand } from '../command-tree.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';

export function addSimulate(cli: CliCommand): void {
  cli
    .command('simulate')
    .description('simulate the Modbus devices of a file, on a TCP port and on a pty, with faults')
    .argument('<file>', 'the devices to simulate')
    .examples('dcs-io simulate plant.yaml')
    .action(simulate);
}

async function simulate(file: string): Promise<void> {
  const { startSimulator } = await import('../../../drivers/modbus/simulator/simulator.ts');
  const counts = new Map<string, number>();
  const simulator = await startSimulator(await readSimulation(file), systemClock, (name) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  for (const place of simulator.places) printLine(place);
  const alive = setInterval(() => {}, 1 << 30);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  clearInterval(alive);
  await simulator.close();
  for (const [name, count] of counts) printNote(`${name}: ${count}`);
  process.exit();
}

async function readSimulation(file: string) {
  const { parse } = await import('yaml');
  const { simulationSchema } = await import('../../../drivers/modbus/simulator/simulation.ts');
  let found: unknown;
  try {
    found = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const missing = systemCode(error) === 'ENOENT';
    const message = missing ? `there is no file ${file}` : `${file} cannot be read: ${messageOf(error)}`;
    throw new CliError(exitCodes.wrongUse, message);
  }
  const parsed = simulationSchema.safeParse(found);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new CliError(exitCodes.wrongUse, `${file}: ${mistakes.join('; ')}`);
}
