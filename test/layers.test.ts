import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..');

/** Files whose imports, type-only ones included, must not form a circle: everybody builds on them. */
const contracts = ['src/driver/contract.ts', 'src/driver/crash-plan.ts', 'src/bus/actor.ts', 'src/bus/bus.ts'];

/** Libraries that only these places import, and lazily: each needs a binary for the machine. */
const owners: Readonly<Record<string, readonly string[]>> = {
  zeromq: ['src/mesh/transport/'],
  serialport: ['drivers/', 'src/driver/kit/serial-line.ts'],
  onoff: ['drivers/gpio/'],
  'i2c-bus': ['drivers/i2c/'],
  koffi: ['src/linux/'],
};

interface Import {
  readonly file: string;
  /** Path in the repository, or the name of a package. */
  readonly target: string;
  readonly ours: boolean;
  readonly kind: 'static' | 'lazy' | 'type';
}

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' }).map((name) => join(folder, name));
}

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const made = (specifier: string, kind: Import['kind']): Import => {
    const ours = specifier.startsWith('.');
    return { file, target: ours ? relative(root, join(root, dirname(file), specifier)) : specifier, ours, kind };
  };
  const statements = [...text.matchAll(/^(?:import|export)\s(type\s)?(?:[^;'"]*?\sfrom\s)?'([^']+)'/gm)];
  const calls = [...text.matchAll(/\bimport\(\s*'([^']+)'/g)];
  return [
    ...statements.map(([, type, specifier = '']) => made(specifier, type === undefined ? 'static' : 'type')),
    ...calls.map(([, specifier = '']) => made(specifier, 'lazy')),
  ];
}

/** The layer table of docs/design.md: each folder (or file), and the folders it may import. */
function readLayers(): ReadonlyMap<string, readonly string[]> {
  const design = readFileSync(join(root, 'docs/design.md'), 'utf8');
  const section = design.slice(design.indexOf('\n## Layers'));
  const rows = [...section.slice(0, section.indexOf('\n## ', 4)).matchAll(/^\| (`.*?) \| .*? \| (.*?) \|$/gm)];
  const paths = (cell = '') => [...cell.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path.replace(/\/\*$/, ''));
  const leaves = rows.filter(([, , may]) => may === 'nothing of ours').flatMap(([, cell]) => paths(cell));
  return new Map(
    rows.flatMap(([, cell, may = '']) => {
      const allowed = [...paths(may), ...(may.includes('leaves') ? leaves : [])];
      return paths(cell).map((path) => [path, allowed] as const);
    }),
  );
}

/** Groups of files that import each other in a circle (Tarjan's strongly connected components). */
function circles(edges: readonly Import[]): string[][] {
  const next = new Map<string, string[]>();
  for (const { file, target } of edges) next.set(file, [...(next.get(file) ?? []), target]);
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): number => {
    const at = order.size;
    order.set(file, at);
    low.set(file, at);
    stack.push(file);
    for (const target of next.get(file) ?? []) {
      const reached = order.has(target) ? (stack.includes(target) ? (order.get(target) ?? at) : at) : visit(target);
      low.set(file, Math.min(low.get(file) ?? at, reached));
    }
    if (low.get(file) === at) found.push(stack.splice(stack.indexOf(file)));
    return low.get(file) ?? at;
  };
  for (const file of next.keys()) if (!order.has(file)) visit(file);
  return found.filter((group) => group.length > 1);
}

const files = ['src', 'drivers'].flatMap(filesBelow).filter((name) => /\.tsx?$/.test(name));
const imports = files.flatMap(importsOf);
const ours = imports.filter((one) => one.ours);
const layers = readLayers();

function layerOf(path: string): string | undefined {
  const fitting = [...layers.keys()].filter((name) => path === name || path.startsWith(`${name}/`));
  return fitting.sort((a, b) => b.length - a.length)[0];
}

/** Drivers may not import each other, so each is a layer of its own. */
function unitOf(path: string): string | undefined {
  return path.startsWith('drivers/') ? path.split('/').slice(0, 2).join('/') : layerOf(path);
}

const shown = ({ file, target }: Import) => `${file} → ${target}`;

describe('layers', () => {
  it('reads the sources and the table of docs/design.md', () => {
    expect(files.length).toBeGreaterThan(200);
    expect(imports.length).toBeGreaterThan(1000);
    expect(layers.size).toBeGreaterThan(15);
  });

  it('every source file belongs to a layer of the table, and every layer has files', () => {
    expect(files.filter((file) => layerOf(file) === undefined)).toEqual([]);
    expect([...layers.keys()].filter((layer) => !files.some((file) => layerOf(file) === layer))).toEqual([]);
  });

  it('a file imports only what the table allows its layer', () => {
    const wrong = ours.filter(({ file, target }) => {
      if (unitOf(file) === unitOf(target)) return false;
      const allowed = layers.get(layerOf(file) ?? '') ?? [];
      return !allowed.some((layer) => layer === 'all' || target === layer || target.startsWith(`${layer}/`));
    });
    expect(wrong.map(shown)).toEqual([]);
  });

  it('no file imports itself in a circle at run time, and no circle, of types alone either, crosses a contract', () => {
    expect(circles(ours.filter(({ kind }) => kind === 'static'))).toEqual([]);
    const crossing = circles(ours).filter((group) => group.some((file) => contracts.includes(file)));
    expect(crossing).toEqual([]);
  });

  it('a library with a binary is imported by its owner alone, and lazily', () => {
    const strays = imports.filter(({ file, target, kind }) => {
      const owner = owners[target];
      if (owner === undefined || kind === 'type') return false;
      return kind === 'static' || !owner.some((place) => file.startsWith(place));
    });
    expect(strays.map(shown)).toEqual([]);
  });

  it('the web layer is loaded only where a configuration asks for it: every start would pay for it', () => {
    const eager = ours.filter(
      ({ file, target, kind }) => kind === 'static' && target.startsWith('src/web/') && !file.startsWith('src/web/'),
    );
    expect(eager.map(({ file }) => file).filter((file) => file !== 'src/cli/commands/web.ts')).toEqual([]);
  });

  it('only src/board and src/config read boards/', () => {
    const readers = files.filter((file) => /['"`/]boards['"`/]/.test(readFileSync(join(root, file), 'utf8')));
    const wrong = readers.filter((file) => !/^src\/(board|config|cli\/program|cli\/commands\/boards)/.test(file));
    expect(wrong).toEqual([]);
  });

  it('no file in boards/ is code', () => {
    expect(filesBelow('boards').filter((name) => /\.(ts|js|mjs|cjs|sh|py)$/.test(name))).toEqual([]);
  });
});
