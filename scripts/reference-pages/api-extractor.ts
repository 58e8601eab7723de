import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import {
  Extractor,
  ExtractorConfig,
  ExtractorLogLevel,
  type ExtractorMessage,
  ExtractorMessageCategory,
  type IConfigFile,
} from '@microsoft/api-extractor';
import { z } from 'zod';

const root = join(import.meta.dirname, '../..');

/** One thing that users can import: `specifier` is `dcs-io` or `dcs-io/driver`. */
export interface EntryPoint {
  readonly specifier: string;
  /** Name of its files in docs: `dcs-io` or `dcs-io-driver`. */
  readonly name: string;
  /** The source file without its extension: `src/driver/index`. */
  readonly source: string;
}

/** An item of API Extractor's document model: a class, a function, a member, … */
export interface ApiItem {
  readonly kind: string;
  readonly name: string;
  readonly docComment: string;
  readonly declaration: string;
  readonly members: readonly ApiItem[];
}

export interface ExtractedApi {
  readonly entry: EntryPoint;
  /** The API report: every exported declaration, without comments. */
  readonly report: string;
  readonly items: readonly ApiItem[];
  /** Types that the declarations mention and the entry point does not export. */
  readonly unexported: readonly string[];
}

const packageSchema = z.object({ exports: z.record(z.string(), z.unknown()) });
const exportSchema = z.object({ types: z.string() });

const itemSchema: z.ZodType<ApiItem> = z.lazy(() =>
  z
    .object({
      kind: z.string(),
      name: z.string().default(''),
      docComment: z.string().default(''),
      excerptTokens: z.array(z.object({ text: z.string() })).default([]),
      members: z.array(itemSchema).default([]),
    })
    .transform(({ excerptTokens, ...item }) => ({
      ...item,
      declaration: excerptTokens.map(({ text }) => text).join(''),
    })),
);
const modelSchema = z.object({ members: z.tuple([z.object({ members: z.array(itemSchema) })]) });

/** The entry points of the package that have types, from the exports of package.json. */
export function entryPoints(): EntryPoint[] {
  const { exports } = packageSchema.parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
  return Object.entries(exports).flatMap(([path, target]) => {
    const found = exportSchema.safeParse(target);
    if (!found.success) return [];
    const specifier = `dcs-io${path.slice(1)}`;
    const source = found.data.types.replace(/^\.\/dist\//, '').replace(/\.d\.ts$/, '');
    return { specifier, name: specifier.replaceAll('/', '-'), source };
  });
}

/** Extracts the API of every entry point from the declarations of the sources. It takes some 5 s. */
export function extractApis(): ExtractedApi[] {
  // Inside the repository, so that imports of packages resolve, and not below node_modules, which would make it external.
  const folder = mkdtempSync(join(root, '.api-declarations-'));
  try {
    const tsc = join(root, 'node_modules/typescript/bin/tsc');
    const options = ['-p', 'tsconfig.build.json', '--emitDeclarationOnly', '--outDir', folder];
    execFileSync(process.execPath, [tsc, ...options], { cwd: root, stdio: 'inherit' });
    return entryPoints().map((entry) => extract(entry, folder));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function extract(entry: EntryPoint, folder: string): ExtractedApi {
  const unexported = new Set<string>();
  const configObject = extractorConfig(entry, folder);
  const config = ExtractorConfig.prepare({
    configObject,
    configObjectFullPath: undefined,
    packageJsonFullPath: join(root, 'package.json'),
  });
  const { succeeded } = Extractor.invoke(config, {
    localBuild: true,
    messageCallback: (message) => {
      const [, type] = (message.messageId === 'ae-forgotten-export' && /"(\w+)"/.exec(message.text)) || [];
      if (type !== undefined) unexported.add(type);
      if (isError(message)) throw new Error(`${entry.specifier}: ${message.text} (${message.sourceFilePath})`);
      message.handled = true;
    },
  });
  if (!succeeded) throw new Error(`API Extractor failed for ${entry.specifier}`);
  const model = modelSchema.parse(JSON.parse(readFileSync(config.apiJsonFilePath, 'utf8')));
  const report = readFileSync(config.reportFilePath, 'utf8');
  return { entry, report, items: model.members[0].members, unexported: [...unexported].sort() };
}

function isError({ category, logLevel }: ExtractorMessage): boolean {
  return category === ExtractorMessageCategory.Compiler || logLevel === ExtractorLogLevel.Error;
}

function extractorConfig({ name, source }: EntryPoint, folder: string): IConfigFile {
  const mainEntryPointFilePath = join(folder, `${source}.d.ts`);
  const compilerOptions = {
    target: 'ES2023',
    lib: ['ES2023', 'ESNext.Disposable'],
    module: 'NodeNext',
    moduleResolution: 'NodeNext',
    types: ['node'],
    typeRoots: [join(root, 'node_modules/@types')],
    strict: true,
    allowImportingTsExtensions: true,
    noEmit: true,
    skipLibCheck: true,
  };
  return {
    projectFolder: root,
    mainEntryPointFilePath,
    newlineKind: 'lf',
    compiler: { overrideTsconfig: { compilerOptions, files: [mainEntryPointFilePath] } },
    apiReport: {
      enabled: true,
      reportFileName: name,
      reportFolder: folder,
      reportTempFolder: join(folder, 'temporary'),
    },
    docModel: { enabled: true, apiJsonFilePath: join(folder, `${name}.api.json`) },
    dtsRollup: { enabled: false },
    tsdocMetadata: { enabled: false },
    messages: {
      compilerMessageReporting: { default: { logLevel: ExtractorLogLevel.Error } },
      extractorMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
      tsdocMessageReporting: { default: { logLevel: ExtractorLogLevel.None } },
    },
  };
}
