import { type ApiItem, type ExtractedApi, extractApis } from './api-extractor.ts';
import { code, codeBlock, page, prose, table } from './markdown.ts';

/** Files in docs by their path: an API report and a reference page for each entry point of the package. */
export function libraryPages(apis: readonly ExtractedApi[] = extractApis()): Map<string, string> {
  const files = apis.flatMap((api) => {
    const { specifier, name } = api.entry;
    const blocks = libraryPage(api);
    return [
      [`api/${name}.api.md`, api.report],
      [`reference/${pageName(name)}`, page(`Library ${code(specifier)}`, blocks)],
    ] as const;
  });
  return new Map(files);
}

/** Returns the types that some entry point mentions and none exports, as `dcs-io: Name`. */
export function unexportedTypes(apis: readonly ExtractedApi[]): string[] {
  const exported = new Set(apis.flatMap(({ items }) => items.map(({ name }) => name)));
  return apis.flatMap(({ entry, unexported }) =>
    unexported.filter((type) => !exported.has(type)).map((type) => `${entry.specifier}: ${type}`),
  );
}

function pageName(name: string): string {
  return `${name.replace(/^dcs-io/, 'library')}.md`;
}

function libraryPage({ entry, items }: ExtractedApi): string[] {
  const sorted = withoutOverloads(items).sort((a, b) => a.name.localeCompare(b.name, 'en'));
  return [
    `Everything that ${code(`import { … } from '${entry.specifier}'`)} offers. The declarations alone: [API report](../api/${entry.name}.api.md).`,
    table(
      ['export', 'kind', 'description'],
      sorted.map((item) => [`[${item.name}](#${anchor(item)})`, kindOf(item), firstSentence(item)]),
    ),
    ...sorted.flatMap(itemSection),
  ];
}

/** Puts the declarations of an overloaded function into one item. */
function withoutOverloads(items: readonly ApiItem[]): ApiItem[] {
  const byName = new Map<string, ApiItem>();
  for (const item of items) {
    const first = byName.get(item.name);
    const declaration = first ? `${first.declaration}\n${item.declaration}` : item.declaration;
    byName.set(item.name, { ...(first ?? item), declaration });
  }
  return [...byName.values()];
}

function itemSection(item: ApiItem): string[] {
  const text = prose(descriptionOf(item));
  const members = item.members.filter(({ kind, docComment }) => kind !== 'Constructor' || docComment !== '');
  return [
    `## ${item.name}`,
    ...(text === '' ? [] : [text]),
    codeBlock(signatureOf(item), 'ts'),
    ...(members.length === 0
      ? []
      : [
          table(
            ['member', 'description'],
            members.map((member) => [code(oneLine(signatureOf(member))), prose(oneLine(descriptionOf(member)))]),
          ),
        ]),
  ];
}

/** The anchor that GitHub gives the heading. */
function anchor({ name }: ApiItem): string {
  return name.toLowerCase();
}

function kindOf({ kind }: ApiItem): string {
  return kind === 'TypeAlias' ? 'type' : kind === 'Variable' ? 'constant' : kind.toLowerCase();
}

function signatureOf({ declaration }: ApiItem): string {
  return declaration
    .replaceAll(/^export (declare )?/gm, '')
    .replace(/;?\s*$/, '')
    .replaceAll(/^ {4}/gm, '  ');
}

/** The text of a doc comment, without the marks of the comment and of TSDoc. */
function descriptionOf({ docComment }: ApiItem): string {
  return docComment
    .replaceAll(/^\/\*\*|\*\/\s*$/g, '')
    .replaceAll(/^[ \t]*\* ?/gm, '')
    .replaceAll(/\\([{}@<>])/g, '$1')
    .replace(/^Constructs a new instance of the .*class$/m, '')
    .trim();
}

function firstSentence(item: ApiItem): string {
  const text = oneLine(descriptionOf(item));
  return prose(/^.*?\.(?= |$)/.exec(text)?.[0] ?? text);
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').trim();
}
