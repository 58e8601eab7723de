import { readFileSync } from 'node:fs';
import { parse } from 'yaml';
import { simulationSchema } from '../../../drivers/modbus/simulator/simulation.ts';
import { startSimulator } from '../../../drivers/modbus/simulator/simulator.ts';
import { systemClock } from '../../clock/clock.ts';
import { messageOf, systemCode } from '../../errors/errors.ts';
import { CliError, exitCodes } from '../exit.ts';
import { printLine, printNote } from '../output.ts';

/** Plays the Modbus devices of a file until the process is told to end. */
export async function simulate(file: string): Promise<void> {
  const counts = new Map<string, number>();
  const launched = await startSimulator(read(file), systemClock, (name) => {
    counts.set(name, (counts.get(name) ?? 0) + 1);
  });
  for (const place of launched.places) printLine(place);
  const alive = setInterval(() => {}, 1 << 30);
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => resolve());
  });
  clearInterval(alive);
  await launched.close();
  for (const [name, count] of counts) printNote(`${name}: ${count}`);
  process.exit();
}

function read(file: string) {
  let found: unknown;
  try {
    found = parse(readFileSync(file, 'utf8'));
  } catch (error) {
    const missing = systemCode(error) === 'ENOENT';
    throw new CliError(
      exitCodes.wrongUse,
      missing ? `there is no file ${file}` : `${file} cannot be read: ${messageOf(error)}`,
    );
  }
  const parsed = simulationSchema.safeParse(found);
  if (parsed.success) return parsed.data;
  const mistakes = parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`);
  throw new CliError(exitCodes.wrongUse, `${file}: ${mistakes.join('; ')}`);
}
