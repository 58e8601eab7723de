import { Option } from 'commander';
import type { ResolvedConfig } from '../../config/resolved.ts';
import type { CliCommand } from '../command-tree.ts';
import { exitCodes } from '../exit.ts';
import { configOption, jsonOption, mockOption } from '../options.ts';
import { count, printJson, printLine, table } from '../output.ts';

interface CheckOptions {
  readonly config?: string;
  readonly json?: boolean;
  readonly mock?: boolean;
  readonly pins?: boolean;
}

export function addCheck(cli: CliCommand): void {
  cli
    .command('check')
    .description('report every mistake in a configuration; touches no hardware')
    .addOption(configOption())
    .addOption(mockOption())
    .addOption(new Option('--pins', 'also list every pin with its hardware address'))
    .addOption(jsonOption())
    .examples('dcs-io check', 'dcs-io check --pins -c plant.yaml')
    .action(check);
}

async function check(options: CheckOptions): Promise<void> {
  const { configFile, describeProblem, loadFile } = await import('../config-file.ts');
  const file = configFile(options.config);
  const loaded = await loadFile(file, { mock: options.mock === true });
  const problems = loaded.ok ? loaded.config.warnings : loaded.problems;
  for (const problem of problems) {
    if (options.json) printJson(problem);
    else printLine(describeProblem(problem));
  }
  if (loaded.ok) {
    printEstimates(loaded.config, options);
    if (options.pins) printPins(loaded.config, options);
    const { pins, ports } = loaded.config;
    if (!options.json) printLine(`${file}: right: ${count(pins.length, 'pin')} on ${count(ports.length, 'port')}`);
    return;
  }
  process.exitCode = exitCodes.wrongUse;
  const errors = problems.filter(({ severity }) => severity === 'error').length;
  if (!options.json) printLine(`${file}: ${count(errors, 'mistake')}`);
}

/** Prints the drivers' estimates for their ports, like the load of a bus. */
function printEstimates({ pins, ports }: ResolvedConfig, { json }: CheckOptions): void {
  for (const { name, driver, options } of ports) {
    const own = pins.filter(({ port }) => port === name);
    const channels = own.map(({ spec, key, address }) => ({ ...spec, key, address }));
    const message = driver.estimate?.(options, channels);
    if (message === undefined) continue;
    if (json) printJson({ severity: 'note', key: `ports.${name}`, message });
    else printLine(`${name}: ${message}`);
  }
}

function printPins({ pins }: ResolvedConfig, { json }: CheckOptions): void {
  const rows = pins.map(({ spec, port, key }) => [spec.name, spec.kind, spec.direction, port, key]);
  if (!json) printLine(table(['PIN', 'KIND', 'DIRECTION', 'PORT', 'ADDRESS'], rows));
  else for (const [name, kind, direction, port, address] of rows) printJson({ name, kind, direction, port, address });
}
