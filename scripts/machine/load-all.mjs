// Copied into an installed dcs-io: loads every dependency and prints those that fail. Arguments: dependencies that may fail.
import { readFileSync } from 'node:fs';

const { dependencies } = JSON.parse(readFileSync(new URL('package.json', import.meta.url), 'utf8'));
const excused = process.argv.slice(2);
for (const name of Object.keys(dependencies)) {
  try {
    await import(name);
    if (excused.includes(name)) throw new Error('it loads, and was not expected to');
  } catch (error) {
    if (!excused.includes(name) || error.message.startsWith('it loads')) process.exitCode = 1;
    console.log(`  ${name}: ${error.message.split('\n')[0]}`);
  }
}
