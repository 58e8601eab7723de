import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');

/** Who may import whom, beside their own folder. */
const leaves = ['src/errors', 'src/message', 'src/pin', 'src/clock'];
const allowed: Record<string, readonly string[]> = {
  'src/errors': [],
  'src/message': [],
  'src/pin': [],
  'src/clock': [],
  'src/linux': leaves,
  'src/driver': [...leaves, 'src/linux'],
  'src/bus': leaves,
  'src/guardian': [...leaves, 'src/driver', 'src/linux'],
  'src/mesh': [...leaves, 'src/bus', 'src/driver'],
  'src/output': [...leaves, 'src/bus', 'src/driver'],
  'src/io': [...leaves, 'src/bus', 'src/driver', 'src/output'],
  'src/board': [...leaves, 'src/driver'],
  'src/config': [...leaves, 'src/driver', 'src/board'],
  'src/web': [...leaves, 'src/bus', 'src/driver'],
  'src/agent': [
    ...leaves,
    ...[
      'src/bus',
      'src/driver',
      'src/mesh',
      'src/io',
      'src/output',
      'src/board',
      'src/config',
      'src/web',
      'src/guardian',
      'src/linux',
    ],
  ],
  'src/driver-registry.ts': [...leaves, 'src/driver', 'drivers'],
  'src/cli': ['src', 'drivers'],
  'src/start-agent.ts': ['src', 'drivers'],
  'src/testing': ['src', 'drivers'],
  'src/index.ts': ['src'],
  drivers: [...leaves, 'src/driver', 'src/linux'],
};
/** Native libraries that only one place may know. */
const owners: Record<string, readonly string[]> = {
  zeromq: ['src/mesh/'],
  serialport: ['drivers/'],
  onoff: ['drivers/gpio/'],
  koffi: ['src/linux/', 'drivers/', 'src/agent/service-manager.ts', 'src/guardian/fd-passing.ts'],
  yaml: ['src/'],
};

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
}

const files = ['src', 'drivers'].flatMap(filesBelow).filter((name) => /\.tsx?$/.test(name));
const imports = files.flatMap((file) => {
  const text = readFileSync(join(root, file), 'utf8');
  return [...text.matchAll(/(?:from|import)\s*\(?\s*'([^']+)'/g)].map(([whole, target = '']) => ({
    file,
    target: target.startsWith('.') ? relative(root, join(root, dirname(file), target)) : target,
    ours: target.startsWith('.'),
    lazy: whole.includes('('),
  }));
});

function layerOf(path: string): string {
  const layer = Object.keys(allowed).find((name) => path === name || path.startsWith(`${name}/`));
  return layer ?? path;
}

/** The folder of one driver: drivers may not import each other. */
function unitOf(path: string): string {
  const [top = '', second = ''] = path.split('/');
  return top === 'drivers' ? `${top}/${second}` : layerOf(path);
}

describe('layers', () => {
  it('finds the sources', () => {
    expect(files.length).toBeGreaterThan(30);
    expect(imports.length).toBeGreaterThan(100);
  });

  it('every source file belongs to a layer', () => {
    expect(files.filter((file) => !(layerOf(file) in allowed))).toEqual([]);
  });

  it('imports only what its layer may know', () => {
    const wrong = imports.filter(({ file, target, ours }) => {
      if (!ours || unitOf(file) === unitOf(target)) return false;
      return !(allowed[layerOf(file)] ?? []).some((layer) => target === layer || target.startsWith(`${layer}/`));
    });
    expect(wrong.map(({ file, target }) => `${file} → ${target}`)).toEqual([]);
  });

  it('native libraries have one owner each, and drivers load them lazily', () => {
    const strays = imports.filter(({ file, target }) => {
      const owner = owners[target];
      return owner !== undefined && !owner.some((place) => file.startsWith(place));
    });
    expect(strays.map(({ file, target }) => `${file} → ${target}`)).toEqual([]);
    const eager = imports.filter(({ file, target, lazy }) => {
      if (lazy || target === 'yaml' || !(target in owners)) return false;
      const line = readFileSync(join(root, file), 'utf8')
        .split('\n')
        .find((text) => text.includes(`from '${target}'`));
      return line !== undefined && !line.startsWith('import type');
    });
    expect(eager.map(({ file, target }) => `${file} → ${target}`)).toEqual([]);
  });

  it('the web layer is loaded only where a configuration asks for it: every start would pay for it', () => {
    const eager = imports.filter(({ file, target, lazy }) => {
      if (lazy || !target.startsWith('src/web/') || file.startsWith('src/web/')) return false;
      const text = readFileSync(join(root, file), 'utf8');
      const name = target.slice(target.lastIndexOf('/') + 1);
      return new RegExp(`^import (?!type )[^;]*${name}'`, 'm').test(text);
    });
    expect(eager.map(({ file }) => file)).toEqual([]);
  });

  it('only src/board and src/config read boards/', () => {
    const readers = files.filter((file) => /['"`/]boards['"`/]/.test(readFileSync(join(root, file), 'utf8')));
    const wrong = readers.filter((file) => !/^src\/(board|config|cli\/program|cli\/commands\/boards)/.test(file));
    expect(wrong).toEqual([]);
  });

  it('a source file has one role and stays readable: at most 300 lines', () => {
    const long = files.filter((file) => readFileSync(join(root, file), 'utf8').split('\n').length > 300);
    expect(long).toEqual([]);
  });

  it('no file in boards/ is code', () => {
    expect(filesBelow('boards').filter((name) => /\.(ts|js|mjs|cjs|sh|py)$/.test(name))).toEqual([]);
  });
});
