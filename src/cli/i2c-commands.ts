import { type Command, InvalidArgumentError, Option } from 'commander';

/** Adds `scan i2c` to the command line. */
export function addI2cScan(scan: Command): void {
  scan
    .command('i2c')
    .description('show which addresses of an I2C bus answer, and what is usually there; it reads a byte of each')
    .argument('[bus...]', 'numbers or paths, like 1 or /dev/i2c-1 (default: every bus of this machine)', buses)
    .addOption(
      new Option('--mux <address/channel>', 'behind a TCA9548A: 0x70/3; the channel is closed afterwards').argParser(
        mux,
      ),
    )
    .addOption(new Option('--json', 'one JSON object a line'))
    .action(async (paths, options) => (await import('./commands/scan-i2c.ts')).scanI2c(paths, options));
}

function buses(text: string, before: readonly string[] = []): string[] {
  if (!/^(\d+|\/.+)$/.test(text)) throw new InvalidArgumentError('a number like 1, or a path like /dev/i2c-1.');
  return [...before, /^\d+$/.test(text) ? `/dev/i2c-${text}` : text];
}

function mux(text: string): { readonly address: number; readonly channel: number } {
  const [, address, channel] = /^(0x[0-9a-f]{2})\/([0-7])$/i.exec(text) ?? [];
  if (address === undefined) throw new InvalidArgumentError('address/channel, like 0x70/3.');
  return { address: Number(address), channel: Number(channel) };
}
