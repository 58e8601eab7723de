/** A page with its title, and a word on where it is from. */
export function page(title: string, blocks: readonly string[]): string {
  const origin = '<!-- Made by scripts/reference; not to be edited. -->';
  return `${[`# ${title}`, origin, ...blocks].join('\n\n').trimEnd()}\n`;
}

/** A table. Cells are Markdown in which only the bar is minded. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), `|${head.map(() => '---').join('|')}|`, ...rows.map(line)].join('\n');
}

/** Text as it stands, in one line. */
export function code(text: string): string {
  return text === '' ? '' : text.includes('`') ? `\`\` ${text} \`\`` : `\`${text}\``;
}

/** Lines as they stand. */
export function codeBlock(text: string, language = ''): string {
  return `\`\`\`${language}\n${text.trimEnd()}\n\`\`\``;
}

/** A description as a sentence of its own. */
export function sentence(text: string): string {
  return prose(`${text.slice(0, 1).toUpperCase()}${text.slice(1)}.`);
}

/** Text of a description: what Markdown would take for a tag is written out. */
export function prose(text: string): string {
  return text
    .split('`')
    .map((part, index) => (index % 2 === 1 ? part : part.replaceAll('<', '&lt;').replaceAll('*', '\\*')))
    .join('`');
}
