import { configFile, describeProblem, loadFile } from '../config-file.ts';
import { exitCodes } from '../exit.ts';
import { count, printJson, printLine, table } from '../output.ts';

export interface CheckOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly mock?: boolean;
  readonly pins?: boolean;
}

/** Says everything that is wrong or doubtful in a configuration. Touches no hardware. */
export async function check(options: CheckOptions): Promise<void> {
  const file = configFile(options.config);
  const loaded = await loadFile(file, options.mock === true);
  const problems = loaded.ok ? loaded.config.warnings : loaded.problems;
  for (const problem of problems) {
    if (options.json) printJson(problem);
    else printLine(describeProblem(problem));
  }
  if (!loaded.ok) {
    process.exitCode = exitCodes.wrongUse;
    const errors = problems.filter(({ severity }) => severity === 'error').length;
    if (!options.json) printLine(`${file}: ${count(errors, 'mistake')}`);
    return;
  }
  const { pins, ports } = loaded.config;
  for (const { name, driver, options: given } of ports) {
    const own = pins.filter(({ port }) => port === name);
    const channels = own.map(({ spec, key, address }) => ({ ...spec, key, address }));
    const message = driver.estimate?.(given, channels);
    if (message === undefined) continue;
    if (options.json) printJson({ severity: 'note', key: `ports.${name}`, message });
    else printLine(`${name}: ${message}`);
  }
  if (options.pins) {
    const rows = pins.map(({ spec, port, key }) => [spec.name, spec.kind, spec.direction, port, key]);
    if (options.json)
      for (const [name, kind, direction, port, address] of rows) printJson({ name, kind, direction, port, address });
    else printLine(table(['PIN', 'KIND', 'DIRECTION', 'PORT', 'ADDRESS'], rows));
  }
  if (!options.json) printLine(`${file}: right: ${count(pins.length, 'pin')} on ${count(ports.length, 'port')}`);
}
